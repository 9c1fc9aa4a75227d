"""The figures of a running server are those of its scoreboard."""

from __future__ import annotations

from time import monotonic_ns
from typing import Any

import pytest

from poolctl.assembly import status
from poolctl.runtime.scoreboard import (
    ABANDONED,
    AFTER,
    BEAT,
    CROWDED,
    DONE,
    FAILED,
    FAULTS,
    LATE,
    PID,
    REFUSED,
    REQUESTS,
    RETRIED,
    SENT,
    SINCE,
    STARTS,
    TAKEN,
    WAITING,
    Scoreboard,
)


def fill(row: memoryview, **cells: int) -> None:
    names = {"pid": PID, "since": SINCE, "starts": STARTS, "requests": REQUESTS, "failed": FAILED}
    names |= {"taken": TAKEN, "done": DONE, "after": AFTER}
    for name, value in cells.items():
        row[names[name]] = value


@pytest.fixture
def figures() -> dict[str, Any]:
    """Of two workers with two threads each, and an inbox for each worker."""
    board = Scoreboard(2, 4, slots=2)
    fill(board.worker(0), pid=10, starts=1, requests=5, failed=1, taken=6, done=5, since=monotonic_ns() - 10**9)
    fill(board.worker(1), pid=10, starts=1, requests=3, taken=3, done=3, after=2)
    fill(board.worker(2), pid=11, starts=4, requests=2, failed=2, taken=2, done=2)
    board.inbox(0)[SENT], board.inbox(1)[SENT] = 11, 2
    board.front()[WAITING], board.front()[FAULTS], board.front()[RETRIED] = 7, 3, 4
    return status._figures(board)


def test_the_totals(figures: dict[str, Any]) -> None:
    assert figures.items() >= {"requests": 10, "failed": 3, "after_response": 2}.items()
    assert figures.items() >= {"plugin_faults": 3, "retried": 4}.items()
    assert figures["waiting"] == 7 + 2  # in the front, and in the inboxes: sent and not taken


def test_what_the_front_tells_about_its_queue() -> None:
    board = Scoreboard(1, 1)
    assert status._figures(board).items() >= {"classes": [], "routes": []}.items()
    assert board.notes.write({"classes": [{"class": "chat"}], "routes": [{"route": "GET /"}]})
    board.front()[LATE], board.front()[CROWDED], board.front()[REFUSED], board.front()[ABANDONED] = 1, 2, 3, 4
    figures = status._figures(board)
    assert figures["refused"] == {"late": 1, "crowded": 2, "by_strategy": 3, "abandoned": 4}
    assert figures["classes"] == [{"class": "chat"}]
    assert figures["routes"] == [{"route": "GET /"}]


def test_a_worker_is_all_of_its_threads(figures: dict[str, Any]) -> None:
    first, second = figures["workers"]
    assert first.items() >= {"worker": 0, "pid": 10, "starts": 1, "requests": 8, "failed": 1}.items()
    assert second.items() >= {"worker": 1, "pid": 11, "starts": 4, "requests": 2, "busy_seconds": 0.0}.items()
    assert first["busy_seconds"] >= 1.0
    assert first["lag_seconds"] == second["lag_seconds"] == 0.0


def test_an_event_loop_that_is_blocked_is_as_late_as_it_is_now() -> None:
    board = Scoreboard(1, 1)
    board.worker(0)[BEAT] = monotonic_ns() - 60 * 10**9
    (worker,) = status._figures(board)["workers"]
    assert worker["lag_seconds"] >= 59


def test_of_many_workers_so_many_are_listed_and_all_are_counted() -> None:
    count = status.SHOWN + 8
    board = Scoreboard(0, count)
    for number in range(count):
        fill(board.worker(number), requests=1)
    figures = status._figures(board)
    assert (len(figures["workers"]), figures["requests"], figures["waiting"]) == (status.SHOWN, count, 0)
