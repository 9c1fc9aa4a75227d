"""Dispatch: which inbox gets a task. A strategy is pure: no I/O, no clock, no locks."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import ClassVar

from poolctl.runtime.inbox_view import InboxView
from poolctl.runtime.interface import INTERFACE
from poolctl.runtime.queue_view import ClassLimits, QueueView
from poolctl.runtime.task import Task

HOOKS = ("next", "joined", "left", "finished", "begin", "classify", "limits", "refuses", "served", "learned")
# those that only the front of half-sync/half-reactive can call, which has a queue, or gets connections back
LENDING_HOOKS = frozenset(HOOKS) - {"next", "joined", "left"}


class Dispatch(ABC):
    """A strategy.

    1. Made from its options, the annotated fields of its dataclass, in the supervisor; a plugin's in the mold. Each
       front begins with the mold's instance: a front that replaces a dead one has learned nothing yet. A reload that
       changes the strategy or its options has the front make a new one.
    2. Nothing is provisioned: it is pure, and the arguments of each call are all that it may look at. ``like``,
       ``pull``, ``inspects`` and ``hooks`` say what it needs of other parts.
    3. Used in the front, and only the front's one thread calls it: ``begin``, ``joined`` for each inbox that has a
       worker, then for each task ``classify``, ``refuses`` and ``pick``, or ``next`` for each inbox that has room;
       ``finished``, ``served`` and ``left`` as they happen, ``limits`` about ten times a second.
    4. Nothing is cleaned up.

    Only ``pick`` must be written. An exception or an invalid result of ``pick`` loses no task: a default strategy
    chooses instead, and the fault is logged and counted.
    """

    interface: ClassVar[int] = INTERFACE  # the interface version that it was written for
    like: ClassVar[str] = "least-loaded"  # the built-in strategy that may be combined with the same other choices
    # True: workers that serve one task at a time share one inbox and take from it themselves; for workers that serve
    # several at once the queue is in the front, and ``pick`` returns None while no worker can start another task.
    pull: ClassVar[bool] = False

    # True: while ``limits`` returns nothing, ``classify`` and ``served`` are called for a part of the tasks, if there
    # are many; ``queue.weight`` says how many each stands for.
    samples: ClassVar[bool] = False

    @property
    def inspects(self) -> bool:
        """Whether it looks at the request (``task.method``, ``path``, ``header``, ``cookie``), which only the front of
        half-sync/half-reactive has read."""
        return False

    @property
    def hooks(self) -> frozenset[str]:
        """Which of HOOKS it overrides: the router calls no other."""
        return frozenset(name for name in HOOKS if getattr(type(self), name) is not getattr(Dispatch, name))

    @abstractmethod
    def pick(self, task: Task, inboxes: tuple[InboxView, ...]) -> InboxView | None:
        """Return the inbox for this task: one of ``inboxes``, which are those of living workers that have room (at
        least one, in the order of their index).

        None leaves the task waiting in the front until something changes.
        """

    def next(self, inbox: InboxView, waiting: tuple[Task, ...]) -> Task | None:
        """Return which of the waiting tasks (the oldest 256, oldest first) goes to this inbox, which has room; None if
        none of them should go there yet.

        Called only where it is overridden; otherwise ``pick`` is called again for each waiting task, in order.
        """
        return waiting[0]

    def joined(self, inbox: InboxView) -> None:  # noqa: B027  # most have nothing to note
        """A worker of this inbox is ready: called at the start, and again when a dead worker has been replaced."""

    def left(self, inbox: InboxView) -> None:  # noqa: B027  # as above
        """A worker of this inbox has died, and everything in its memory is lost."""

    def finished(self, task: Task, inbox: InboxView, seconds: float) -> None:  # noqa: B027  # as above
        """A task is done, ``seconds`` after it was put into the inbox. Called only under half-sync/half-reactive, where
        the front gets the connection back; a strategy that overrides this is refused with any other ownership."""

    # Classes of tasks: only under half-sync/half-reactive, whose front has the queue. A strategy that overrides one of
    # these is refused with any other ownership.

    def begin(self, queue: QueueView) -> None:  # noqa: B027  # as above
        """The front begins. ``queue`` can be kept: it shows the time, the workers, and the tasks of each class."""

    def classify(self, task: Task) -> str:
        """Return the class of a task, for instance "long"; "" for that of all others. Each class has a line of its own
        in the front, from which tasks go to workers as ``limits`` says. At most 255 classes: the tasks of further ones
        are those of "". Called once for each task, when it arrives; ``task.kind`` has the class from then on."""
        return ""

    def limits(self) -> Mapping[str, ClassLimits]:
        """Return what each class gets; those that are left out have no limits."""
        return {}

    def refuses(self, task: Task) -> bool:
        """Return whether to turn a task away, with a 503 in HTTP. Called when it arrives."""
        return False

    def served(self, task: Task, seconds: float) -> None:  # noqa: B027  # as above
        """A worker has had a task for so many seconds, from its start to its end. Called with the next look at the
        queue, which may be some time later: an idle front is not woken for it."""

    def learned(self) -> Sequence[tuple[str, str, float, float]]:
        """Return what it has learned of tasks, for ``poolctl status``: (what they ask for, their class, the seconds
        that one takes, how many there are in a second), the most important first."""
        return ()


class KernelDispatch(Dispatch):
    """A strategy that the kernel executes when it chooses the listening socket of a reuse-port group.

    The sockets of the group are numbered in the order in which they were bound, which is the order of the workers.
    """

    like: ClassVar[str] = "kernel-hash"

    def pick(self, task: Task, inboxes: tuple[InboxView, ...]) -> InboxView | None:
        raise TypeError(f"{type(self).__name__} is executed by the kernel; no front calls it")

    @abstractmethod
    def program(self, sockets: int) -> list[tuple[int, int, int, int]]:
        """Return the classic BPF program (code, jt, jf, k) that returns the number of a socket; empty for the kernel's
        own hash."""


def built_in(dispatch: Dispatch) -> bool:
    """Whether it is one of poolctl's own, which need no guard."""
    return type(dispatch).__module__.startswith("poolctl.runtime.dispatch.")
