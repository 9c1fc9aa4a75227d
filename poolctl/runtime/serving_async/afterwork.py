"""Work that apps do after their response is complete: the rest of their coroutine, in the task that answered.

The client has its response and its connection goes on; only a drain waits for this work. The scoreboard has the number
of such tasks. They are bounded: while ``AFTERWORK_TASKS`` of them run in an event loop, a further response keeps
its connection (under half-sync/half-reactive its slot too) until its app has returned.
"""

from __future__ import annotations

import asyncio
from typing import Final

from poolctl.runtime.scoreboard import AFTER

AFTERWORK_TASKS: Final = 1000  # the most such tasks in one event loop


class Afterwork:
    """The tasks of one event loop whose response is complete. ``row``: the worker's row, once it is known; ``full``:
    whether no further task may be added.

    ``fresh``: the task that completed its response last. It nearly always ends in the same step, and then need not be
    added; ``settle`` adds it if another step begins first. Connections set it directly, which spares every request two
    changes of the set.
    """

    def __init__(self) -> None:
        self.tasks: set[asyncio.Task[None]] = set()
        self.fresh: asyncio.Task[None] | None = None
        self.full = False
        self.row: memoryview | None = None

    def settle(self) -> None:
        """Another step has begun: add the fresh task if it has not ended."""
        task, self.fresh = self.fresh, None
        if task is not None and not task.done():
            self.add(task)

    def add(self, task: asyncio.Task[None]) -> None:
        """Add a task that goes on after its response is complete."""
        self.tasks.add(task)
        self._note()

    def discard(self, task: asyncio.Task[None]) -> bool:
        """Remove a task that has ended. Returns whether it was one of these tasks, and the last."""
        if task not in self.tasks:
            return False
        self.tasks.discard(task)
        self._note()
        return not self.tasks

    def _note(self) -> None:
        self.full = len(self.tasks) >= AFTERWORK_TASKS
        if self.row is not None:
            self.row[AFTER] = len(self.tasks)
