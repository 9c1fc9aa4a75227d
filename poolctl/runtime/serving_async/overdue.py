"""Requests that an event loop has had in flight for too long (timeouts.request), found by sampling, so that a request
pays nothing for it."""

from __future__ import annotations

import asyncio
from collections.abc import Hashable, Mapping
from math import inf

TOO_LATE = 504


class Overdue:
    """Notes when it first saw each request in flight. ``limit``: seconds. ``deaf``: the tasks that go on although their
    time was over at an earlier look."""

    def __init__(self, limit: float) -> None:
        self.limit = limit
        self.deaf: list[asyncio.Task[None]] = []
        self._met: dict[Hashable, float] = {}  # when a look first saw a request; infinite once its time is over

    def look(self, in_flight: Mapping[Hashable, asyncio.Task[None]], now: float) -> list[asyncio.Task[None]]:
        """Return the tasks whose time has ended since the last look, each task once. ``in_flight``: the tasks to look
        at, by a key for each request."""
        self._met = {key: self._met.get(key, now) for key in in_flight}
        self.deaf = [in_flight[key] for key, since in self._met.items() if since == inf]
        late = [key for key, since in self._met.items() if now - since > self.limit]
        self._met.update(dict.fromkeys(late, inf))
        return [in_flight[key] for key in late]
