"""poolctl resume: end what poolctl drain began."""

from __future__ import annotations

from typing import Annotated

import typer

from poolctl.cli.pool_change import WaitOption, change
from poolctl.cli.servers import ServerArgument


def resume(
    what: ServerArgument = "",
    worker: Annotated[int | None, typer.Option(min=0, help="Only this worker.", show_default=False)] = None,
    wait: WaitOption = "",
) -> None:
    """Start new workers in place of those that were drained, or of a whole server, and return when they are ready.

    Exits with 0 when it is done, 1 if it was refused, and 3 if it took longer than --wait; then it goes on, except
    that a whole server stays drained.
    """
    change(what, "resume", wait, worker=worker)
