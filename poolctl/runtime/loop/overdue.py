"""What has gone on for too long, found by sampling, so that nothing is paid for it while it goes on: the requests of an
event loop (timeouts.request), and what streams in a drain (timeouts.stream)."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Generic, TypeVar

TOO_LATE = 504
T = TypeVar("T")  # what stands for a request or a stream: its task, for instance


class Overdue(Generic[T]):
    """Notes when it first saw each of them. ``limit``: seconds. ``deaf``: those that go on although their time was over
    at an earlier look, ``patience`` seconds ago or more."""

    def __init__(self, limit: float, patience: float = 0.0) -> None:
        self.limit = limit
        self.deaf: list[T] = []
        self._patience = patience
        self._met: dict[Hashable, float] = {}  # when a look first saw it
        self._over: dict[Hashable, float] = {}  # when a look found that its time was over

    def look(self, in_flight: Mapping[Hashable, T], now: float) -> list[T]:
        """Return those whose time has ended since the last look, each once. ``in_flight``: all that there are, by a key
        for each."""
        self._met = {key: self._met.get(key, now) for key in in_flight}
        self._over = {key: since for key, since in self._over.items() if key in in_flight}
        self.deaf = [in_flight[key] for key, since in self._over.items() if now - since >= self._patience]
        late = [key for key, since in self._met.items() if now - since > self.limit and key not in self._over]
        self._over.update(dict.fromkeys(late, now))
        return [in_flight[key] for key in late]

    def again(self, key: Hashable) -> None:
        """Return it at the next look once more: it could not be ended."""
        self._over.pop(key, None)
