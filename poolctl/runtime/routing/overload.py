"""Overload: a queue in the front that is bounded by time, not by a count.

    FINE --- the oldest task has been older than the target for PATIENCE_TARGETS of it ---> OVERLOADED
      ^------------------------------- the queue is empty -------------------------------------+

FINE        oldest first; nothing is refused
OVERLOADED  newest first; a task that is older than the target is refused

Soon after an overload one target is enough: a queue that is empty for a moment does not end what has caused it.

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
from math import inf
from typing import Final

PATIENCE_TARGETS: Final = 10  # how long the oldest task may be late, in targets: 1 s by default
AGAIN_TARGETS: Final = 100  # for so long after an overload one target is enough
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
        self._ended = -inf  # when it was last overloaded
        self._paused = -inf  # when workers were last not to blame for what waits

    @property
    def target(self) -> float:
        """Seconds that a task may wait."""
        return max(self.limits.target, SERVICE_TIMES * self.service)

    @property
    def newest_first(self) -> bool:
        """Whether the newest task is next."""
        return self.state is OVERLOADED and self.limits.newest

    def emptied(self) -> None:
        """No task waits any more."""
        if self.state is OVERLOADED:
            self._ended = self._looked
        self.state = FINE
        self._late_since = 0.0

    def pause(self, now: float) -> None:
        """What waits says nothing about the load: no worker is there, or the strategy holds tasks back. All that wait
        now count as if they had just come."""
        self.state = FINE
        self._late_since = 0.0
        self._looked = self._paused = now

    def look(self, now: float, oldest: float) -> float:
        """Note when the oldest task that waits arrived, in seconds like ``now``. Returns before when a task must have
        arrived to be refused; 0: none is."""
        self._looked = now
        target = self.target
        least = now - target
        if max(oldest, self._paused) >= least:
            self._late_since = 0.0
        elif not self._late_since:
            self._late_since = now
        elif now - self._late_since >= target * self._patience(now):
            self.state = OVERLOADED
        return least if self.state is OVERLOADED and self._paused < least else 0.0

    def _patience(self, now: float) -> int:
        return 1 if now - self._ended < AGAIN_TARGETS * self.target else PATIENCE_TARGETS
