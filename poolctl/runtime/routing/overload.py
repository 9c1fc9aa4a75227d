"""Overload: a queue in the front that is bounded by time, not by a count.

    FINE --- the oldest task has been older than the target for PATIENCE_TARGETS of it ---> OVERLOADED
      ^------------------------------- the queue is empty -------------------------------------+

FINE        oldest first; nothing is refused
OVERLOADED  newest first; a task that is older than the target is refused

A burst ends by itself: its last tasks are late, and all are answered. In an overload that lasts somebody has to be
refused, and better at once than after a timeout of its client, whose answer nobody reads. The queue is then as long as
the target, so that workers never lack work, and the newest tasks are those whose clients are still there. That is
controlled delay (Nichols and Jacobson, "Controlling Queue Delay", ACM Queue 10(5), 2012; RFC 8289) with the answer that
Facebook gave for requests (Maurer, "Fail at Scale", ACM Queue 13(8), 2015): adaptive LIFO, and one short limit.

Pure: no clock, no queue. The router asks, with the time.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Final

PATIENCE_TARGETS: Final = 10  # how long the oldest task may be late, in targets: 1 s by default
SERVICE_TIMES: Final = 2  # the target is at least so many service times: a task waits for one even in a short queue


class State(Enum):
    """Whether the queue is overloaded."""

    FINE = "oldest first; nothing is refused"
    OVERLOADED = "newest first; a task that is older than the target is refused"


FINE: Final[State] = State.FINE
OVERLOADED: Final[State] = State.OVERLOADED


@dataclass(frozen=True, kw_only=True)
class OverloadLimits:
    """``target``: seconds that a task may wait; ``newest``: whether the newest tasks go first in an overload."""

    target: float = 0.1
    newest: bool = True


class Overload:
    """The state of one queue."""

    def __init__(self, limits: OverloadLimits) -> None:
        self.limits = limits
        self.state = FINE
        self.service = 0.0  # seconds that a request takes on average; set by the front
        self._late_since = 0.0  # since when the oldest task has been too old; 0: it is not
        self._looked = 0.0

    @property
    def target(self) -> float:
        """Seconds that a task may wait."""
        return max(self.limits.target, SERVICE_TIMES * self.service)

    @property
    def newest_first(self) -> bool:
        """Whether the newest task is next."""
        return self.state is OVERLOADED and self.limits.newest

    def emptied(self) -> None:
        """No task waits."""
        self.state = FINE
        self._late_since = 0.0

    def pause(self, now: float) -> None:
        """No worker is there to take a task, which says nothing about the load: count from its return."""
        self._late_since = 0.0
        self._looked = now

    def look(self, now: float, oldest: float) -> float:
        """Note when the oldest task that waits arrived, in seconds like ``now``. Returns before when a task must have
        arrived to be refused; 0: none is."""
        target = self.target
        if now - self._looked > target:
            self.emptied()  # no task has waited for so long
        self._looked = now
        if now - oldest <= target:
            self._late_since = 0.0
        elif not self._late_since:
            self._late_since = now
        elif now - self._late_since >= PATIENCE_TARGETS * target:
            self.state = OVERLOADED
        return now - target if self.state is OVERLOADED else 0.0
