"""poolctl run: its options."""

from __future__ import annotations

from typing import Annotated

import typer

from poolctl.cli.arguments import Listen, Overlays, Sets, TopologyArgument
from poolctl.cli.foreground import WrongUse, serve_in_foreground

Watched = Annotated[
    bool, typer.Option("--watch", help="For development: reload whenever the code or the topology changes.")
]


def run(
    file: TopologyArgument = "",
    overlays: Overlays = None,
    listen: Listen = None,
    sets: Sets = None,
    watch: Watched = False,
) -> None:
    """Serve a topology in the foreground.

    Without FILE it serves topology.yaml in this folder. For an app (shop:app, shop.py) it makes and prints a topology.

    SIGINT, SIGTERM or SIGQUIT drains; a second one stops immediately. Exits with 0 if every request was answered.

    Exits with 78 if the file is invalid.
    """
    try:
        serve_in_foreground(file, overlays, listen, sets, watch=watch)
    except WrongUse as wrong:
        raise typer.BadParameter(wrong.reason, param_hint=wrong.name) from None
