"""poolctl recycle: replace the workers of a running server by new processes."""

from __future__ import annotations

from typing import Annotated

import typer

from poolctl.cli.pool_change import WaitOption, change
from poolctl.cli.servers import ServerArgument


def recycle(
    what: ServerArgument = "",
    worker: Annotated[int | None, typer.Option(min=0, help="Replace only this worker.", show_default=False)] = None,
    reason: Annotated[str | None, typer.Option(help="Why, for the log and poolctl events.", show_default=False)] = None,
    wait: WaitOption = "",
) -> None:
    """Replace the workers of a running server one after the other, and return when that is done.

    Each gets a successor first. When that is ready the old worker finishes its requests in flight, and its idle
    connections move. The topology is not read again, and with preload the app is not imported again: use reload for new
    code.

    Exits with 0 when it is done, 1 if it was refused or a successor could not start, and 3 if it took longer than
    --wait; then it goes on.
    """
    change(what, "recycle", wait, worker=worker, reason=reason)
