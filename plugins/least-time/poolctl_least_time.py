"""least-time: the lowest product of average response time and tasks in hand, as nginx plus and HAProxy offer it.

Unlike ewma-latency it counts tasks, not seconds, and knows no peaks: what was measured stays until other tasks have
pushed it out of the average.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, ClassVar

from pydantic import Field

from poolctl.plugin import Dispatch, InboxView, Task

PENALTY = 1.0  # seconds


@dataclass
class LeastTime(Dispatch):
    """The lowest product of the average time of the last tasks and the load (least_time of nginx plus)."""

    interface: ClassVar[int] = 1

    window: Annotated[int, Field(ge=1, le=100_000, description="tasks that the average is over, about")] = 50
    _averages: dict[int, tuple[float, int]] = field(
        default_factory=dict, init=False, repr=False
    )  # seconds, of how many
    _last: int = field(default=-1, init=False, repr=False)

    def pick(self, task: Task, inboxes: tuple[InboxView, ...]) -> InboxView:
        best, price = inboxes[0], (float("inf"), 0, 0)
        for inbox in inboxes:
            load = inbox.load
            # Of one that is new a first task is hoped for; who has it and is not done may be slow.
            seconds, _ = self._averages.get(inbox.index, (PENALTY * bool(load), 0))
            offered = (seconds * (load + 1), load, (inbox.index - self._last - 1) % 4096)
            if offered < price:
                best, price = inbox, offered
        self._last = best.index
        return best

    def finished(self, task: Task, inbox: InboxView, seconds: float) -> None:
        average, count = self._averages.get(inbox.index, (0.0, 0))
        count = min(count + 1, self.window)
        self._averages[inbox.index] = (average + (seconds - average) / count, count)

    def left(self, inbox: InboxView) -> None:
        self._averages.pop(inbox.index, None)  # its successor has no past
