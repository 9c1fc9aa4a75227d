"""The flow of a pool, as its front sees it: how many workers are ready, and how fast they finish tasks."""

from __future__ import annotations

from collections.abc import Sequence
from math import exp
from typing import Final

from poolctl.runtime.scoreboard import DONE, READY, STATE, TAKEN

FLOW_SECONDS: Final = 0.1  # between two readings
MEMORY_SECONDS: Final = 2.0  # after which a reading counts for a third
READING_SECONDS: Final = 1.0  # of the time since the last reading that count: a front that idles does not read
AHEAD_SECONDS: Final = 0.005  # of work that lies ready in a shared inbox, so that no worker waits for the front


class Flow:
    """``rows``: those in which workers count what they have taken and finished; ``each``: the tasks that one of them
    serves at once. All is read, nothing is written.

    ``ready``    tasks that the workers which are ready serve at once
    ``away``     tasks that workers have which are not: they leave
    ``service``  seconds that a task takes, by Little's law (Little 1961): the time that workers were busy, divided by
                 the number of tasks that they finished in it
    """

    def __init__(self, rows: Sequence[memoryview], each: int = 1) -> None:
        self._rows = rows
        self._each = each
        self._looked = 0.0
        self._done = 0
        self._busy = 0  # at the last reading
        self._worked = 0.0  # seconds, of all workers together; older ones count less
        self._finished = 0.0  # tasks; the same
        self.exact = False  # the limit of each worker is to be kept: nothing lies ready beyond it
        self.rate = 0.0  # tasks a second, at the last reading
        self.ready = self.away = 0
        self.service = 0.0

    def limit_to(self, each: int) -> None:
        """Let each worker have exactly so many tasks at once from now on."""
        self._each, self.exact = each, True

    def look(self, now: float, sent: int) -> bool:
        """Read the rows again, if it is time. ``sent``: tasks that workers have or could take. Returns whether it
        did."""
        past = now - self._looked
        if past < FLOW_SECONDS:
            return False
        first, self._looked = not self._looked, now
        before, self._done = self._done, sum(row[DONE] for row in self._rows)
        self.ready = self._each * sum(row[STATE] == READY for row in self._rows)
        self.away = sum(row[TAKEN] - row[DONE] for row in self._rows if row[STATE] != READY)
        busy, self._busy = self._busy, min(self.ready, max(sent - self.away, 0))
        if first:
            return True
        self.rate = (self._done - before) / past
        past = min(past, READING_SECONDS)
        left = exp(-past / MEMORY_SECONDS)
        self._worked = self._worked * left + past * (busy + self._busy) / 2
        self._finished = self._finished * left + self._done - before
        if self._finished >= 1:
            self.service = self._worked / self._finished
        elif self._busy:  # hardly any has finished lately
            self.service = max(self.service, self._worked / self._busy)
        return True

    @property
    def most(self) -> int:
        """How many tasks may be in a shared inbox or in flight: one for each worker, and AHEAD_SECONDS of work. What
        leaving workers have takes no place of the others."""
        return max(self.ready + self.ahead(self.ready), 1) + self.away

    def ahead(self, seats: int) -> int:
        """How many tasks may lie ready for a worker that serves so many at once: AHEAD_SECONDS of work."""
        if self.exact:
            return 0
        return int(seats * AHEAD_SECONDS / self.service) if self.service else seats

    def seconds_for(self, tasks: int) -> int:
        """Return in how many seconds so many tasks would be finished, from 1 to 60, for ``Retry-After`` (RFC 9110,
        10.2.3)."""
        return max(1, min(60, round(tasks * self.service / max(self.ready, 1))))
