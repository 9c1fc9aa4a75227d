"""The flow of a pool, as its front sees it: how many workers are ready, and how fast they finish tasks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from poolctl.runtime.scoreboard import DONE, READY, STATE

FLOW_SECONDS: Final = 0.1  # between two readings
NEW_SHARE: Final = 0.3  # of a look in the figure that is kept
AHEAD_SECONDS: Final = 0.005  # of work that lies ready in a shared inbox, so that no worker waits for the front


class Flow:
    """``rows``: those in which workers count what they have finished; ``each``: the tasks that one of them serves at
    once. All is read, nothing is written.

    ``ready``    tasks that the workers which are ready serve at once
    ``rate``     tasks finished per second, lately
    ``service``  seconds that a task takes, by Little's law (Little 1961): those in flight, divided by the rate
    """

    def __init__(self, rows: Sequence[memoryview], each: int = 1) -> None:
        self._rows = rows
        self._each = each
        self._looked = 0.0
        self._since = 0.0  # when tasks were last seen to finish
        self._done = 0
        self.ready = 0
        self.rate = 0.0
        self.service = 0.0

    def look(self, now: float, sent: int) -> None:
        """Read the rows again, if it is time. ``sent``: tasks that workers have or could take."""
        if now - self._looked < FLOW_SECONDS:
            return
        first, self._looked = not self._looked, now
        done = sum(row[DONE] for row in self._rows)
        self.ready = self._each * sum(row[STATE] == READY for row in self._rows)
        finished, past, busy = done - self._done, now - self._since, min(self.ready, sent)
        if first or not busy:
            self._since, self._done = now, done
        elif finished:
            self._since, self._done = now, done
            self.rate = finished / past
            found = busy / self.rate
            self.service += (found - self.service) * (NEW_SHARE if self.service else 1.0)
        else:  # none has finished in all this time
            self.service = max(self.service, past)

    @property
    def most(self) -> int:
        """How many tasks may be in a shared inbox or in flight: one for each worker, and AHEAD_SECONDS of work."""
        ahead = self.ready if not self.service else int(self.ready * AHEAD_SECONDS / self.service)
        return max(self.ready + ahead, 1)

    def seconds_for(self, tasks: int) -> int:
        """Return in how many seconds so many tasks would be finished, from 1 to 60, for ``Retry-After`` (RFC 9110,
        10.2.3)."""
        return max(1, min(60, round(tasks * self.service / max(self.ready, 1))))
