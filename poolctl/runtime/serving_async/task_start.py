"""How tasks of an event loop begin: in a context of their own.

Each begins from the context of the app's start, whoever happens to be running when it is made; so no request sees what
another has set in a ContextVar. Since Python 3.12 a task makes its first step at once, and an app that has nothing to
wait for has answered before the next event is looked at. Before, that has to be asked for (``at_once``): it is what a
worker needs that takes its tasks one by one. Others see to all events first and make all steps then: fewer turns.
"""

from __future__ import annotations

import asyncio
import sys
from asyncio import Task
from collections.abc import Coroutine
from contextvars import Context
from typing import Any

REQUEST = "request"  # the name of the tasks that answer one; to make a name for each would cost more than its scope


def answers(task: Task[Any] | None) -> bool:
    """Whether this task answers a request, and is not one that the app has made beside it."""
    return task is not None and task.get_name() == REQUEST


class TaskStart:
    """Called with a coroutine and the task's name, it answers the task. ``context``: what each starts from a copy of;
    it is that of the app's start and is never run in."""

    def __init__(self, events: asyncio.AbstractEventLoop, context: Context) -> None:
        self.context = context
        self._events: Any = events
        self._caught: tuple[Any, Any] | None = None

    if sys.version_info >= (3, 12):

        def __call__(self, work: Coroutine[Any, Any, None], name: str) -> Task[None]:
            """Begin a task."""
            return Task(work, loop=self._events, name=name, context=self.context.copy(), eager_start=True)

        at_once = __call__
    else:

        def __call__(self, work: Coroutine[Any, Any, None], name: str) -> Task[None]:
            """Begin a task; its first step is made in the next round of the event loop."""
            return Task(work, loop=self._events, name=name, context=self.context.copy())

        def at_once(self, work: Coroutine[Any, Any, None], name: str) -> Task[None]:
            """Begin a task, in a callback of the event loop and in no task. Before Python 3.12 it asks its loop to call
            its first step soon (asyncio.Task.__init__); that call is caught here and made, which saves a turn of the
            event loop."""
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
