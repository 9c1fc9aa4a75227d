"""Dispatch: which inbox gets a task. A strategy is pure: no I/O, no clock, no locks."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import ClassVar

from poolctl.runtime.inbox import Inbox
from poolctl.runtime.task import Task


class Dispatch(ABC):
    """A part that the front asks once for each task. It lives in the front's process only."""

    pull: ClassVar[bool] = False  # True: one inbox for all workers, who help themselves

    @abstractmethod
    def pick(self, task: Task, inboxes: Sequence[Inbox]) -> Inbox | None:
        """The inbox for this task, out of those on offer (at least one, in the order of their index).

        None leaves the task waiting in the front until an inbox changes.
        """


class KernelDispatch(Dispatch):
    """A strategy that the kernel carries out when it chooses the listening socket of a reuse-port group.

    The group's sockets are numbered in the order in which they were bound, which is the order of the workers.
    """

    def pick(self, task: Task, inboxes: Sequence[Inbox]) -> Inbox | None:
        raise TypeError(f"{type(self).__name__} is carried out by the kernel, no front asks it")

    @abstractmethod
    def program(self, sockets: int) -> list[tuple[int, int, int, int]]:
        """The classic BPF program (code, jt, jf, k) that returns the number of a socket; empty for the kernel's own
        hash."""
