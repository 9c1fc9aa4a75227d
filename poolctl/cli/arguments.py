"""Arguments and options that several commands share."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer

TopologyArgument = Annotated[
    str, typer.Argument(metavar="FILE|FOLDER|APP", help="The topology; - reads standard input.", show_default=False)
]
Sets = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Override one value: --set pool.size=4. May be repeated."),
]
Listen = Annotated[
    list[str] | None,
    typer.Option("--listen", metavar="ADDRESS", help="Override the addresses to listen on. May be repeated."),
]
Overlays = Annotated[
    list[str] | None,
    typer.Option("-f", "--file", metavar="FILE", help="Merge another file over the first one. May be repeated."),
]


class TextOrJson(StrEnum):
    """The values of --format where nothing else is on offer."""

    TEXT = "text"
    JSON = "json"
