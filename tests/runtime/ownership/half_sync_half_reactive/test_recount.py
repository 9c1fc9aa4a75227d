"""A worker died and had noted no ticket: which tasks it took with it, and which are only elsewhere."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from harness.phase_rig import PEER, row

from poolctl.runtime.affinity.request import Request
from poolctl.runtime.channels.inbox import ProcessInbox
from poolctl.runtime.dispatch.shared_queue import SharedQueue
from poolctl.runtime.ownership.half_sync_half_reactive.recount import Recount
from poolctl.runtime.routing.router import Router
from poolctl.runtime.scoreboard import SENT, TICKET


class Front:
    """A front, as far as a recount knows it. ``back``: tickets that come back at the next look."""

    def __init__(self) -> None:
        self.worker = row()
        self.inbox = ProcessInbox(0, row(), [self.worker])
        self.router = Router(SharedQueue(), Request(), [self.inbox], 100)
        self.lent: dict[int, object] = {}
        self.back: list[int] = []
        self.reported: list[int] = []

    def lend(self, ticket: int) -> None:
        self.lent[ticket] = client = object()
        self.router.route(PEER, 0.0, id(client), b"x")

    def take_back(self) -> None:
        for ticket in self.back:
            del self.lent[ticket]
        self.back.clear()

    def lost(self, ticket: int) -> None:
        del self.lent[ticket]
        self.reported.append(ticket)

    def take(self, ticket: int = 0) -> None:
        """A worker takes the oldest task, and notes its ticket; 0: it is killed before that."""
        self.inbox.take()
        self.worker[TICKET] = ticket << 1


@pytest.fixture
def front() -> Iterator[Front]:
    made = Front()
    yield made
    made.inbox.writer.close()
    made.inbox.reader.close()


def test_a_task_that_was_taken_and_never_noted_is_lost(front: Front) -> None:
    front.lend(5)
    front.take()
    recount = Recount(front, front.inbox)
    assert [recount.look(), recount.look()] == [False, True]
    assert front.reported == [5]
    assert front.inbox.row[SENT] == 0  # no worker has counted it as taken


def test_a_task_that_is_still_in_the_inbox_is_not_lost(front: Front) -> None:
    front.lend(5)
    recount = Recount(front, front.inbox)
    assert [recount.look() for _ in range(3)] == [False] * 3
    front.take(5)  # by the successor
    assert recount.look()
    assert front.reported == []


def test_a_task_that_comes_back_is_not_lost(front: Front) -> None:
    front.lend(5)
    front.take()
    recount = Recount(front, front.inbox)
    assert not recount.look()
    front.back = [5]
    assert recount.look()
    assert front.reported == []


def test_a_newer_task_in_flight_shows_that_the_older_were_taken(front: Front) -> None:
    """The inbox need not be empty for that: it is first in, first out."""
    front.lend(5)
    recount = Recount(front, front.inbox)
    for ticket in (6, 7):
        front.lend(ticket)
    assert not recount.look()
    front.take()  # 5, and the worker dies
    front.take(6)
    assert [recount.look(), recount.look()] == [False, True]
    assert front.reported == [5]


def test_there_is_nothing_to_recount_where_nothing_is_lent(front: Front) -> None:
    assert Recount(front, front.inbox).look()
