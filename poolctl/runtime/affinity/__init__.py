"""Affinity: which tasks must meet the same worker. It names a key; the router remembers the first choice."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Hashable
from typing import ClassVar

from poolctl.runtime.task import Task


class Affinity(ABC):
    """A part that the router asks for the key of a task.

    1. Made from its options, in the supervisor.
    2. Nothing is provisioned: it is pure, like a strategy of dispatch. What the router and the workers do for it
       follows from the attributes below.
    3. Used: ``key`` in the front, for each task that the router has; ``named`` in the workers, for the head of each
       response, where the class ``learns``.
    4. Nothing is cleaned up: what is remembered is the router's, and bounded by ``remembers``.
    """

    learns: ClassVar[bool] = False  # are keys found in responses too? See ``named``
    remembers: ClassVar[int] = 0  # keys to remember at the most; 0: there is nothing to remember
    inspects: ClassVar[bool] = False  # does it look at what a request asks for?
    forgets: ClassVar[bool] = False  # are a worker's keys forgotten when it dies, with what it had in memory?
    refuses: bool = False  # is a key refused that nobody has?

    @abstractmethod
    def key(self, task: Task, connection: int) -> Hashable | None:
        """What must meet the same worker as before; None when any worker will do.

        ``connection`` is a number that tells the connections of one front apart.
        """

    def named(self, head: bytes) -> list[str]:
        """The keys that a response's head gives its client: from then on they belong to the worker that sent it."""
        return []
