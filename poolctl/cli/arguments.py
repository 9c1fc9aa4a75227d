"""The arguments that several commands have."""

from __future__ import annotations

from typing import Annotated

import typer

Meant = Annotated[
    str, typer.Argument(metavar="FILE|FOLDER|APP", help="The topology; - for standard input.", show_default=False)
]
Sets = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Put a value over the file's: --set pool.size=4. May be repeated."),
]
Listen = Annotated[
    list[str] | None,
    typer.Option("--listen", metavar="ADDRESS", help="Listen here, not where the file says. May be repeated."),
]
Overlays = Annotated[
    list[str] | None,
    typer.Option("-f", "--file", metavar="FILE", help="A further file, put over the first one. May be repeated."),
]
