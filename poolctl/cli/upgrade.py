"""poolctl upgrade: have a running server go on under a new supervisor, of the versions that are installed now."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from poolctl.cli.output import echo
from poolctl.cli.reload import EX_CONFIG
from poolctl.cli.servers import ServerArgument, one
from poolctl.cli.transact import Lines, show_lines, transact
from poolctl.config.diagnostic import printable


def upgrade(
    what: ServerArgument = "",
    wait: Annotated[
        str,
        typer.Option(
            metavar="TIME",
            help="How long the new supervisor and its workers may take to become ready; default: reload.ready and 30s.",
        ),
    ] = "",
) -> None:
    """Have a running server go on under a new supervisor, and return when only that and its workers serve.

    The new one is started by the same command line, so it is of the poolctl, Python and packages that are installed
    now, and applies the topology and code as they are now. Without NAME the only running server is meant. Ctrl-C ends
    only the waiting.

    Exits with 0 when the new supervisor serves and the old workers have ended, 1 if the upgrade was refused or the new
    one could not start, 3 if it was not ready in time, and 78 if the topology is not valid. After 1, 3 and 78 the old
    one serves.
    """
    from poolctl.config.units import seconds

    try:
        given: dict[str, Any] = {"wait": seconds(wait)} if wait else {}
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--wait") from None
    found = one(what, invalid=EX_CONFIG)
    _end(str(found), transact(found, "upgrade", Lines(), **given))


def _end(server: str, line: dict[str, Any]) -> None:
    """Print how it ended, and exit."""
    if "error" in line:
        show_lines(line["error"], err=True)
        echo(f"{server} was not upgraded; it serves as before", err=True)
    else:
        echo(f"{server} upgraded: {printable(line['result']['text'])}")
    raise typer.Exit(line["exit"])
