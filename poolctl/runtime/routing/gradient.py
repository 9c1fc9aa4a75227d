"""How many requests an async worker is to have at once, found from how long they take.

    times --> mean of a window --> limit * gradient + sqrt(limit) --> smoothed
                                           |
    a usual time / that mean, 0.5 to 1 ----+    the usual time: while the limit is used to half at most

While requests take little longer than usual the limit grows by its root, which is the queue that it allows; when they
take much longer they wait inside the worker, and it shrinks. This is the limit named Gradient2 (Eran Landau, William
Thurston, Tim Bozarth: "Performance Under Load", Netflix 2018), with one difference. There the usual time is an average
over all times, so in a load that lasts the wait becomes usual and the limit grows for ever. Here only times without a
wait count: those of windows in which the limit was used to half at most. Under load there are none, so once in a while
the limit is halved until there is one (``_dip``), as BBR does to find its shortest round trip (Cardwell et al. 2016).

A limit that is hardly used does not grow. Pure: no clock, no sockets; the front reports what it sees.
"""

from __future__ import annotations

from math import sqrt
from typing import Final

FIRST_LIMIT: Final = 20
TOLERANCE: Final = 1.5  # times the usual time that requests may take before the limit shrinks
LEAST_GRADIENT: Final = 0.5
SMOOTHING: Final = 0.2  # share of the newest figure
WINDOW_SAMPLES: Final = 10  # at least, in a window
DIP_WINDOWS: Final = 300  # between two dips: half a minute, where windows take 0.1 s
FIRST_DIP_WINDOWS: Final = 30  # before the first


class Gradient:
    """``most``: the highest limit."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._limit = float(min(FIRST_LIMIT, most))
        self._usual = 0.0  # seconds; 0: not known yet
        self._total = 0.0  # seconds of the requests of this window, together
        self._count = 0
        self._since = 0.0  # when the window began; 0: none has
        self._windows = DIP_WINDOWS - FIRST_DIP_WINDOWS  # since the last dip
        self._before = self._limit  # the limit after the last dip
        self._dipping = False
        self._skip = 0  # requests to end that began before the dip

    @property
    def limit(self) -> int:
        """Requests that each worker may have at once now."""
        limit = max(round(self._limit), 1)
        return max(limit // 2, 1) if self._dipping else limit

    def took(self, seconds: float) -> None:
        """A worker has had a request for so long."""
        if self._skip:
            self._skip -= 1
        else:
            self._total += seconds
            self._count += 1

    def look(self, now: float, workers: int) -> None:
        """End the window if enough requests have ended in it, and set the limit. ``now``: seconds, monotonic."""
        if not self._since:
            self._since = now
        if self._count < WINDOW_SAMPLES or now <= self._since:
            return
        seconds = self._total / self._count
        load = self._total / (now - self._since) / workers  # requests at once in each worker (Little 1961)
        self._begin_window(now)
        if self._dipping:
            self._dipping = False
            self._usual = seconds
            self._windows, self._before = 0, self._limit
        elif load <= self._limit / 2 or not self._usual:
            self._usual += (seconds - self._usual) * (SMOOTHING if self._usual else 1)
        else:
            self._adapt(seconds, workers)

    def _begin_window(self, now: float) -> None:
        self._total, self._count, self._since = 0.0, 0, now

    def _adapt(self, seconds: float, workers: int) -> None:
        if seconds < self._usual:
            self._usual += (seconds - self._usual) * SMOOTHING
        gradient = max(LEAST_GRADIENT, min(TOLERANCE * self._usual / seconds, 1.0))
        wanted = self._limit * gradient + sqrt(self._limit)
        self._limit = min(max(self._limit + (wanted - self._limit) * SMOOTHING, 1.0), float(self._most))
        self._windows += 1
        if self._windows >= DIP_WINDOWS or self._limit < self._before / 2:  # what is usual may have changed
            self._dip(workers)

    def _dip(self, workers: int) -> None:
        """Halve the limit until a window has ended in which no request waits for another."""
        self._skip = self.limit * workers  # what workers have now
        self._dipping = True
