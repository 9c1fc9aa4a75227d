"""Affinity: which tasks must reach the same worker. It returns a key; the router remembers the first choice."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Hashable
from typing import ClassVar

from poolctl.runtime.task import Task


class Affinity(ABC):
    """The part that gives the router the key of a task.

    1. Made from its options, in the supervisor.
    2. Nothing is provisioned: it is pure, like a dispatch strategy. The attributes below say what the router and the
       workers do for it.
    3. Used: ``key`` in the front, for each task of the router; ``named`` in the workers, for the head of each response,
       if the class ``learns``.
    4. Nothing is cleaned up: the router remembers the keys, and ``remembers`` bounds them.
    """

    learns: ClassVar[bool] = False  # whether keys are found in responses too; see ``named``
    remembers: ClassVar[int] = 0  # the most keys to remember; 0: no key is remembered
    inspects: ClassVar[bool] = False  # whether it looks at the request, not only at the connection
    forgets: ClassVar[bool] = False  # whether a worker's keys are forgotten when it dies, as its memory is lost
    refuses: bool = False  # whether a request is refused if its key belongs to no worker

    @abstractmethod
    def key(self, task: Task, connection: int) -> Hashable | None:
        """Return the key of a task: all tasks with one key go to one worker. None when any worker will do.

        ``connection`` is a number that is unique among the open connections of one front.
        """

    def named(self, head: bytes) -> list[str]:
        """Return the keys that the head of a response gives to its client; they now belong to the worker that sent
        it."""
        return []
