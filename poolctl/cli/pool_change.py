"""What the commands about the workers of a running server have in common: scale, recycle, drain and resume."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from poolctl.cli.output import echo
from poolctl.cli.servers import one
from poolctl.cli.transact import Progress, show_lines, transact
from poolctl.config.diagnostic import printable

WaitOption = Annotated[str, typer.Option(metavar="TIME", help="How long it may take at most.", show_default=False)]


def change(what: str, do: str, wait: str, **given: Any) -> None:
    """Have a server change its workers, print how that ended, and exit. Arguments that are None are not sent."""
    from poolctl.config.units import seconds

    arguments = {key: value for key, value in given.items() if value is not None}
    if wait:
        try:
            arguments["wait"] = seconds(wait)
        except ValueError as error:
            raise typer.BadParameter(str(error), param_hint="--wait") from None
    found = one(what)
    line = transact(found, do, Progress(f"{found.name}: "), **arguments)
    if "error" in line:
        fix = f"; {line['fix']}" if line.get("fix") else ""
        show_lines(f"error: {line['error']}{fix}", err=True)
    else:
        echo(f"{found}: {printable(line['result']['text'])}")
    raise typer.Exit(line["exit"])
