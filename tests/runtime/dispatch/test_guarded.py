"""The guard around a strategy: what it counts. What it costs is measured by ``python -m bench.guard``."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

import pytest

from poolctl.runtime.affinity.request import Request
from poolctl.runtime.channels.inbox import ThreadInbox
from poolctl.runtime.dispatch import Dispatch, built_in
from poolctl.runtime.dispatch.guarded import MOST_LEARNED, Guarded
from poolctl.runtime.dispatch.least_loaded import LeastLoaded
from poolctl.runtime.inbox_view import InboxView
from poolctl.runtime.queue_view import ClassLimits
from poolctl.runtime.routing.router import Router
from poolctl.runtime.routing.waiting import Waiting
from poolctl.runtime.scoreboard import CHOOSING, DONE, FAULTS, SENT, TAKEN, Scoreboard
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


LIMITS = ClassLimits(most=1)
HUGE = 10**5000  # has more digits than Python converts to text


class Unfriendly(metaclass=Nameless):
    """An object of which nothing can be learned."""

    def __repr__(self) -> str:
        raise RuntimeError("no repr")

    def __eq__(self, other: object) -> bool:
        raise RuntimeError("no equal")

    __hash__ = None  # type: ignore[assignment]

    def __bool__(self) -> bool:
        raise RuntimeError("no truth")


def raises(*arguments: Any) -> Any:
    raise KeyError("unheard of")


def returns(answer: Any) -> Callable[..., Any]:
    return lambda *arguments: answer


class Lying(dict[str, ClassLimits]):
    """Another mapping each time it is read."""

    def items(self) -> Any:
        raise KeyError("unheard of")


WRONG: list[tuple[str, Callable[..., Any], str]] = [
    ("begin", raises, "raised KeyError: 'unheard of'"),
    ("classify", raises, "raised KeyError: 'unheard of'; the task shares the line of all without a class"),
    ("classify", returns(7), "returned 7, which is not a string; the task shares the line"),
    ("classify", returns(HUGE), "returned an object of type int, which is not a string"),
    ("classify", returns(Unfriendly()), "returned an object of type Unfriendly, which is not a string"),
    ("classify", returns(None), "returned None, which is not a string"),
    ("limits", raises, "raised KeyError: 'unheard of'; classes have no limits"),
    ("limits", returns([LIMITS]), "returned an object of type list, which is not a mapping of classes to ClassLimits"),
    ("limits", returns(None), "returned an object of type NoneType, which is not a mapping"),
    ("limits", returns(Lying(x=LIMITS)), "raised KeyError: 'unheard of'; classes have no limits"),
    ("limits", returns({7: LIMITS}), "returned an object of type int as the name of a class"),
    ("limits", returns({"x": 3}), "returned an object of type int, which is no ClassLimits, for the class 'x'"),
    ("limits", returns({"x": Unfriendly()}), "returned an object of type Unfriendly, which is no ClassLimits"),
    ("limits", returns({"x": ClassLimits(reserve=-1)}), "returned reserve=-1, which is less than 0, for the class 'x'"),
    ("limits", returns({"x": ClassLimits(most=0)}), "returned most=0, which is less than 1, for the class 'x'"),
    ("limits", returns({"x": ClassLimits(spare=-2)}), "returned spare=-2, which is less than 0, for the class 'x'"),
    ("limits", returns({"x": ClassLimits(reserve=1.5)}), "returned reserve as an object of type float"),  # type: ignore[arg-type]
    ("limits", returns({"x": ClassLimits(priority="high")}), "returned priority as an object of type str"),  # type: ignore[arg-type]
    ("limits", returns({"x": ClassLimits(fair="client")}), "returned fair as an object of type str"),  # type: ignore[arg-type]
    ("limits", returns({"x": ClassLimits(most=-HUGE)}), "raised ValueError"),
    ("refuses", raises, "raised KeyError: 'unheard of'; the task is accepted"),
    ("refuses", returns(1), "returned 1, which is neither True nor False; the task is accepted"),
    ("refuses", returns(Unfriendly()), "returned an object of type Unfriendly, which is neither True nor False"),
    ("served", raises, "raised KeyError: 'unheard of' ("),
    ("learned", raises, "raised KeyError: 'unheard of' ("),
    ("learned", returns(7), "raised TypeError: 'int' object is not iterable"),
    ("learned", returns([("GET /", "short", 0.1)]), "returned rows that are not (str, str, float, float)"),
    (
        "learned",
        returns([("GET /", "short", 0.1, float("nan"))]),
        "returned rows that are not (str, str, float, float)",
    ),
    ("learned", returns([(b"GET /", "short", 0.1, 2.0)]), "returned rows that are not (str, str, float, float)"),
    ("learned", returns("GET /"), "returned rows that are not (str, str, float, float)"),
]


@pytest.mark.parametrize(("hook", "method", "said"), WRONG)
def test_whatever_is_wrong_with_what_is_said_of_classes_no_task_is_lost(
    hook: str, method: Callable[..., Any], said: str, caplog: pytest.LogCaptureFixture
) -> None:
    methods = {"pick": LeastLoaded.pick, "_last": -1, "_new": None, "classify": returns("x"), hook: method}
    board = Scoreboard(3, 3)
    row = board.enter_front()
    inboxes = [ThreadInbox(index, board.inbox(index), [board.worker(index)]) for index in range(3)]
    router = Router(Guarded(type("Wrong", (Dispatch,), methods)(), row), Request(), inboxes, 100)
    refused: list[Waiting] = []
    router.turn_away = refused.append
    router.queue.slots = 3
    waiting: dict[int, None] = {}
    router.loans = waiting  # as the front counts them
    router.look(1.0)
    for connection in range(12):
        waiting[connection] = None
        router.route(TASK.peer, 1.0, connection, connection, line=b"GET / HTTP/1.1", noted=True)
    served = set()
    while any(inbox.waiting for inbox in inboxes):
        for inbox in inboxes:
            for _ in range(inbox.waiting):
                connection = inbox.take()
                inbox.workers[0][TAKEN] += 1
                inbox.workers[0][DONE] += 1
                del waiting[connection]
                router.ended(connection, 0.01)
                served.add(connection)
        router.retry()
    assert served == set(range(12))
    assert router.empty
    assert not refused
    router.look(1.2)
    json.dumps(router.notes(), allow_nan=False)
    assert row[FAULTS] > 0
    assert row[CHOOSING] == 0
    (record,) = caplog.records
    assert record.message.startswith(f"the strategy Wrong: {hook} {said}")
    assert "logged once, counted each time" in record.message


def test_what_is_right_of_what_was_learned_is_shown() -> None:
    class Learned(Users):
        def learned(self) -> Any:
            yield "GET /", "short", 0.1, 2
            yield "GET /", "short", 0.1

    row = Scoreboard(1, 1).enter_front()
    assert list(Guarded(Learned(), row).learned()) == [("GET /", "short", 0.1, 2)]
    assert row[FAULTS] == 1


def test_an_endless_list_of_what_was_learned_ends() -> None:
    class Endless(Users):
        def learned(self) -> Any:
            return itertools.repeat(("GET /", "short", 0.1, 2.0))

    row = Scoreboard(1, 1).enter_front()
    assert len(Guarded(Endless(), row).learned()) == MOST_LEARNED
    assert row[FAULTS] == 0


def test_what_is_right_reaches_the_front() -> None:
    class Right(Users):
        def classify(self, task: Task) -> str:
            return "x"

        def limits(self) -> Any:
            return MappingProxyType({"x": LIMITS, "": ClassLimits(reserve=1)})

        def refuses(self, task: Task) -> bool:
            return True

    row = Scoreboard(1, 1).enter_front()
    guarded = Guarded(Right(), row)
    assert (guarded.classify(TASK), guarded.refuses(TASK)) == ("x", True)
    assert guarded.limits() == {"x": LIMITS, "": ClassLimits(reserve=1)}
    assert row[FAULTS] == 0


def test_an_object_of_which_nothing_can_be_learned_is_no_inbox(caplog: pytest.LogCaptureFixture) -> None:
    class Odd(Dispatch):
        def pick(self, task: Task, inboxes: tuple[InboxView, ...]) -> Any:
            return Unfriendly()

    board = Scoreboard(2, 2)
    row, offered = board.enter_front(), views(board, 2)
    assert Guarded(Odd(), row).pick(TASK, offered) is offered[0]
    assert row[FAULTS] == 1
    assert "pick returned an object of type Unfriendly, which is not on offer" in caplog.records[0].message
