"""The guard around a strategy: what it counts. What it costs is measured by ``python -m bench.guard``."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pytest

from poolctl.runtime.dispatch import Dispatch, built_in
from poolctl.runtime.dispatch.guarded import Guarded
from poolctl.runtime.dispatch.least_loaded import LeastLoaded
from poolctl.runtime.inbox_view import InboxView
from poolctl.runtime.scoreboard import CHOOSING, FAULTS, SENT, Scoreboard
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
    assert "pick raised CannotBeShown: (no message" in record.message
    assert "test_guarded.py" in record.message  # where it was raised


def test_an_endless_message_is_cut(caplog: pytest.LogCaptureFixture) -> None:
    class Talks(Dispatch):
        def pick(self, task: Task, inboxes: tuple[InboxView, ...]) -> Any:
            raise ValueError("x" * 10_000_000)

    board = Scoreboard(2, 2)
    offered = views(board, 2)
    assert Guarded(Talks(), board.enter_front()).pick(TASK, offered) is offered[0]
    assert len(caplog.records[0].message) < 25_000
