"""poolctl drain: take a server, or one worker of it, out of service."""

from __future__ import annotations

from typing import Annotated

import typer

from poolctl.cli.pool_change import WaitOption, change
from poolctl.cli.servers import ServerArgument


def drain(
    what: ServerArgument = "",
    worker: Annotated[
        int | None, typer.Option(min=0, help="Only this worker.", show_default="the whole server")
    ] = None,
    reason: Annotated[str | None, typer.Option(help="Why, for the log and poolctl events.", show_default=False)] = None,
    wait: WaitOption = "",
) -> None:
    """Give a running server nothing more, and return when it has finished what it had.

    Its health checks fail, and after timeouts.notice it refuses clients. Without workers it waits for poolctl resume.
    With --worker only that worker ends, and the pool has one less until poolctl resume.

    Exits with 0 when it is done, 1 if it was refused, and 3 if it took longer than --wait; then it goes on.
    """
    change(what, "drain", wait, worker=worker, reason=reason)
