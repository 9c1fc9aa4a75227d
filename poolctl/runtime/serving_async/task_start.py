"""How tasks of an event loop begin: each in a context of its own.

Each context is a copy of that of the app's start, whichever task is running when it is made; so no request sees what
another has set in a ContextVar. Since Python 3.12 a task runs its first step at once, and an app that waits for nothing
has answered before the next event is handled. On older versions ``at_once`` does the same, for workers that take their
tasks one by one. The others handle all events first and run the first steps then, which needs fewer turns.
"""

from __future__ import annotations

import asyncio
import sys
from asyncio import Task
from collections.abc import Coroutine
from contextvars import Context
from typing import Any, Final

# the name of all tasks that answer a request; a name for each would cost more than its context
REQUEST_TASK: Final = "request"


def answers(task: Task[Any] | None) -> bool:
    """Whether this task answers a request, and was not started by the app."""
    return task is not None and task.get_name() == REQUEST_TASK


class TaskStart:
    """``task`` begins a task with a coroutine and a name, and returns it. ``context``: the context of the app's start;
    each task gets a copy, and nothing runs in the original."""

    def __init__(self, events: asyncio.AbstractEventLoop, context: Context) -> None:
        self.context = context
        self._events: Any = events
        self._caught: tuple[Any, Any] | None = None

    if sys.version_info >= (3, 12):

        def task(self, work: Coroutine[Any, Any, None], name: str) -> Task[None]:
            """Begin a task."""
            return Task(work, loop=self._events, name=name, context=self.context.copy(), eager_start=True)

        at_once = task
    else:

        def task(self, work: Coroutine[Any, Any, None], name: str) -> Task[None]:
            """Begin a task; its first step runs in the next round of the event loop."""
            return Task(work, loop=self._events, name=name, context=self.context.copy())

        def at_once(self, work: Coroutine[Any, Any, None], name: str) -> Task[None]:
            """Begin a task and run its first step at once; to be called in a callback of the event loop, not in a task.
            Before Python 3.12 a task schedules its first step with ``call_soon`` (asyncio.Task.__init__); that call is
            intercepted here and run, which saves a turn of asyncio's event loop (docs/performance.md)."""
            events = self._events
            events.call_soon = self._catch
            try:
                task = Task(work, loop=events, name=name, context=self.context.copy())
            finally:
                del events.call_soon
            assert self._caught is not None  # by the task
            step, context = self._caught
            self._caught = None
            context.run(step)
            return task

        def _catch(self, step: Any, *, context: Any) -> None:
            self._caught = step, context
