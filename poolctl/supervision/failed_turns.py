"""The boundary around the turns of the supervisor's and the mold's loop: an error ends a turn, not the loop.

Each turn does all that is due, so the next one goes on where a failed one has stopped; what a turn has taken (a dead
child's status, a signal) is kept until it is dealt with. Memory may run out at any line, and in the mold a signal
handler of a preloaded app may raise anywhere.
"""

from __future__ import annotations

import logging
import time
from contextlib import suppress

from poolctl.runtime.system import forked

log = logging.getLogger("poolctl")

MAX_FAILURES = 100  # of turns in a row; a loop that cannot complete a turn any more must end
SHORTAGE_SECONDS = 0.1  # seconds until a process without memory takes its next turn
SPIN_SECONDS = 0.01  # seconds; failures that are further apart are not counted as a row


class FailedTurns:
    """Counts them. ``whose``: the loop's, for the log."""

    def __init__(self, whose: str) -> None:
        self._whose = whose
        self._row = 0
        self._last = 0.0  # when the last one failed, on the monotonic clock

    def note(self, error: BaseException) -> None:
        """Log the error of a turn. Raises it when too many turns in a row have failed."""
        forked.leave()
        now = time.monotonic()
        self._row = self._row + 1 if now - self._last < SPIN_SECONDS else 0
        self._last = now
        if self._row > MAX_FAILURES:
            raise error
        with suppress(MemoryError):  # there may not be enough for the line either
            log.error("%s's loop raised an error; continuing", self._whose, exc_info=error)
        if isinstance(error, MemoryError):
            time.sleep(SHORTAGE_SECONDS)  # which makes it no row: others may give memory back
