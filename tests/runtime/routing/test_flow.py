"""How fast a pool works, from the rows of its workers."""

from __future__ import annotations

import pytest
from harness.phase_rig import row

from poolctl.runtime.routing.flow import AHEAD_SECONDS, FLOW_SECONDS, Flow
from poolctl.runtime.scoreboard import DONE, LEAVING, READY, STARTING, STATE, TAKEN


def rows(*states: int) -> list[memoryview]:
    made = [row() for _ in states]
    for each, state in zip(made, states, strict=True):
        each[STATE] = state
    return made


def test_only_ready_workers_count() -> None:
    flow = Flow(rows(READY, STARTING, READY, LEAVING))
    flow.look(100.0, 0)
    assert flow.ready == 2
    assert flow.most == 4  # one task ahead of each, as long as nothing is known


def test_what_a_task_takes_follows_from_those_in_flight() -> None:
    """Two busy workers that finish 20 tasks a second take 0.1 s for each."""
    made = rows(READY, READY)
    flow = Flow(made)
    flow.look(100.0, 2)
    for number in range(20):
        made[0][DONE] += 10
        made[1][DONE] += 10
        flow.look(101.0 + number, 5)  # three of which wait in the inbox
    assert flow.service == pytest.approx(0.1)
    assert flow.most == 2  # nothing ahead: the front is faster
    assert flow.seconds_for(100) == 5
    assert flow.seconds_for(1) == 1
    assert flow.seconds_for(100_000) == 60


def test_short_tasks_lie_ready() -> None:
    made = rows(READY, READY)
    flow = Flow(made)
    for number in range(20):
        flow.look(100.0 + number, 2)
        made[0][DONE] += 2000
    assert flow.service == pytest.approx(0.001, rel=0.01)
    assert flow.most == 2 + int(2 * AHEAD_SECONDS / flow.service)


def test_workers_that_finish_nothing_take_long() -> None:
    flow = Flow(rows(READY))
    for number in range(100):
        flow.look(100.0 + number * FLOW_SECONDS, 1)
    assert 1.0 < flow.service < 3.0


def test_a_task_after_a_silence_did_not_take_as_long_as_that() -> None:
    made = rows(READY)
    flow = Flow(made)
    flow.look(100.0, 0)
    made[0][DONE] += 1
    flow.look(3700.0, 1)
    assert flow.service <= 1.0


def test_leaving_workers_have_places_of_their_own() -> None:
    made = rows(READY, LEAVING)
    made[1][TAKEN] = 1
    flow = Flow(made)
    flow.look(100.0, 1)
    assert (flow.ready, flow.away, flow.most) == (1, 1, 3)
    made[1][DONE] = 1
    flow.look(101.0, 1)
    assert (flow.ready, flow.away) == (1, 0)


def test_an_idle_pool_says_nothing_of_its_tasks() -> None:
    flow = Flow(rows(READY))
    flow.look(100.0, 0)
    flow.look(103.0, 0)
    assert flow.service == 0


def test_it_looks_from_time_to_time() -> None:
    flow = Flow(rows(READY))
    assert flow.look(100.0, 1)
    assert not flow.look(100.0 + FLOW_SECONDS / 2, 1)
    assert flow.look(100.0 + FLOW_SECONDS * 1.5, 1)


def test_workers_that_serve_several_at_once() -> None:
    flow = Flow(rows(READY, READY), each=100)
    flow.look(100.0, 0)
    assert flow.ready == 200


def test_nothing_lies_ready_beyond_a_limit_that_is_kept() -> None:
    flow = Flow(rows(READY, READY), 50)
    flow.limit_to(7)
    flow.look(100.0, 0)
    assert flow.most == flow.ready == 14
    flow.limit_to(3)
    flow.look(101.0, 0)
    assert flow.most == 6
