"""Dispatch: which inbox gets a task. A strategy is pure: no I/O, no clock, no locks."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar

from poolctl.runtime.inbox_view import InboxView
from poolctl.runtime.interface import INTERFACE
from poolctl.runtime.task import Task

HOOKS = ("next", "joined", "left", "finished")


class Dispatch(ABC):
    """A strategy.

    1. Made from its options, the annotated fields of its dataclass, in the supervisor; a plugin's in the mold. Each
       front begins with what the mold has: the successor of a front that died has learnt nothing yet.
    2. Nothing is provisioned: it is pure, and each call brings what it may look at. ``like``, ``pull``, ``inspects``
       and ``hooks`` say what it needs of others.
    3. Used in the front, whose only thread calls it: ``joined`` for each inbox that has a worker, then ``pick`` for
       each task, or ``next`` for each inbox that has room; ``finished`` and ``left`` as it happens.
    4. Nothing is cleaned up.

    Only ``pick`` has to be written. What it raises, or an answer that is none, loses no task: a default strategy takes
    it, and the fault is logged and counted.
    """

    interface: ClassVar[int] = INTERFACE  # the version that it was written for
    like: ClassVar[str] = "least-loaded"  # the word of poolctl's own that it fits with the same other words as
    # True: workers that serve one task at a time share one inbox and help themselves; for workers that serve several at
    # once the queue is in the front, and ``pick`` answers None while none of them can begin one more.
    pull: ClassVar[bool] = False

    @property
    def inspects(self) -> bool:
        """Whether it looks at what a request asks for (``task.method``, ``path``, ``header``, ``cookie``), which only
        the front of half-sync/half-reactive has read."""
        return False

    @property
    def hooks(self) -> frozenset[str]:
        """Which of ``next``, ``joined``, ``left`` and ``finished`` it overrides: nobody calls the others."""
        return frozenset(name for name in HOOKS if getattr(type(self), name) is not getattr(Dispatch, name))

    @abstractmethod
    def pick(self, task: Task, inboxes: tuple[InboxView, ...]) -> InboxView | None:
        """The inbox for this task, out of those on offer (at least one, in the order of their index): those of living
        workers that have room.

        None leaves the task waiting in the front until something changes.
        """

    def next(self, inbox: InboxView, waiting: tuple[Task, ...]) -> Task | None:
        """Which of the waiting tasks (the oldest 256, oldest first) goes to this inbox, which has room. None: none of
        them yet.

        Asked only where it is overridden; without it each waiting task is picked for again, in its order.
        """
        return waiting[0]

    def joined(self, inbox: InboxView) -> None:  # noqa: B027  # most have nothing to note
        """A worker of this inbox is ready: at the start, and again when one that died has a successor."""

    def left(self, inbox: InboxView) -> None:  # noqa: B027  # as above
        """A worker of this inbox has died, and what it held in memory with it."""

    def finished(self, task: Task, inbox: InboxView, seconds: float) -> None:  # noqa: B027  # as above
        """A task is done, so long after it was put into the inbox. Only under half-sync/half-reactive, where the front
        gets the connection back; a strategy that overrides this fits nowhere else."""


class KernelDispatch(Dispatch):
    """A strategy that the kernel carries out when it chooses the listening socket of a reuse-port group.

    The group's sockets are numbered in the order in which they were bound, which is the order of the workers.
    """

    like: ClassVar[str] = "kernel-hash"

    def pick(self, task: Task, inboxes: tuple[InboxView, ...]) -> InboxView | None:
        raise TypeError(f"{type(self).__name__} is carried out by the kernel, no front asks it")

    @abstractmethod
    def program(self, sockets: int) -> list[tuple[int, int, int, int]]:
        """The classic BPF program (code, jt, jf, k) that returns the number of a socket; empty for the kernel's own
        hash."""


def built_in(dispatch: Dispatch) -> bool:
    """Whether it is one of poolctl's own, which need no guard."""
    return type(dispatch).__module__.startswith("poolctl.runtime.dispatch.")
