"""The scoreboard: rows that share nothing, one memory for all processes, and what a new worker makes of an old row."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable

import pytest

from poolctl.runtime.scoreboard import (
    BEAT,
    BUCKETS,
    DONE,
    FAILED,
    LAG,
    PID,
    READY,
    REQUESTS,
    ROW,
    SECONDS,
    SENT,
    SINCE,
    STARTING,
    STARTS,
    STATE,
    TAKEN,
    TICKET,
    Scoreboard,
)


def in_child(work: Callable[[], object]) -> int:
    """Do it in a forked process, and wait for its end; its exit status, or minus the signal that ended it."""
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            work()
            status = 0
        finally:
            os._exit(status)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def test_all_is_zero_at_first() -> None:
    board = Scoreboard(2, 3)
    rows = [board.inbox(0), board.inbox(1), *(board.worker(index) for index in range(3))]
    assert [row.tolist() for row in rows] == [[0] * ROW] * 5
    assert board.worker(0)[STATE] == STARTING


def test_rows_share_no_cell() -> None:
    board = Scoreboard(2, 3)
    rows = [board.inbox(0), board.inbox(1), *(board.worker(index) for index in range(3))]
    for number, row in enumerate(rows):
        for cell in range(ROW):
            row[cell] = number
    assert [row.tolist() for row in rows] == [[number] * ROW for number in range(5)]


def test_a_row_has_room_for_all_cells() -> None:
    cells = [PID, STATE, SINCE, TAKEN, DONE, REQUESTS, FAILED, TICKET, STARTS]
    assert sorted(cells) == list(range(SECONDS))
    assert SECONDS + BUCKETS <= ROW
    assert (2**63 - 1 >> 10).bit_length() < BUCKETS  # the longest duration that a clock can tell
    assert ROW * 8 % 64 == 0


def test_there_is_no_row_past_the_last() -> None:
    board = Scoreboard(1, 1)
    with pytest.raises(IndexError):
        board.worker(1)[PID] = 1


def test_a_cell_takes_64_bits() -> None:
    row = Scoreboard(0, 1).worker(0)
    row[TICKET] = 2**63 - 1
    assert row[TICKET] == 2**63 - 1


def test_a_worker_enters() -> None:
    row = Scoreboard(1, 2).enter(1)
    assert row.tolist()[:SECONDS] == [os.getpid(), READY, 0, 0, 0, 0, 0, 0, 1]


def test_a_successor_squares_what_the_dead_one_left() -> None:
    board = Scoreboard(1, 2)
    left = {PID: 1, SINCE: 123, TAKEN: 9, DONE: 7, REQUESTS: 6, FAILED: 2, TICKET: 15, STARTS: 3, SECONDS + 4: 6}
    left |= {LAG: 70, BEAT: 80}
    for cell, value in left.items():
        board.worker(1)[cell] = value
    neighbour = board.worker(0).tolist()
    row = board.enter(1)
    # What it had in hand is over; what it counted stays counted.
    expected = left | {PID: os.getpid(), SINCE: 0, DONE: 9, TICKET: 0, STARTS: 4, STATE: READY, LAG: 0, BEAT: 0}
    assert {cell: row[cell] for cell in expected} == expected
    assert board.worker(0).tolist() == neighbour


def test_processes_see_each_others_cells() -> None:
    board = Scoreboard(1, 2)
    board.inbox(0)[SENT] = 5

    def work() -> None:
        assert board.inbox(0)[SENT] == 5
        row = board.enter(1)
        row[TAKEN] += 2

    assert in_child(work) == 0
    row = board.worker(1)
    assert (row[STARTS], row[TAKEN], row[DONE], row[STATE]) == (1, 2, 0, READY)
    assert row[PID] not in (0, os.getpid())


def test_what_a_killed_worker_had_in_flight_is_counted_as_done_by_the_next() -> None:
    board = Scoreboard(1, 1)

    def dies() -> None:
        row = board.enter(0)
        row[SINCE], row[TICKET] = 123, 14
        row[TAKEN] += 1
        os.kill(os.getpid(), signal.SIGKILL)

    assert in_child(dies) == -signal.SIGKILL
    row = board.worker(0)
    assert (row[TAKEN] - row[DONE], row[TICKET]) == (1, 14)  # the front reads this, to answer its client
    assert in_child(lambda: board.enter(0)) == 0
    assert (row[TAKEN] - row[DONE], row[TICKET], row[SINCE], row[STARTS]) == (0, 0, 0, 2)
