"""poolctl reload: have a running server apply its topology and code as they are now."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

from poolctl.cli.output import echo
from poolctl.cli.servers import Asking, NoAnswer, ServerArgument, fail, one
from poolctl.config.diagnostic import printable

if TYPE_CHECKING:
    from typing import TextIO

EX_CONFIG = 78  # sysexits.h: the topology is not valid
DEFAULT_WAIT = "60s"


def reload(
    what: ServerArgument = "",
    wait: Annotated[
        str, typer.Option(metavar="TIME", help="How long the new workers may take to become ready.")
    ] = DEFAULT_WAIT,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Read and check the topology and show what changes; change nothing.")
    ] = False,
) -> None:
    """Have a running server apply its topology and code as they are now, and return when only new workers serve.

    Without NAME the only running server is meant. Ctrl-C ends only the waiting, not the reload.

    Exits with 0 when the new workers serve and the old ones have ended, 1 if the reload was refused or the new workers
    could not start, 3 if they were not ready in time, and 78 if the topology is not valid. After 1, 3 and 78 the old
    workers serve.
    """
    from poolctl.config.units import seconds

    try:
        patience = seconds(wait)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--wait") from None
    found = one(what, invalid=EX_CONFIG)
    try:
        with Asking(found.path, "reload", None, wait=patience, dry_run=dry_run) as asking:
            for line in asking.lines():
                if "says" in line:
                    _show(line["says"], sys.stdout)
    except NoAnswer as error:
        fail(f"{found}: {error}")
    except KeyboardInterrupt:
        echo(f"{found} goes on reloading; poolctl events {found.name} --follow shows its end", err=True)
        raise typer.Exit(130) from None
    _end(str(found), line, dry_run=dry_run)


def _end(server: str, line: dict[str, Any], *, dry_run: bool) -> None:
    """Print how it ended, and exit."""
    if "error" in line:
        _show(line["error"], sys.stderr)
        echo(f"{server} was not reloaded; the old workers serve", err=True)
    elif dry_run:
        echo(f"{server} was not changed: this was a dry run")
    else:
        echo(f"{server} reloaded: {printable(line['result']['text'])}")
    raise typer.Exit(line["exit"])


def _show(text: str, stream: TextIO) -> None:
    """Print a text of several lines, such as findings with the lines that they are about."""
    for line in text.splitlines():
        echo(printable(line), err=stream is sys.stderr)
