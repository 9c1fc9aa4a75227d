"""Waiting for room in full inboxes, in a loop with a fake poller."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import pytest
from harness.loop_rig import LoopRig

from poolctl.runtime.affinity.request import Request
from poolctl.runtime.channels.inbox import AT_ONCE, ProcessInbox
from poolctl.runtime.dispatch.round_robin import RoundRobin
from poolctl.runtime.routing.room import Room, Rooms
from poolctl.runtime.routing.router import Router
from poolctl.runtime.scoreboard import Scoreboard
from poolctl.runtime.system.poller import OUT
from poolctl.runtime.task import Peer

BULK = b"x" * 60000
PEER = Peer("127.0.0.1", "4711", "127.0.0.1", "80")


class Rig(LoopRig):
    """Two inboxes, their router, and its rooms."""

    def __init__(self) -> None:
        super().__init__()
        board = Scoreboard(2, 2)
        self.inboxes = [ProcessInbox(index, board.inbox(index), [board.worker(index)]) for index in range(2)]
        self.router = Router(RoundRobin(), Request(), self.inboxes, 1000, board.front())
        self.rooms = Rooms(self.loop, self.router)

    def fill(self) -> None:
        """Until a task waits in the router."""
        for _ in itertools.takewhile(lambda _: not self.router.queue, itertools.count()):
            self.rooms.wait_for(self.router.route(PEER, 0.0, 0, BULK))

    def empty(self, inbox: ProcessInbox) -> None:
        """Its worker takes all that is in it."""
        while not inbox.empty:
            inbox.take(AT_ONCE)

    def end(self) -> None:
        for inbox in self.inboxes:
            inbox.writer.close()
            inbox.reader.close()
        self.close()


@pytest.fixture
def rig() -> Iterator[Rig]:
    made = Rig()
    yield made
    made.end()


def test_a_full_inbox_is_waited_for_until_it_has_room(rig: Rig) -> None:
    rig.fill()
    rooms = [each for each in rig.loop.handlers.values() if isinstance(each, Room)]
    assert {each.inbox for each in rooms} == set(rig.inboxes)
    assert all(rig.poller.waits_for(each.fd) == OUT for each in rooms)
    (inbox,) = [each for each in rig.inboxes if each.index == 1]
    rig.empty(inbox)
    rig.turns([(inbox.writer.fileno(), OUT)], service=None)
    assert inbox.load == rig.inboxes[1].load
    assert not rig.router.queue
    assert inbox.writer.fileno() not in rig.loop.handlers
    assert rig.inboxes[0].writer.fileno() in rig.loop.handlers


def test_an_inbox_that_is_full_again_is_waited_for_again(rig: Rig) -> None:
    rig.fill()
    fd = rig.inboxes[0].writer.fileno()
    rig.turns([(fd, OUT)], service=None)  # there is no room, whatever the poller says
    assert fd in rig.loop.handlers
    assert rig.poller.waits_for(fd) == OUT
    assert rig.router.queue


def test_a_room_keeps_no_drain_waiting(rig: Rig) -> None:
    rig.fill()
    assert {each.writer.fileno() for each in rig.inboxes} <= rig.loop.sources


def test_a_retry_asks_the_router_only_when_something_waits(rig: Rig) -> None:
    rig.rooms.retry()
    assert rig.loop.handlers.keys() == {rig.lifeline}
    rig.fill()
    rig.rooms.loop.remove(rig.loop.handlers[rig.inboxes[0].writer.fileno()])
    rig.router._full.discard(0)
    rig.router._open(rig.inboxes[0])  # though it is full
    rig.rooms.retry()
    assert rig.inboxes[0].writer.fileno() in rig.loop.handlers
