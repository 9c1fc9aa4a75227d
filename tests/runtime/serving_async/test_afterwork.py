"""Tasks that go on after their response: counted in the scoreboard, and bounded."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Future
from typing import Any

import pytest
from harness.phase_rig import row

from poolctl.runtime.scoreboard import AFTER
from poolctl.runtime.serving_async.afterwork import AFTERWORK_TASKS, Afterwork


@pytest.fixture
def after() -> Iterator[Afterwork]:
    made = Afterwork()
    made.row = row()
    yield made
    assert made.row[AFTER] == len(made.tasks)  # whatever a test does, the status tells the truth


def running() -> Any:
    """A task, as far as it matters here."""
    return Future()


def test_the_fresh_task_is_added_unless_it_has_ended(after: Afterwork) -> None:
    ended, goes_on = running(), running()
    ended.set_result(None)
    for task in (ended, goes_on):
        after.fresh = task
        after.settle()
        assert after.fresh is None
    after.settle()
    assert after.tasks == {goes_on}


def test_the_last_to_end_is_reported(after: Afterwork) -> None:
    one, other = running(), running()
    after.add(one)
    after.add(other)
    assert [after.discard(task) for task in (running(), one, one, other)] == [False, False, False, True]


def test_there_is_room_for_so_many(after: Afterwork) -> None:
    tasks = [running() for _ in range(AFTERWORK_TASKS)]
    for task in tasks:
        assert not after.full
        after.add(task)
    assert after.full
    after.discard(tasks[0])
    assert not after.full
