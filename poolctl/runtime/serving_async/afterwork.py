"""What apps still do after their response is complete: the rest of their coroutine, in the task that answered.

The client has its response and its connection goes on; nobody waits for this but a drain. How many of them there are
stands in the scoreboard. They are bounded: while ``ROOM`` of them run in an event loop, a further response holds its
connection (under half-sync/half-reactive its slot too) until its app has returned.
"""

from __future__ import annotations

import asyncio

from poolctl.runtime.scoreboard import AFTER

ROOM = 1000  # of them in one event loop


class Afterwork:
    """The tasks of one event loop whose response is complete. ``row``: of the worker, once it is known; ``full``:
    whether no further one may run.

    ``fresh``: the task that completed its response last. It nearly always ends in the same step, and then it was never
    one of them; it is, as soon as somebody else has a step (``settle``). Connections write it themselves: to add and
    discard each task would be felt by every request.
    """

    def __init__(self) -> None:
        self.tasks: set[asyncio.Task[None]] = set()
        self.fresh: asyncio.Task[None] | None = None
        self.full = False
        self.row: memoryview | None = None

    def settle(self) -> None:
        """Another step has begun: a task that has not ended goes on."""
        task, self.fresh = self.fresh, None
        if task is not None and not task.done():
            self.add(task)

    def add(self, task: asyncio.Task[None]) -> None:
        """This task's response is complete, and it goes on."""
        self.tasks.add(task)
        self._note()

    def discard(self, task: asyncio.Task[None]) -> bool:
        """The task has ended; whether it was one of them, and the last."""
        if task not in self.tasks:
            return False
        self.tasks.discard(task)
        self._note()
        return not self.tasks

    def _note(self) -> None:
        self.full = len(self.tasks) >= ROOM
        if self.row is not None:
            self.row[AFTER] = len(self.tasks)
