"""Ownership: who holds the listening sockets, and who the connections.

A model is written as two halves, side by side: what the front does, and what the work of one worker is. The halves
say which loop runs on which sources; whether they run in processes or threads is the pool's part, and everything else
is shared.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from collections.abc import Set as AbstractSet
from typing import ClassVar

from poolctl.runtime.affinity import Affinity
from poolctl.runtime.interface import INTERFACE
from poolctl.runtime.lifeline import Life
from poolctl.runtime.site import Front, Site

Work = Callable[[], None]


class Ownership(ABC):
    """A part that assembles loops.

    1. Made from its options, in the supervisor; a plugin's in the mold.
    2. Provisioned: ``provision``, once in the mold, before anything is forked. It calls ``prepare`` for what the
       workers share, such as a lock, and remembers its descriptors.
    3. Asked by the pool, in the mold, what each role needs: ``shares_one_event_set``, ``front_keeps``, ``work_keeps``.
    4. Used, each in the process in which it will run, with a site that has all else: ``front`` once, in the front;
       ``work`` once for each worker, in its first thread. What they return runs until the lifeline ends.
    5. Nothing is cleaned up: what was prepared ends with its processes.
    """

    interface: ClassVar[int] = INTERFACE  # the version that it was written for
    like: ClassVar[str] = ""  # of a plugin: the word of poolctl's own that it fits with the same other words as
    has_front: ClassVar[bool] = False
    lends: ClassVar[bool] = False  # does the front lend connections, and have to hear of workers that die?
    front_yields: ClassVar[bool] = False  # may a busy worker on the same core end its round before the front looks?
    rings: ClassVar[bool] = False  # do the workers wait for their inbox with a poller?
    prepared: AbstractSet[int] = frozenset()  # descriptors of what the workers share; provisioned

    def provision(self) -> None:
        """Make what the workers share. Models override ``prepare``, not this."""
        self.prepared = frozenset(self.prepare())

    def front(self, site: Site, life: Life) -> Front:
        """The front's loop."""
        raise TypeError(f"{type(self).__name__} has no front")

    @abstractmethod
    def work(self, site: Site, worker: int, life: Life) -> list[Work]:
        """What each thread of one worker runs: as many as ``site.threads``. Called in the first of these threads,
        before its role says that it is ready: whatever of the start may fail fails here."""

    @abstractmethod
    def front_keeps(self, site: Site) -> set[int]:
        """The descriptors that a front in a process of its own needs."""

    @abstractmethod
    def work_keeps(self, site: Site, worker: int) -> set[int]:
        """The descriptors that a worker in a process of its own needs."""

    def prepare(self) -> set[int]:
        """In the mold, before anything is forked: make what the workers share. Returns its descriptors."""
        return set()

    def shares_one_event_set(self, affinity: Affinity) -> bool:
        """Whether the threads of a pool serve one event set together, as one worker would."""
        return False
