"""When a queue is overloaded, and which of its tasks are then refused: against a clock of the test."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from poolctl.runtime.routing.overload import (
    FINE,
    OVERLOADED,
    PATIENCE_TARGETS,
    SERVICE_TIMES,
    Overload,
    OverloadLimits,
)

TARGET = 0.1
PATIENCE = PATIENCE_TARGETS * TARGET
STEP = TARGET / 4  # between two looks, as a front looks


def looked(overload: Overload, begin: float, end: float, age: float) -> float:
    """Look at a queue whose oldest task always has this age. Returns the last answer."""
    found = 0.0
    steps = round((end - begin) / STEP)
    for number in range(steps + 1):
        now = begin + number * STEP
        found = overload.look(now, now - age)
    return found


def overloaded(**limits: float) -> Overload:
    made = Overload(OverloadLimits(**limits))  # type: ignore[arg-type]
    looked(made, 100.0, 100.0 + PATIENCE + STEP, 2 * TARGET)
    assert made.state is OVERLOADED
    return made


def test_a_queue_whose_tasks_are_young_enough_stays_fine() -> None:
    made = Overload(OverloadLimits())
    assert looked(made, 100.0, 160.0, TARGET - STEP) == 0
    assert made.state is FINE
    assert not made.newest_first


def test_what_is_late_has_to_be_late_for_a_while() -> None:
    made = Overload(OverloadLimits())
    assert looked(made, 100.0, 100.0 + PATIENCE - STEP, 2 * TARGET) == 0
    assert made.state is FINE
    now = 100.0 + PATIENCE + STEP
    assert made.look(now, now - 2 * TARGET) == now - TARGET
    assert made.state is OVERLOADED
    assert made.newest_first


def test_one_young_look_begins_the_while_anew() -> None:
    made = Overload(OverloadLimits())
    looked(made, 100.0, 100.0 + PATIENCE - STEP, 2 * TARGET)
    made.look(100.0 + PATIENCE, 100.0 + PATIENCE)
    assert looked(made, 100.0 + PATIENCE + STEP, 100.0 + 2 * PATIENCE - STEP, 2 * TARGET) == 0
    assert made.state is FINE


def test_it_ends_with_an_empty_queue() -> None:
    made = overloaded()
    now = 100.0 + PATIENCE + 2 * STEP
    assert looked(made, now, now + TARGET, STEP) == pytest.approx(now)  # tasks are young: it goes on
    made.emptied()
    assert made.state is FINE
    assert looked(made, now + 2 * STEP, now + PATIENCE, 2 * TARGET) == 0


def test_it_ends_if_nothing_has_waited_for_a_while() -> None:
    made = overloaded()
    assert made.look(120.0, 120.0 - 2 * TARGET) == 0
    assert made.state is FINE


def test_time_without_a_worker_does_not_count() -> None:
    made = Overload(OverloadLimits())
    for number in range(400):
        made.pause(100.0 + number * STEP)
    assert made.look(110.0, 100.0) == 0
    assert looked(made, 110.0 + STEP, 110.0 + PATIENCE - STEP, 5.0) == 0
    assert made.state is FINE


def test_the_target_follows_what_requests_take() -> None:
    made = Overload(OverloadLimits(target=0.1))
    made.service = 0.04
    assert made.target == 0.1
    made.service = 1.0
    assert made.target == SERVICE_TIMES * 1.0


def test_the_oldest_may_go_first_in_an_overload_too() -> None:
    assert not overloaded(newest=False).newest_first


@given(st.lists(st.tuples(st.floats(0, 0.3), st.floats(0, 0.5)), max_size=200))
def test_it_refuses_nothing_young_and_nothing_in_a_short_queue(looks: list[tuple[float, float]]) -> None:
    """Each look: seconds since the one before, and the age of the oldest task."""
    made = Overload(OverloadLimits())
    now, late_since = 100.0, None
    for past, age in looks:
        now += past
        late_since = None if age <= TARGET or past > TARGET else (now if late_since is None else late_since)
        least = made.look(now, now - age)
        assert least in (0.0, now - TARGET)
        if made.state is FINE:
            assert least == 0
        elif late_since is not None and least == 0:
            raise AssertionError("an overloaded queue names no bound")
        if past > TARGET:
            assert made.state is FINE
