"""How many workers a pool of `size: {min, max}` has: as many as the load needs, and fewer when it is gone.

    grow    every worker is busy and tasks wait, at each look for `scale.wait`: as many as the offered load needs (busy
            and waiting tasks together), at least one more. Without a queue in front of the workers nobody sees what
            waits; then every worker was busy, and there are twice as many
    shrink  to the most that were needed at any look of a window of `scale.idle`, after each window

If the pool grows within a window after it shrank it was too eager: the window doubles, up to eight times its length,
and halves after each window in which nothing changed (compare uWSGI's cheaper-busyness, which backs off likewise).

Pure: the mold measures, and passes times in monotonic seconds.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil

LONGEST_WINDOW = 8  # times scale.idle
LEAST_LOOK_SECONDS = 0.01  # between two looks


@dataclass(frozen=True)
class ScaleLimits:
    """``least``, ``most``: workers; ``wait``, ``idle``: seconds; ``memory``: bytes of all processes, from which
    on the pool does not grow; None: no limit."""

    least: int
    most: int
    wait: float
    idle: float
    memory: int | None = None


@dataclass(frozen=True)
class PoolLoad:
    """What the workers are doing. ``capacity``: requests that one can serve at a time; ``waiting``: tasks that no
    worker has taken; None where no front has a queue."""

    busy: int
    capacity: int
    waiting: int | None


class Elastic:
    """Decides for one generation."""

    def __init__(self, limits: ScaleLimits) -> None:
        self.limits = limits
        self.due = 0.0  # when the next look is due
        self._full_since: float | None = None  # since when every look has found too few workers
        self._window_began: float | None = None
        self._peak = 0  # the most workers that were needed in this window
        self._stretch = 1  # windows are so many times as long as scale.idle
        self._shrank = False  # at the end of the last window
        self._calm = True  # nothing has changed in this window

    def limit_by(self, limits: ScaleLimits) -> None:
        """Use these limits from the next look on."""
        self.limits = limits

    @property
    def window(self) -> float:
        """Seconds for which fewer workers must have been enough."""
        return self.limits.idle * self._stretch

    def look(self, now: float, size: int, load: PoolLoad) -> int:
        """Return how many workers there should be. ``size``: how many there are to be so far."""
        limits = self.limits
        self.due = now + max(limits.wait / 2, LEAST_LOOK_SECONDS)
        if self._window_began is None:
            self._window_began = now
        offered = ceil((load.busy + (load.waiting or 0)) / load.capacity)
        self._peak = max(self._peak, min(offered, limits.most))
        if load.busy >= size * load.capacity and load.waiting != 0:
            # at least one more; twice as many where nobody sees what waits
            return self._grown(now, size, size * 2 if load.waiting is None else max(offered, size + 1))
        self._full_since = None
        return self._shrunk(now, self._window_began, size)

    def pause(self, until: float) -> None:
        """Do not look again before this moment."""
        self.due = until

    def _grown(self, now: float, size: int, needed: int) -> int:
        if self._full_since is None:
            self._full_since = now
        if now - self._full_since < self.limits.wait or size >= self.limits.most:
            return size
        self._full_since = None
        if self._shrank and self._calm:
            self._stretch = min(self._stretch * 2, LONGEST_WINDOW)
        self._calm = False
        return min(needed, self.limits.most)

    def _shrunk(self, now: float, began: float, size: int) -> int:
        if now - began < self.window:
            return size
        target = max(self._peak, self.limits.least)
        self._shrank = target < size
        if self._calm and not self._shrank:
            self._stretch = max(self._stretch // 2, 1)
        self._window_began, self._peak, self._calm = now, 0, True
        return min(target, size)
