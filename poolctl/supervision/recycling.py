"""The key ``recycle``: which workers are due to be replaced, and why.

Each process has limits of its own, lower than those of the topology by up to ``jitter``, so that workers which started
together are not due together. Memory is judged by three samples in a row, since a large request may be in one. It is
PSS: of a page that n processes share, each has the n-th part (proc(5), smaps_rollup).

Pure but for `memory_of`: times are monotonic seconds, and the mold passes figures.
"""

from __future__ import annotations

import logging
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from os import sysconf
from pathlib import Path

log = logging.getLogger("poolctl")

WATCH_SECONDS = 1.0  # between two looks at requests and ages
SAMPLE_SECONDS = 5.0  # between two samples of a worker's memory
SAMPLES = 3  # in a row that are above the limit
KIB = 1024


@dataclass(frozen=True)
class RecycleLimits:
    """When a worker is replaced; None: no limit. ``jitter``: part of a limit; ``least``: seconds."""

    requests: int | None = None
    age: float | None = None  # seconds
    memory: int | None = None  # bytes
    jitter: float = 0.0
    least: float = 0.0


@dataclass(frozen=True)
class WorkerFigures:
    """A worker that serves. ``requests``: answered under its number so far, by earlier processes too."""

    pid: int
    since: float  # when it became ready
    requests: int


@dataclass
class _Watched:
    factor: float  # of this process: its limits are those of the topology times this
    first: int  # requests before it
    next_sample: float
    samples: list[int] = field(default_factory=list)  # the last ones

    def sample(self, used: int, now: float) -> None:
        """Record a sample of its memory, in bytes."""
        self.next_sample = now + SAMPLE_SECONDS
        self.samples = [*self.samples, used][-SAMPLES:]


class Recycling:
    """Looks at the workers of one mold from time to time. ``memory_of``: returns the bytes that a process uses, None if
    it has ended; ``dice``: returns a number from 0 to 1."""

    def __init__(
        self,
        limits: RecycleLimits,
        memory_of: Callable[[int], int | None] | None = None,
        dice: Callable[[], float] = random.random,
    ) -> None:
        self.limits = limits
        self.due = 0.0  # when the next look is due
        self._memory_of = memory_of or Memory().of
        self._dice = dice
        self._watched: dict[int, _Watched] = {}  # by pid

    def limit_by(self, limits: RecycleLimits) -> None:
        """Use these limits from the next look on. Each worker keeps the share of them that it has drawn."""
        self.limits = limits

    def look(self, now: float, workers: Sequence[WorkerFigures]) -> list[tuple[int, str]]:
        """Return the pids of the workers that are due, with the reasons."""
        if now < self.due:
            return []
        self.due = now + WATCH_SECONDS
        before, self._watched = self._watched, {}
        found = []
        for worker in workers:
            watched = before.get(worker.pid) or self._begin(worker, now)
            self._watched[worker.pid] = watched
            if reason := self._reason(worker, watched, now):
                found.append((worker.pid, reason))
        return found

    def _begin(self, worker: WorkerFigures, now: float) -> _Watched:
        factor = 1 - self.limits.jitter * self._dice()
        return _Watched(factor, worker.requests, now + SAMPLE_SECONDS * self._dice())

    def _reason(self, worker: WorkerFigures, watched: _Watched, now: float) -> str:
        limits, age = self.limits, now - worker.since
        heavy = self._heavy(worker.pid, watched, now)
        if age < limits.least:
            return ""
        if limits.requests is not None and worker.requests - watched.first >= limits.requests * watched.factor:
            return f"it has answered {worker.requests - watched.first} requests (recycle.requests)"
        if limits.age is not None and age >= limits.age * watched.factor:
            return f"it has served for {age:.0f} s (recycle.age)"
        return f"it uses {heavy / KIB**2:.0f} MiB (recycle.memory)" if heavy else ""

    def _heavy(self, pid: int, watched: _Watched, now: float) -> int:
        """Return the bytes that a process uses, if the last samples are all above its limit; otherwise 0."""
        limit = self.limits.memory
        if limit is None:
            return 0
        if now >= watched.next_sample and (used := self._memory_of(pid)) is not None:
            watched.sample(used, now)
        least = min(watched.samples, default=0)
        return least if len(watched.samples) == SAMPLES and least > limit * watched.factor else 0


class Memory:
    """Reads how much memory a process uses. A process whose user has changed may not be allowed to see the PSS of
    others; then it is the resident size, in which shared pages count fully, and the log says so once."""

    def __init__(self) -> None:
        self._said = False

    def of(self, pid: int) -> int | None:
        """Return the bytes; None if the process has ended."""
        try:
            with Path(f"/proc/{pid}/smaps_rollup").open() as file:
                return next(int(line.split()[1]) * KIB for line in file if line.startswith("Pss:"))
        except (FileNotFoundError, ProcessLookupError, StopIteration):
            return None
        except OSError as error:
            if not self._said:
                self._said = True
                log.warning("recycle.memory: the kernel does not show PSS (%s): RSS is used", error.strerror)
        try:
            return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * sysconf("SC_PAGE_SIZE")
        except (OSError, IndexError):
            return None
