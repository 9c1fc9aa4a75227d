"""poolctl scale: give a running server more workers, or fewer."""

from __future__ import annotations

from typing import Annotated

import typer

from poolctl.cli.pool_change import WaitOption, change
from poolctl.cli.servers import ServerArgument


def scale(
    what: ServerArgument,
    to: Annotated[str, typer.Argument(metavar="12|+2|-1|auto", help="How many workers; auto: what the file says.")],
    wait: WaitOption = "",
) -> None:
    """Give a running server so many workers, and return when it has them.

    New workers start first; those that are too many finish their requests in flight, and their idle connections move.
    The next reload goes back to what the file says. -1 must follow --: poolctl scale NAME -- -1.

    Exits with 0 when it is done, 1 if it was refused or failed, and 3 if it took longer than --wait (60s); then the
    server goes back to the workers that it had.
    """
    change(what, "scale", wait, to=to)
