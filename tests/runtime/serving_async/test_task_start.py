"""Each task has a context of its own, which is a copy of that of the app's start."""

from __future__ import annotations

import asyncio
from contextvars import ContextVar, copy_context

from poolctl.runtime.serving_async.task_start import REQUEST_TASK, TaskStart, answers

WORD: ContextVar[str] = ContextVar("WORD", default="unset")


def test_no_task_sees_what_another_has_set() -> None:
    context = copy_context()
    context.run(WORD.set, "of the start")
    seen: list[str] = []

    async def sets(word: str) -> None:
        seen.append(WORD.get())
        WORD.set(word)
        await asyncio.sleep(0)  # the other one runs meanwhile
        seen.append(WORD.get())

    async def begin() -> None:
        WORD.set("of the task that begins them")
        start = TaskStart(asyncio.get_running_loop(), context)
        await asyncio.gather(start.task(sets("one"), REQUEST_TASK), start.task(sets("two"), REQUEST_TASK))

    asyncio.run(begin())
    assert sorted(seen) == ["of the start", "of the start", "one", "two"]
    assert context[WORD] == "of the start"


def test_a_task_of_the_app_is_told_from_one_that_answers() -> None:
    found: list[bool] = []

    async def note() -> None:
        found.append(answers(asyncio.current_task()))

    async def begin() -> None:
        start = TaskStart(asyncio.get_running_loop(), copy_context())
        await start.task(note(), REQUEST_TASK)
        await asyncio.create_task(note())

    asyncio.run(begin())
    assert found == [True, False]
    assert not answers(None)
