"""Ownership: which role holds the listening sockets, and which holds the connections.

A model has two halves, side by side: the front, and the work of one worker. Each half says which loop runs on which
sources. The pool decides whether they run in processes or threads, and everything else is shared.
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
    """The part that assembles loops.

    1. Made from its options, in the supervisor; a plugin's in the mold.
    2. Provisioned: ``provision``, once in the mold, before anything is forked. It calls ``prepare`` for what the
       workers share, such as a lock, and remembers its descriptors.
    3. Asked by the pool, in the mold, what each role needs: ``shares_one_event_set``, ``front_keeps``, ``work_keeps``.
    4. Used, each in the process in which it will run, with a site that has everything else: ``front`` once, in the
       front; ``work`` once for each worker, in its first thread. What they return runs until the lifeline ends.
    5. Nothing is cleaned up: what was prepared ends with its processes.
    """

    interface: ClassVar[int] = INTERFACE  # the interface version that it was written for
    like: ClassVar[str] = ""  # of a plugin: the built-in model that may be combined with the same other choices
    has_front: ClassVar[bool] = False
    lends: ClassVar[bool] = False  # does the front lend connections, so that it needs to know when a worker dies?
    front_yields: ClassVar[bool] = False  # may a busy worker on the same core finish its round before the front runs?
    rings: ClassVar[bool] = False  # do the workers wait for their inbox with a poller?
    prepared: AbstractSet[int] = frozenset()  # descriptors of what the workers share; provisioned

    def provision(self) -> None:
        """Make what the workers share. Models override ``prepare``, not this."""
        self.prepared = frozenset(self.prepare())

    def front(self, site: Site, life: Life) -> Front:
        """Return the front's loop."""
        raise TypeError(f"{type(self).__name__} has no front")

    @abstractmethod
    def work(self, site: Site, worker: int, life: Life) -> list[Work]:
        """Return what each thread of one worker runs, ``site.threads`` functions. Called in the first of these threads,
        before its role is ready: every part of the start that can fail should fail here."""

    @abstractmethod
    def front_keeps(self, site: Site) -> set[int]:
        """The descriptors that a front in a process of its own needs."""

    @abstractmethod
    def work_keeps(self, site: Site, worker: int) -> set[int]:
        """The descriptors that a worker in a process of its own needs."""

    def prepare(self) -> set[int]:
        """Make what the workers share. Called in the mold, before the first fork. Returns the descriptors of what it
        made."""
        return set()

    def shares_one_event_set(self, affinity: Affinity) -> bool:
        """Whether the threads of a pool serve one event set together, as one worker would."""
        return False
