"""The figures of an inbox: what its cells say at the moment of the access."""

from __future__ import annotations

from time import monotonic_ns

import pytest

from poolctl.runtime.inbox_view import InboxView, LoopInboxView, allow
from poolctl.runtime.scoreboard import BEAT, DONE, LAG, SENT, Scoreboard

SECOND_NS = 10**9
IN_AN_HOUR_NS = 3600 * SECOND_NS  # a beat from which no time has passed


def test_a_loop_that_rests_is_not_late() -> None:
    board = Scoreboard(1, 1)
    board.worker(0)[LAG] = 5 * SECOND_NS
    assert LoopInboxView(0, board.inbox(0), [board.worker(0)]).lag == 0.0


def test_a_loop_is_as_late_as_it_says() -> None:
    board = Scoreboard(1, 1)
    row = board.worker(0)
    row[BEAT], row[LAG] = monotonic_ns() + IN_AN_HOUR_NS, SECOND_NS // 4
    assert LoopInboxView(0, board.inbox(0), [row]).lag == 0.25


def test_a_loop_that_is_blocked_says_nothing_and_is_later_at_each_look() -> None:
    board = Scoreboard(1, 1)
    row = board.worker(0)
    row[BEAT], row[LAG] = monotonic_ns() - 60 * SECOND_NS, SECOND_NS // 4
    view = LoopInboxView(0, board.inbox(0), [row])
    first = view.lag
    assert 59 < first < view.lag


def test_of_several_loops_the_one_that_is_the_least_late_takes_the_next_task() -> None:
    board = Scoreboard(1, 3)
    rows = [board.worker(index) for index in range(3)]
    for row, lag in zip(rows, (5, 2, 9), strict=True):
        row[BEAT], row[LAG] = monotonic_ns() + IN_AN_HOUR_NS, lag * SECOND_NS
    assert LoopInboxView(0, board.inbox(0), rows).lag == 2.0


def test_rows_of_a_simulation_need_no_cells_for_it() -> None:
    view = InboxView(0, [0] * (SENT + 1), [[0] * (DONE + 1)])
    assert not view.beats
    assert view.lag == 0.0
    with pytest.raises(AttributeError):
        view.lag = 1.0  # type: ignore[misc]


def test_only_the_front_changes_what_an_inbox_is_to_have_in_flight() -> None:
    view = InboxView(0, [0] * (SENT + 1), [[0] * (DONE + 1)], 100)
    allow(view, 20)
    assert view.capacity == 20
    with pytest.raises(AttributeError):
        view.capacity = 30
