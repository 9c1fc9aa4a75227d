"""The guard around a strategy: what it costs, and what it counts."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Any

import pytest

from poolctl.runtime.dispatch import Dispatch, built_in
from poolctl.runtime.dispatch.guarded import Guarded
from poolctl.runtime.dispatch.least_loaded import LeastLoaded
from poolctl.runtime.inbox_view import InboxView
from poolctl.runtime.scoreboard import CHOOSING, DONE, FAULTS, SENT, Scoreboard
from poolctl.runtime.task import Peer, Task

TASK = Task(Peer("127.0.0.1", "4711", "127.0.0.1", "80"))


@dataclass
class Users(Dispatch):
    """least-loaded as a user writes it: the built-in one, word for word."""

    _last: int = field(default=-1, init=False, repr=False)
    pick = LeastLoaded.pick


class Broken(Dispatch):
    def pick(self, task: Task, inboxes: tuple[InboxView, ...]) -> Any:
        return inboxes[5]


def views(board: Scoreboard, count: int) -> tuple[InboxView, ...]:
    return tuple(InboxView(index, board.inbox(index), [board.worker(index)]) for index in range(count))


def test_own_strategies_need_no_guard() -> None:
    assert built_in(LeastLoaded())
    assert not built_in(Users())


def test_faults_are_counted_in_the_front_s_row_and_the_default_answers(caplog: pytest.LogCaptureFixture) -> None:
    board = Scoreboard(3, 3)
    row = board.enter_front()
    guarded = Guarded(Broken(), row)
    offered = views(board, 3)
    board.inbox(0)[SENT] = 1
    assert [guarded.pick(TASK, offered) for _ in range(4)] == [offered[1], offered[2], offered[1], offered[2]]
    assert row[FAULTS] == 4
    assert row[CHOOSING] == 0
    assert [record.message.partition(";")[0] for record in caplog.records] == [
        "the strategy Broken: pick raised IndexError: tuple index out of range"
    ]


def test_one_that_was_on_offer_before_is_not_accepted() -> None:
    board = Scoreboard(3, 3)
    offered = views(board, 3)

    class Remembers(Dispatch):
        first: Any = None

        def pick(self, task: Task, inboxes: tuple[InboxView, ...]) -> Any:
            self.first = self.first or inboxes[0]
            return self.first

    row = board.enter_front()
    guarded = Guarded(Remembers(), row)
    assert guarded.pick(TASK, offered) is offered[0]
    assert guarded.pick(TASK, offered[1:]) is offered[1]
    assert row[FAULTS] == 1


class Nameless(type):
    def __getattribute__(cls, name: str) -> Any:
        if name == "__name__":
            raise RuntimeError(name)
        return super().__getattribute__(name)


class CannotBeShown(Exception, metaclass=Nameless):
    def __str__(self) -> str:
        raise RuntimeError("no message")


class Shy(Dispatch):
    def pick(self, task: Task, inboxes: tuple[InboxView, ...]) -> Any:
        raise CannotBeShown


def test_an_exception_that_cannot_be_shown_is_a_fault_like_any_other(caplog: pytest.LogCaptureFixture) -> None:
    board = Scoreboard(2, 2)
    row, offered = board.enter_front(), views(board, 2)
    guarded = Guarded(Shy(), row)
    assert [guarded.pick(TASK, offered) for _ in range(2)] == [offered[0], offered[1]]
    assert row[FAULTS] == 2
    (record,) = caplog.records
    assert "pick raised CannotBeShown: (it cannot be shown" in record.message
    assert "test_guarded.py" in record.message  # where it was raised


def test_an_endless_message_is_cut(caplog: pytest.LogCaptureFixture) -> None:
    class Talks(Dispatch):
        def pick(self, task: Task, inboxes: tuple[InboxView, ...]) -> Any:
            raise ValueError("x" * 10_000_000)

    board = Scoreboard(2, 2)
    offered = views(board, 2)
    assert Guarded(Talks(), board.enter_front()).pick(TASK, offered) is offered[0]
    assert len(caplog.records[0].message) < 25_000


def nanoseconds(dispatches: list[Dispatch], offered: tuple[InboxView, ...], rounds: int) -> list[float]:
    """For one decision of each: the least of many short runs that take turns, so that both have the same machine. Time
    of this thread, not of those who share the machine with it."""
    best = [float("inf")] * len(dispatches)
    for _ in range(60):
        for number, dispatch in enumerate(dispatches):
            pick = dispatch.pick
            began = time.thread_time_ns()
            for _ in range(rounds):
                pick(TASK, offered)
            best[number] = min(best[number], (time.thread_time_ns() - began) / rounds)
    return best


@dataclass
class First(Dispatch):
    """It decides in no time, so what is left is the guard's."""

    def pick(self, task: Task, inboxes: tuple[InboxView, ...]) -> InboxView:
        return inboxes[0]


@pytest.mark.parametrize("count", [1, 8, 256])
def test_a_user_s_strategy_costs_little_more_than_the_same_built_in(count: int) -> None:
    board = Scoreboard(count, count)
    offered = views(board, count)
    for index in range(count):
        board.inbox(index)[SENT] = 3
        board.worker(index)[DONE] = index % 3
    row = board.enter_front()
    own, users = nanoseconds([LeastLoaded(), Guarded(Users(), row)], offered, 1000 // count + 10)
    assert users - own < 1500 + own / 20  # of 256 inboxes a twentieth is noise, and below is what it is not
    bare, guarded = nanoseconds([First(), Guarded(First(), row)], offered, 500)
    assert guarded - bare < 1500
