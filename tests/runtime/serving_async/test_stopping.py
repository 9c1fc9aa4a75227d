"""The steps of a stop, whom they are told, and what may not end an event loop before its time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextvars import copy_context
from typing import Any

import pytest
from harness.jumping_events import JumpingEvents, passes

from poolctl.runtime.loop.draining import cancels_after
from poolctl.runtime.loop.loop import MAX_FAILED_TURNS
from poolctl.runtime.serving_async.stopping import CANCELLED, PRESSED, SERVING, TOLD, Stopping, run_until
from poolctl.runtime.serving_async.task_start import REQUEST_TASK, TaskStart, answers
from poolctl.runtime.timeouts import Timeouts


@pytest.fixture
def events() -> Iterator[JumpingEvents]:
    made = JumpingEvents()
    yield made
    made.close()


@pytest.mark.parametrize("drain", [0.0, 1.0, 30.0, 3600.0])
def test_three_steps_before_the_process_is_killed(events: JumpingEvents, drain: float) -> None:
    taken: list[tuple[int, float]] = []
    began = events.time()
    stopping = Stopping(Timeouts(drain=drain), lambda step: taken.append((step, events.time() - began)))
    assert stopping.step == SERVING
    stopping.begin(events, copy_context())
    stopping.begin(events, copy_context())  # only the first counts
    events.run_until_complete(passes(drain + 1))
    assert [step for step, _ in taken] == [TOLD, PRESSED, CANCELLED]
    assert taken[1][1] >= cancels_after(drain) / 2
    assert taken[2][1] >= cancels_after(drain)
    assert cancels_after(drain) <= drain


@pytest.mark.parametrize(
    ("step", "stream", "request_itself", "beside"),
    [
        (SERVING, False, False, False),
        (TOLD, True, True, False),
        (PRESSED, True, True, True),
        (CANCELLED, True, True, True),
    ],
)
def test_who_is_told(events: JumpingEvents, step: int, stream: bool, request_itself: bool, beside: bool) -> None:
    stopping = Stopping(Timeouts(), lambda step: None)
    stopping.step = step

    async def asks(*, streams: bool) -> bool:
        return stopping.tells(streams=streams)

    def told(name: str, *, streams: bool) -> bool:
        return events.run_until_complete(asyncio.Task(asks(streams=streams), loop=events, name=name))

    assert told("of the app", streams=True) is stream
    assert told(REQUEST_TASK, streams=False) is request_itself
    assert told("of the app", streams=False) is beside


def test_nobody_answers_outside_of_a_task() -> None:
    assert not answers(None)


def test_a_task_begins_in_a_copy_of_the_starts_context(events: JumpingEvents) -> None:
    start = TaskStart(events, copy_context())
    steps: list[str] = []

    async def work() -> None:
        steps.append("first step")
        await passes(1)
        steps.append("second step")

    task = events.run_until_complete(begin(start.at_once, work))
    assert steps == ["first step"]  # where it was begun
    assert answers(task)
    events.run_until_complete(task)
    assert steps == ["first step", "second step"]

    async def short() -> None: ...

    assert events.run_until_complete(begin(start.at_once, short)).done()


async def begin(at_once: Callable[..., asyncio.Task[None]], work: Any) -> asyncio.Task[None]:
    """From a callback, in no task, as an executor does."""
    made: asyncio.Future[asyncio.Task[None]] = asyncio.get_running_loop().create_future()
    asyncio.get_running_loop().call_soon(lambda: made.set_result(at_once(work(), REQUEST_TASK)))
    return await made


# ---- run_until


@pytest.mark.parametrize("error", [SystemExit, KeyboardInterrupt])
def test_what_would_end_the_loop_is_logged(
    events: JumpingEvents, error: type[BaseException], caplog: pytest.LogCaptureFixture
) -> None:
    def wrong() -> None:
        raise error

    over = events.create_future()
    events.call_soon(wrong)
    events.call_soon(events.stop)
    events.call_later(10, over.set_result, 7)
    run_until(events, over)
    assert "raised an exception that ends event loops" in caplog.text
    assert "stopped the event loop" in caplog.text


def test_what_it_waits_for_may_fail(events: JumpingEvents) -> None:
    over = events.create_future()
    events.call_soon(over.set_exception, ValueError("x"))
    with pytest.raises(ValueError, match="x"):
        run_until(events, over)


def test_what_is_done_already_is_not_waited_for(events: JumpingEvents) -> None:
    over = events.create_future()
    over.set_result(None)
    run_until(events, over)


def test_an_exception_in_the_last_round(events: JumpingEvents, caplog: pytest.LogCaptureFixture) -> None:
    """The future is done, and its callback would stop the loop of whoever runs it next."""

    def wrong() -> None:
        raise SystemExit

    over, after = events.create_future(), events.create_future()
    events.call_soon(over.set_result, None)
    events.call_soon(wrong)
    run_until(events, over)
    events.call_later(1, after.set_result, None)
    run_until(events, after)
    assert after.done()
    assert "stopped the event loop" not in caplog.text


def test_a_loop_that_cannot_run_ends_its_worker(events: JumpingEvents, caplog: pytest.LogCaptureFixture) -> None:
    over = events.create_future()
    events.close()
    with pytest.raises(RuntimeError, match="closed"):
        run_until(events, over)
    assert len(caplog.records) == MAX_FAILED_TURNS
