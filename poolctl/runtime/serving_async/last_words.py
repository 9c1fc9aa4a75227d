"""What the tasks of an event loop are doing, for the log: those that are cancelled because they take too long, and
those that are left when their process is ended.

A suspended task has one frame for each coroutine that awaits another one (``cr_await``). A running one, which keeps its
event loop from everything else, is on the stack of the loop's thread.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import sys
from time import monotonic_ns
from traceback import FrameSummary, StackSummary
from types import AsyncGeneratorType, CoroutineType, FrameType, GeneratorType
from typing import Any

from poolctl.runtime.serving.last_words import log_unfinished, thread_name
from poolctl.runtime.serving.request_line import printable
from poolctl.runtime.serving_async.task_start import answers
from poolctl.runtime.system.user_frames import STACK_FRAMES, formatted, frames_within

log = logging.getLogger("poolctl")

# the attribute with the frame of each kind, and that with what it awaits
FRAMES: dict[type, tuple[str, str]] = {
    CoroutineType: ("cr_frame", "cr_await"),
    GeneratorType: ("gi_frame", "gi_yieldfrom"),
    AsyncGeneratorType: ("ag_frame", "ag_await"),
}
# iterators between two of these, which only the garbage collector can look into
ITERATORS = ("coroutine_wrapper", "async_generator_asend", "async_generator_athrow", "anext_awaitable", "FutureIter")


def stack_of(task: asyncio.Task[Any], thread: int = 0) -> str:
    """Return the stack of a task, as lines of a traceback. ``thread``: the ident of the thread that runs its event
    loop, to be given by any other one."""
    try:
        coroutine: Any = task.get_coro()
        if thread and getattr(coroutine, "cr_running", False):
            return formatted(frames_within(coroutine.cr_frame, sys._current_frames()[thread]))
        return formatted(_frames(coroutine))
    except Exception as error:  # noqa: BLE001  # classes of tasks and awaitables may be the app's
        return f"  not readable: {error!r}"


def log_cancelled(what: str, limit: float, stack: str) -> None:
    """Log that a task is cancelled because of timeouts.request. ``what``: its request; ``limit``: seconds; ``stack``:
    its stack before that."""
    log.error(
        "%s took longer than timeouts.request (%g s): cancelled; its stack, most recent call last:\n%s",
        printable(what),
        limit,
        stack,
    )


def log_tasks(events: asyncio.AbstractEventLoop, thread: int) -> int:
    """Log what each task is doing that answers a request or goes on after its response. Called in another thread than
    the one that runs the event loop, whose ident is ``thread``. Returns how many there are."""
    now, found = monotonic_ns(), 0
    for task in asyncio.all_tasks(events):
        coroutine: Any = task.get_coro()
        frame: FrameType | None = getattr(coroutine, "cr_frame", None)
        if answers(task) and frame is not None:
            held = frame.f_locals
            shell = held.get("shell")
            line = printable(str(getattr(shell, "line", "")))
            started = held.get("started") or getattr(shell, "started", 0) or getattr(shell, "_started", 0)
            seconds = (now - started) / 1e9 if started else 0.0
            log_unfinished(thread_name(thread), line or "a request", seconds, stack_of(task, thread))
            found += 1
    return found


def _frames(awaits: Any) -> list[FrameSummary]:
    """The frames of a suspended coroutine and of what it waits for, through tasks too; the oldest first."""
    found: list[tuple[FrameType, int]] = []
    for _ in range(STACK_FRAMES):
        frame, awaits = _step(awaits)
        if frame is not None:
            found.append((frame, frame.f_lineno))
    return list(StackSummary.extract(iter(found)))


def _step(awaits: Any) -> tuple[FrameType | None, Any]:
    """The frame of a coroutine, a generator or an asynchronous generator, and what it awaits."""
    kind = type(awaits)
    if issubclass(kind, asyncio.Task):
        return None, awaits.get_coro()
    if kind in FRAMES:
        frame, awaited = FRAMES[kind]
        return getattr(awaits, frame), getattr(awaits, awaited)
    inside = gc.get_referents(awaits) if kind.__name__ in ITERATORS else []
    return None, next((each for each in inside if issubclass(type(each), (asyncio.Task, *FRAMES))), None)
