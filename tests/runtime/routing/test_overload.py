"""When a queue is overloaded, and which of its tasks are then refused: against a clock of the test."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from poolctl.runtime.routing.overload import (
    AGAIN_TARGETS,
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
    assert not made.newest_first


def test_soon_after_an_overload_it_is_noticed_again_after_one_target() -> None:
    made = overloaded()
    made.emptied()
    assert looked(made, 101.2, 101.2 + TARGET - STEP, 2 * TARGET) == 0
    assert looked(made, 101.2 + TARGET, 101.2 + TARGET + STEP, 2 * TARGET) > 0
    made.emptied()
    later = 101.2 + 2 * AGAIN_TARGETS * TARGET
    assert looked(made, later, later + PATIENCE - 2 * STEP, 2 * TARGET) == 0


def test_looks_may_be_far_apart() -> None:
    """A front with nothing else to do looks ten times a second, less often than the target of some."""
    made = Overload(OverloadLimits(target=0.02))
    for number in range(10):
        made.look(100.0 + number * 0.1002, 90.0)
    assert made.state is OVERLOADED


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


@given(st.lists(st.tuples(st.sampled_from((0.02, 0.1, 0.3)), st.sampled_from((0.05, 0.15, 0.5))), max_size=200))
def test_the_state_is_that_of_a_simple_model(looks: list[tuple[float, float]]) -> None:
    """Each look: seconds since the one before, and the age of the oldest task."""
    made = Overload(OverloadLimits())
    now, late_since, late = 100.0, 0.0, False
    for past, age in looks:
        now += past
        if age <= TARGET:
            late_since = 0.0
        elif not late_since:
            late_since = now
        elif now - late_since >= PATIENCE:
            late = True
        assert made.look(now, now - age) == (now - TARGET if late else 0.0)
        assert made.newest_first is late
