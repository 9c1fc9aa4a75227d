"""least-time: the lowest product of average response time and load, as in NGINX Plus and HAProxy.

Unlike ewma-latency its window is a number of tasks instead of seconds, and peaks do not count more: a measurement stays
until other tasks have displaced it from the average.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, ClassVar

from pydantic import Field

from poolctl.plugin import Dispatch, InboxView, Task

PENALTY = 1.0  # seconds


@dataclass
class LeastTime(Dispatch):
    """The lowest product of the average time of recent tasks and the load (least_time in NGINX Plus)."""

    interface: ClassVar[int] = 1

    window: Annotated[int, Field(ge=1, le=100_000, description="tasks in the average, approximately")] = 50
    # By inbox: the average in seconds, and the number of tasks in it.
    _averages: dict[int, tuple[float, int]] = field(default_factory=dict, init=False, repr=False)
    _last: int = field(default=-1, init=False, repr=False)

    def pick(self, task: Task, inboxes: tuple[InboxView, ...]) -> InboxView:
        best, price = inboxes[0], (float("inf"), 0, 0)
        for inbox in inboxes:
            load = inbox.load
            # A new inbox costs nothing until it has its first task, which may turn out to be slow.
            seconds, _ = self._averages.get(inbox.index, (PENALTY * bool(load), 0))
            rank = (seconds * (load + 1), load, (inbox.index - self._last - 1) % 4096)
            if rank < price:
                best, price = inbox, rank
        self._last = best.index
        return best

    def finished(self, task: Task, inbox: InboxView, seconds: float) -> None:
        average, count = self._averages.get(inbox.index, (0.0, 0))
        count = min(count + 1, self.window)
        self._averages[inbox.index] = (average + (seconds - average) / count, count)

    def left(self, inbox: InboxView) -> None:
        self._averages.pop(inbox.index, None)  # its successor starts afresh
