"""poolctl reload: have a running server apply its topology and code as they are now."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from poolctl.cli.output import echo
from poolctl.cli.servers import ServerArgument, one
from poolctl.cli.transact import Lines, show_lines, transact
from poolctl.config.diagnostic import printable

EX_CONFIG = 78  # sysexits.h: the topology is not valid


def reload(
    what: ServerArgument = "",
    wait: Annotated[
        str,
        typer.Option(metavar="TIME", help="How long the new workers may take to become ready; otherwise reload.ready."),
    ] = "",
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Read and check the topology and show what changes; change nothing.")
    ] = False,
) -> None:
    """Have a running server apply its topology and code as they are now, and return when only new workers serve.

    If only values differ that running workers can take, they take them, and none is started.

    Without NAME the only running server is meant. Ctrl-C ends only the waiting, not the reload.

    Exits with 0 when the new workers serve and the old ones have ended, or all have the new values, 1 if the reload was
    refused or the new workers could not start, 3 if they were not ready in time, and 78 if the topology is not valid.
    After 1, 3 and 78 the old workers serve.
    """
    from poolctl.config.units import seconds

    try:
        given: dict[str, Any] = {"wait": seconds(wait)} if wait else {}
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--wait") from None
    found = one(what, invalid=EX_CONFIG)
    _end(str(found), transact(found, "reload", Lines(), **given, dry_run=dry_run), dry_run=dry_run)


def _end(server: str, line: dict[str, Any], *, dry_run: bool) -> None:
    """Print how it ended, and exit."""
    if "error" in line:
        show_lines(line["error"], err=True)
        echo(f"{server} was not reloaded; nothing has changed", err=True)
    elif dry_run:
        echo(f"{server} was not changed: this was a dry run")
    else:
        echo(f"{server} reloaded: {printable(line['result']['text'])}")
    raise typer.Exit(line["exit"])
