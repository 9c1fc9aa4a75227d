"""Affinity: which tasks must meet the same worker. It names a key; the router remembers the first choice."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Hashable
from typing import ClassVar

from poolctl.runtime.task import Task


class Affinity(ABC):
    """A part that the router asks for the key of a task. Pure, like a strategy of dispatch."""

    remembers: ClassVar[int] = 0  # keys to remember at the most; 0: there is nothing to remember

    @abstractmethod
    def key(self, task: Task, connection: int) -> Hashable | None:
        """What must meet the same worker as before; None when any worker will do.

        ``connection`` is a number that tells the connections of one front apart.
        """
