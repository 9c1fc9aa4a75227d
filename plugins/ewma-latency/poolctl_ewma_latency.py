"""ewma-latency: the inbox that is expected to answer first, by a moving average that reacts to slow tasks immediately.

The cost of an inbox is its average time multiplied by its number of tasks including this one. The average jumps to a
longer time immediately and approaches a shorter one gradually (peak EWMA: Finagle's PeakEwma, Linkerd 2).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from math import exp
from typing import Annotated, ClassVar

from pydantic import Field

from poolctl.plugin import Dispatch, InboxView, Task

PENALTY = 1.0  # seconds


class Average:
    """The average of one inbox: ``cost`` in seconds, as of the time ``stamp``."""

    __slots__ = ("cost", "stamp")

    def __init__(self, cost: float, stamp: float) -> None:
        self.cost = cost
        self.stamp = stamp

    def at(self, now: float, decay: float) -> float:
        """Return the decayed cost at a time: without news it shrinks, so that a slow worker is tried again."""
        return self.cost * exp(-max(now - self.stamp, 0.0) / decay)

    def observe(self, seconds: float, now: float, decay: float) -> None:
        if seconds > self.cost:
            self.cost = seconds
        else:
            weight = exp(-max(now - self.stamp, 0.0) / decay)
            self.cost = self.cost * weight + seconds * (1 - weight)
        self.stamp = max(now, self.stamp)


@dataclass
class EwmaLatency(Dispatch):
    """The lowest product of average time and load (peak EWMA); slow tasks count immediately, fast ones gradually."""

    interface: ClassVar[int] = 1

    decay: Annotated[
        float, "seconds", Field(gt=0, le=3600, description="time after which a measurement counts a third")
    ] = 10.0
    _averages: dict[int, Average] = field(default_factory=dict, init=False, repr=False)
    _last: int = field(default=-1, init=False, repr=False)

    def pick(self, task: Task, inboxes: tuple[InboxView, ...]) -> InboxView:
        best, price = inboxes[0], (float("inf"), 0, 0)
        for inbox in inboxes:
            average, load = self._averages.get(inbox.index), inbox.load
            # A new inbox costs nothing until it has its first task, which may turn out to be slow (Finagle's penalty).
            cost = average.at(task.arrived, self.decay) if average else PENALTY * bool(load)
            # Among equals the least loaded, in turn.
            rank = (cost * (load + 1), load, (inbox.index - self._last - 1) % 4096)
            if rank < price:
                best, price = inbox, rank
        self._last = best.index
        return best

    def finished(self, task: Task, inbox: InboxView, seconds: float) -> None:
        now = task.arrived + seconds
        average = self._averages.get(inbox.index)
        if average is None:
            self._averages[inbox.index] = Average(seconds, now)
        else:
            average.observe(seconds, now, self.decay)

    def left(self, inbox: InboxView) -> None:
        self._averages.pop(inbox.index, None)  # its successor starts afresh
