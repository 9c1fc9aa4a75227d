"""The stacks of tasks: suspended ones through everything that they await, and running ones from another thread."""

from __future__ import annotations

import asyncio
import logging
import re
import threading
from collections.abc import AsyncIterator, Generator
from contextvars import ContextVar
from types import SimpleNamespace
from typing import Any

import pytest
from harness.machine import PATIENCE

from poolctl.runtime.serving_async.last_words import log_tasks, stack_of
from poolctl.runtime.serving_async.task_start import REQUEST_TASK

PARKED: ContextVar[asyncio.Event] = ContextVar("PARKED")


async def innermost() -> None:
    PARKED.get().set()
    await asyncio.get_running_loop().create_future()


async def in_a_generator() -> AsyncIterator[int]:
    await innermost()
    yield 1


async def over_a_generator() -> None:
    async for _ in in_a_generator():
        pass


class Awaited:
    def __await__(self) -> Generator[Any, Any, None]:
        return (yield from innermost().__await__())


async def of_an_object() -> None:
    await Awaited()


async def of_a_task() -> None:
    await asyncio.create_task(innermost())


async def parked(work: Any, kind: Any = asyncio.Task) -> Any:
    """A task of this work that has come to ``innermost``."""
    event = asyncio.Event()
    PARKED.set(event)
    task = kind(work(), loop=asyncio.get_running_loop())
    await event.wait()
    return task


def functions(stack: str) -> list[str]:
    return re.findall(r", in (\w+)$", stack, re.MULTILINE)


@pytest.mark.parametrize(
    ("work", "names"),
    [
        (innermost, ["innermost"]),
        (over_a_generator, ["over_a_generator", "in_a_generator", "innermost"]),
        (of_an_object, ["of_an_object", "__await__", "innermost"]),
        (of_a_task, ["of_a_task", "innermost"]),
    ],
)
def test_a_suspended_task_shows_all_that_it_awaits(work: Any, names: list[str]) -> None:
    async def main() -> str:
        task = await parked(work)
        stack = stack_of(task)
        task.cancel()
        await asyncio.wait([task])
        return stack

    assert functions(asyncio.run(asyncio.wait_for(main(), PATIENCE))) == names


def test_a_task_that_blocks_its_loop_is_logged_from_another_thread(caplog: pytest.LogCaptureFixture) -> None:
    inside, over = threading.Event(), threading.Event()

    def deaf() -> None:
        inside.set()
        over.wait(PATIENCE)

    async def attend(shell: Any) -> None:
        deaf()

    async def main() -> None:
        other = await parked(innermost)
        shell = SimpleNamespace(line="GET /a HTTP/1.1", started=1)
        await asyncio.create_task(attend(shell), name=REQUEST_TASK)
        other.cancel()

    events = asyncio.new_event_loop()
    thread = threading.Thread(target=lambda: events.run_until_complete(main()), name="worker 3")
    thread.start()
    try:
        assert inside.wait(PATIENCE)
        with caplog.at_level(logging.WARNING, "poolctl"):
            assert log_tasks(events, thread.ident or 0) == 1
    finally:
        over.set()
        thread.join()
        events.close()
    (record,) = caplog.records
    first, *stack = record.getMessage().splitlines()
    assert re.fullmatch(r"unfinished: worker 3 has been busy for [\d.]+ s with GET /a HTTP/1.1; its stack, .*:", first)
    assert functions("\n".join(stack))[:1] == ["deaf"]


class Hostile(asyncio.Task[Any]):
    """A task whose class is the app's."""

    def get_coro(self) -> Any:
        raise RuntimeError("on purpose")


def test_a_task_that_cannot_be_read_says_so() -> None:
    async def main() -> str:
        task = await parked(innermost, Hostile)
        stack = stack_of(task)
        task.cancel()
        return stack

    assert "not readable: RuntimeError('on purpose')" in asyncio.run(main())
