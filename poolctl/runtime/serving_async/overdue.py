"""Requests that an event loop has had in flight for too long (timeouts.request), found by sampling, so that a request
pays nothing for it."""

from __future__ import annotations

import asyncio
from collections.abc import Hashable, Mapping
from math import inf

from poolctl.runtime.timeouts import Timeouts

TOO_LATE = 504


class Overdue:
    """Notes when it first saw each request in flight. ``timeouts``: with a limit on requests. ``deaf``: the tasks that
    go on although their time was over at an earlier look."""

    def __init__(self, timeouts: Timeouts) -> None:
        self._timeouts = timeouts
        self.deaf: list[asyncio.Task[None]] = []
        self._last = self.limit  # at the last look
        # when a look first saw a request, and the limit at its beginning; infinite once its time is over
        self._met: dict[Hashable, tuple[float, float]] = {}

    @property
    def limit(self) -> float:
        """Seconds that a request may take which begins now. One that is in flight keeps a longer limit."""
        return inf if self._timeouts.request is None else self._timeouts.request

    def look(self, in_flight: Mapping[Hashable, asyncio.Task[None]], now: float) -> list[asyncio.Task[None]]:
        """Return the tasks whose time has ended since the last look, each task once. ``in_flight``: the tasks to look
        at, by a key for each request."""
        limit = self.limit
        first = max(limit, self._last)  # a request that is seen for the first time may have begun before a change
        self._last = limit
        self._met = {key: self._met.get(key, (now, first)) for key in in_flight}
        self.deaf = [in_flight[key] for key, (since, _) in self._met.items() if since == inf]
        late = [key for key, (since, its) in self._met.items() if now - since > max(its, limit)]
        self._met.update(dict.fromkeys(late, (inf, limit)))
        return [in_flight[key] for key in late]
