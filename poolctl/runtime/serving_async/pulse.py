"""How late an event loop is: it beats, and notes by how much each beat came too late.

    an event -- wake --> beat --100 ms--> beat --100 ms--> beat --> rests, until the next event
                         row[BEAT]: when the last was; row[LAG]: by how much they are late

Beats are callbacks like those of the app, and wait for their turn as those do. A loop that an app blocks writes nothing
at all; whoever reads the row counts the time since the last beat (``lag_of`` in scoreboard.py), which is why an event
wakes the pulse before its handler is called.

An idle loop is not woken: it beats while something happens, or a request is in flight, and until what was late is
forgotten. WebSockets and conversations without a timeout may wait for hours, so they count only while their clients
send something. Not guaranteed: work that an app does on its own, while nothing is in flight, is not seen.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextvars import Context
from time import monotonic_ns
from typing import Final

from poolctl.runtime.scoreboard import BEAT, BEAT_NS, LAG

FORGETS_BEATS: Final = 10  # of 100 ms, in which the figure falls to a third
NEGLIGIBLE_NS: Final = 1_000_000  # of lag, with which a loop may rest


class Pulse:
    """The beats of one event loop. ``context``: that of the callbacks; ``in_flight``: whether a request is in flight;
    ``clock``: nanoseconds, monotonic.

    ``row``    the worker's row, once it is known
    ``quiet``  nothing has happened since the last beat: ``wake`` is to be called when something does
    """

    def __init__(
        self,
        events: asyncio.AbstractEventLoop,
        context: Context,
        in_flight: Callable[[], bool],
        clock: Callable[[], int] = monotonic_ns,
    ) -> None:
        self.row: memoryview | None = None
        self.quiet = True
        self._events = events
        self._context = context
        self._in_flight = in_flight
        self._clock = clock
        self._beats = False  # a beat is to come
        self._idle = 0  # beats in a row with nothing to do
        self._due = 0  # when the next beat should come

    def wake(self) -> None:
        """Something happens in the loop. To be called only while ``quiet``: that is ten times a second."""
        row = self.row
        if row is not None:
            self.quiet = False
            if not self._beats:
                self._beats = True
                self._next(row)

    def _next(self, row: memoryview) -> None:
        row[BEAT] = now = self._clock()
        self._due = now + BEAT_NS
        self._events.call_later(BEAT_NS / 1e9, self._beat, row, context=self._context)

    def _beat(self, row: memoryview) -> None:
        late = max(self._clock() - self._due, 0)
        self._idle = self._idle + 1 if self.quiet and not self._in_flight() else 0
        self.quiet = True
        try:
            lag = row[LAG]
            lag = max(late, lag - (lag - late) // FORGETS_BEATS)
            if self._idle and (lag < NEGLIGIBLE_NS or self._idle >= FORGETS_BEATS):
                self._beats = False
                row[BEAT] = row[LAG] = 0
            else:
                row[LAG] = lag
                self._next(row)
        except ValueError:
            return  # this is a child that the app has forked: the row is no longer its own
