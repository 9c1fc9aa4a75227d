"""Requests whose time is over are found once each, by looks."""

from __future__ import annotations

from typing import Any

from poolctl.runtime.loop.overdue import Overdue
from poolctl.runtime.timeouts import Timeouts


def test_each_task_is_found_once_and_deaf_from_the_next_look_on() -> None:
    first, second = object(), object()
    one: Any = {1: first}
    both: Any = {1: first, 2: second}
    overdue: Overdue[Any] = Overdue(lambda: 3.0)
    assert overdue.look(one, 100.0) == []
    assert overdue.look(both, 103.0) == []  # its time counts from the first look, and is not yet over
    assert overdue.look(both, 104.0) == [first]
    assert overdue.deaf == []
    assert overdue.look(both, 105.0) == []
    assert overdue.deaf == [first]
    assert overdue.look(both, 107.0) == [second]
    assert overdue.look(both, 108.0) == []
    assert overdue.deaf == [first, second]


def test_the_next_request_with_a_key_has_its_own_time() -> None:
    task: Any = {1: object()}
    overdue: Overdue[Any] = Overdue(lambda: 3.0)
    overdue.look(task, 100.0)
    assert overdue.look(task, 104.0) == list(task.values())
    assert overdue.look({}, 105.0) == []
    assert overdue.deaf == []
    assert overdue.look(task, 106.0) == []
    assert overdue.look(task, 109.0) == []
    assert overdue.look(task, 110.0) == list(task.values())


def test_a_request_keeps_a_longer_limit() -> None:
    """Even one that no look has seen when the limit changes; those that begin later have the new one."""
    first, second, third = object(), object(), object()
    timeouts = Timeouts(request=9.0)
    overdue: Overdue[Any] = Overdue(timeouts.request_limit)
    known: Any = {1: first}
    assert overdue.look(known, 100.0) == []
    timeouts.take(Timeouts(request=3.0))
    known[2] = second
    assert overdue.look(known, 101.0) == []
    known[3] = third
    assert overdue.look(known, 102.0) == []
    assert overdue.look(known, 106.0) == [third]
    assert overdue.look(known, 109.5) == [first]
    timeouts.take(Timeouts(request=20.0))
    assert overdue.look(known, 112.0) == []
    assert overdue.look(known, 122.0) == [second]


def test_patience_is_how_long_one_may_take_to_end() -> None:
    task: Any = {1: object()}
    overdue: Overdue[Any] = Overdue(lambda: 3.0, patience=2.0)
    overdue.look(task, 100.0)
    assert overdue.look(task, 104.0) == list(task.values())
    for now in (104.5, 105.5):
        assert overdue.look(task, now) == []
        assert overdue.deaf == []
    assert overdue.look(task, 106.0) == []
    assert overdue.deaf == list(task.values())


def test_one_that_could_not_be_ended_is_returned_again() -> None:
    task: Any = {1: object()}
    overdue: Overdue[Any] = Overdue(lambda: 3.0)
    overdue.look(task, 100.0)
    for now in (104.0, 105.0):
        assert overdue.look(task, now) == list(task.values())
        assert overdue.deaf == []
        overdue.again(1)
