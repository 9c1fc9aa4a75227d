"""leader/followers: all workers wait for connections, one is woken, and there is no dispatcher (Schmidt et al., POSA2,
ch. 5)."""

from __future__ import annotations

import fcntl
import threading
from dataclasses import dataclass, field
from math import inf
from time import monotonic
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from poolctl.runtime.affinity import Affinity
from poolctl.runtime.affinity.request import Request
from poolctl.runtime.buffers.temporary import unnamed
from poolctl.runtime.lifeline import Life
from poolctl.runtime.listen.listening import AcceptLock, listen
from poolctl.runtime.ownership import Ownership, Work
from poolctl.runtime.site import Site

LEADER_SECONDS = 0.02  # seconds that a leader may take for accept; others then do not wait for it any longer

Lock = Annotated[
    Literal["kernel", "file", "mutex"],
    Field(description="what chooses the leader: the kernel, or a lock around accept, in a file or among threads"),
]


@dataclass
class LeaderFollowers(Ownership):
    """Threads with affinity request share one event set, so any of them serves any ready request; otherwise each worker
    shares only the listening sockets and keeps the connections it accepted."""

    like: ClassVar[str] = "leader/followers"
    lock: Lock = "kernel"
    _held: AcceptLock | None = field(default=None, init=False, repr=False)

    has_front: ClassVar[bool] = False

    def prepare(self) -> set[int]:
        """Make the lock, before any worker is forked; its descriptors."""
        if self.lock == "file":
            self._held = FileLock()
            return {self._held.fd}
        if self.lock == "mutex":
            self._held = threading.Lock()
        return set()

    def shares_one_event_set(self, affinity: Affinity) -> bool:
        return isinstance(affinity, Request)

    def work(self, site: Site, worker: int, life: Life) -> list[Work]:
        loop = site.connection_loop(life, shared=site.threads > 1)
        # The threads of a process wait on one event set, so a process cannot move to the end of the kernel's queue: the
        # kernel wakes every process for a new connection, and the first to run would take a whole burst.
        defers = site.fewer_elsewhere(worker) if site.threads > 1 and site.workers > 1 else None
        for listener in site.shared_listeners:
            listen(loop, listener, loop.accept, self._held, contended=site.workers > 1, defers=defers)
        return site.threads_of(loop, worker)

    def front_keeps(self, site: Site) -> set[int]:
        return set()

    def work_keeps(self, site: Site, worker: int) -> set[int]:
        lock = {self._held.fd} if isinstance(self._held, FileLock) else set()
        return lock | {listener.fd for listener in site.shared_listeners}


class FileLock:
    """A record lock (fcntl), which the kernel releases when its holder dies. It excludes processes, not threads.

    A leader that is suspended (SIGSTOP) while it accepts keeps the lock, and would keep all others from accepting. So a
    process whom the lock was refused for LEADER_SECONDS does without it until it gets it again: the lock chooses who
    accepts, but accept(2) needs none.
    """

    def __init__(self) -> None:
        self.fd = unnamed("poolctl-accept")
        self._refused_since = inf

    def acquire(self, *, blocking: bool = True) -> bool:
        """Acquire the lock. Returns whether this process may accept: as threading.Lock does, whether it has the lock;
        and also if another one has it for too long."""
        try:
            fcntl.lockf(self.fd, fcntl.LOCK_EX | (0 if blocking else fcntl.LOCK_NB))
        except BlockingIOError:
            now = monotonic()
            self._refused_since = min(self._refused_since, now)
            return now - self._refused_since > LEADER_SECONDS
        self._refused_since = inf
        return True

    def release(self) -> None:
        """Release the lock; no effect if this process does not have it."""
        fcntl.lockf(self.fd, fcntl.LOCK_UN)
