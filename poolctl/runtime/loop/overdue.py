"""What has gone on for too long, found by sampling, so that nothing is paid for it while it goes on: the requests of an
event loop (timeouts.request), and what streams in a drain (timeouts.stream)."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from typing import Generic, TypeVar

TOO_LATE = 504
T = TypeVar("T")  # what stands for a request or a stream: its task, for instance


class Overdue(Generic[T]):
    """Notes when it first saw each of them. ``seconds``: returns the limit of one that begins now; one that goes on
    keeps a longer limit. ``deaf``: those that go on although their time was over at an earlier look, ``patience``
    seconds ago or more."""

    def __init__(self, seconds: Callable[[], float], patience: float = 0.0) -> None:
        self._seconds = seconds
        self.deaf: list[T] = []
        self._patience = patience
        self._last = seconds()  # at the last look
        self._met: dict[Hashable, tuple[float, float]] = {}  # when a look first saw it, and its limit then
        self._over: dict[Hashable, float] = {}  # when a look found that its time was over

    @property
    def limit(self) -> float:
        """Seconds that one may take which begins now."""
        return self._seconds()

    def look(self, in_flight: Mapping[Hashable, T], now: float) -> list[T]:
        """Return those whose time has ended since the last look, each once. ``in_flight``: all that there are, by a key
        for each."""
        limit = self.limit
        first = max(limit, self._last)  # one that is seen for the first time may have begun before a change
        self._last = limit
        self._met = {key: self._met.get(key, (now, first)) for key in in_flight}
        self._over = {key: since for key, since in self._over.items() if key in in_flight}
        self.deaf = [in_flight[key] for key, since in self._over.items() if now - since >= self._patience]
        met = self._met.items()
        late = [key for key, (since, its) in met if key not in self._over and now - since > max(its, limit)]
        self._over.update(dict.fromkeys(late, now))
        return [in_flight[key] for key in late]

    def again(self, key: Hashable) -> None:
        """Return it at the next look once more: it could not be ended."""
        self._over.pop(key, None)
