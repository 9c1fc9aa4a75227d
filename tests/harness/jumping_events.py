"""An event loop whose clock jumps: where nothing is to be done before its next timer, that timer's time has come.

What happens on descriptors is real. A timer is reached at once, in the right order, however far away it is; so a test
of timeouts waits for nothing. Threads are not waited for: code that needs one takes another loop.
"""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Callable
from typing import Any


async def passes(seconds: float) -> None:
    """For a task in such a loop: so much time passes, and whatever is ready meanwhile is done."""
    await asyncio.sleep(seconds)  # nobody waits for it: the clock jumps


class JumpingSelector(selectors.DefaultSelector):  # type: ignore[misc,valid-type]  # which class it is depends
    """Never waits for as long as it is asked to. ``jump``: called with the seconds that were not waited."""

    jump: Callable[[float], None]

    def select(self, timeout: float | None = None) -> Any:
        if timeout is None:
            return super().select(None)
        found = super().select(0)
        if not found and timeout > 0:
            self.jump(timeout)
        return found


class JumpingEvents(asyncio.SelectorEventLoop):
    """``jumped``: seconds that were not waited."""

    def __init__(self) -> None:
        self.jumped = 0.0
        selector = JumpingSelector()
        selector.jump = self.pass_time
        super().__init__(selector)

    def time(self) -> float:
        return super().time() + self.jumped

    def pass_time(self, seconds: float) -> None:
        """So much time has passed."""
        self.jumped += seconds

    def rounds(self, count: int = 8) -> None:
        """So many rounds of what is ready, without a wait and without a jump."""
        for _ in range(count):
            self.call_soon(self.stop)
            self.run_forever()
