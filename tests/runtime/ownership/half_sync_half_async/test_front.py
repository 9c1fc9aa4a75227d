"""The front that hands connections over, or gives turns to accept them: with real inboxes, a fake poller and clock."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from harness.fake_poller import FakeClock, FakePoller

from poolctl.runtime.affinity.request import Request
from poolctl.runtime.channels.inbox import AT_ONCE, Inbox, ProcessInbox, RingingInbox
from poolctl.runtime.channels.notices import INBOX_JOINED, INBOX_LEFT, LOST, Notices
from poolctl.runtime.channels.parcel import HEAD, RECORD, TICKET_ACCEPTED, introduced
from poolctl.runtime.dispatch.round_robin import RoundRobin
from poolctl.runtime.listen.door import Door
from poolctl.runtime.listen.listener import Listener
from poolctl.runtime.loop import registrations
from poolctl.runtime.loop.loop import SWEEP_SECONDS
from poolctl.runtime.ownership.half_sync_half_async.front import (
    OVERDUE_SECONDS,
    HandingFront,
    ProcessHandingFront,
    ThreadHandingFront,
    WatchedListener,
)
from poolctl.runtime.protocol.http.protocol import Http
from poolctl.runtime.routing.router import Router
from poolctl.runtime.scoreboard import DONE, TAKEN, Scoreboard
from poolctl.runtime.system.poller import EDGE, HUP, IN

SERVERS = [("127.0.0.1", "80")]


class FakeListener:
    """One that is only watched."""

    kept_outside = False
    shut = False
    waits = False

    def __init__(self) -> None:
        self.sock, self.far = socket.socketpair()
        self.fd = self.sock.fileno()
        self.deaf = False

    def deafen(self) -> None:
        self.deaf = True

    def end(self) -> bool:
        return self.waits


class Rig:
    """A front, its inboxes, and the pipe of the turns that were taken."""

    def __init__(self, *, threads: bool = False, limit: int = 100) -> None:
        self.clock = FakeClock()
        self.poller = FakePoller(self.clock)
        board = Scoreboard(2, 2)
        self.rows = [board.worker(index) for index in range(2)]
        kind: type[Inbox] = RingingInbox if threads else ProcessInbox
        self.inboxes: list[Any] = [kind(index, board.inbox(index), [self.rows[index]]) for index in range(2)]
        self.router = Router(RoundRobin(), Request(), self.inboxes, 1000, board.front())
        self.lifeline, self.mold = os.pipe()
        self.returns, self.workers = os.pipe()
        self.notices = Notices()
        front = ThreadHandingFront if threads else ProcessHandingFront
        heard = None if threads else self.notices.reader
        self.front: HandingFront = front(self.lifeline, Http(), self.router, limit, heard)
        self.front._clock = self.clock
        self.front.now = self.clock.now
        self.fake = FakeListener()
        self.socks: list[socket.socket] = []

    def gives_turns(self) -> Rig:
        listener: Any = self.fake
        self.front.give_turns(listener, 0, self.returns)
        return self

    @property
    def turns(self) -> WatchedListener:
        (found,) = self.front.listening.values()
        assert isinstance(found, WatchedListener)
        return found

    def event(self, fd: int, events: int = IN) -> None:
        """One that the poller would report, a moment after the last."""
        self.clock.now += 0.001
        self.front.now = self.clock.now
        self.poller.report(fd, events)
        self.front.handlers[fd].on_event(events, None)

    def given(self) -> list[tuple[int, int]]:
        """(inbox, ticket) of the turns that workers find."""
        found = []
        for inbox in self.inboxes:
            for message, fds in inbox.reclaim():
                assert not fds
                ticket, _, length, _ = HEAD.unpack_from(message)
                assert introduced(message[HEAD.size : HEAD.size + length], SERVERS)[1] == 0
                found.append((inbox.index, ticket))
        return found

    def taken(self, *tickets: int) -> None:
        """Workers tell that they took these turns."""
        for ticket in tickets:
            os.write(self.workers, RECORD.pack(ticket << 2 | TICKET_ACCEPTED))
        self.event(self.returns)

    def looks_again(self) -> bool:
        """Whether the front has asked the poller anew since the last call."""
        found, self._modified = self._modified, False
        return found

    _modified = False

    def watch_modify(self) -> None:
        modify = self.poller.modify

        def note(fd: int, mask: int, /) -> None:
            self._modified |= fd == self.fake.fd
            modify(fd, mask)

        self.poller.modify = note  # type: ignore[method-assign]

    def connect(self, listener: Listener) -> socket.socket:
        far = socket.create_connection(listener.sock.getsockname())
        far.settimeout(10)
        self.socks.append(far)
        return far

    def close(self) -> None:
        self.front._finish()
        self.front.close()
        for inbox in self.inboxes:
            inbox.writer.close()
            inbox.reader.close()
        for sock in (*self.socks, self.fake.sock, self.fake.far, self.notices.writer, self.notices.reader):
            sock.close()
        for fd in (self.lifeline, self.mold, self.returns, self.workers):
            if fd >= 0:
                os.close(fd)


MakeRig = Callable[..., Rig]


@pytest.fixture
def rig(monkeypatch: pytest.MonkeyPatch) -> Iterator[MakeRig]:
    made: list[Rig] = []

    def make(**options: Any) -> Rig:
        clock = FakeClock()
        monkeypatch.setattr(registrations, "make_poller", lambda: FakePoller(clock))
        each = Rig(**options)
        each.poller = each.front.poller  # type: ignore[assignment]
        each.poller.clock = each.clock
        made.append(each)
        return each

    yield make
    for each in made:
        each.close()


# turns


def test_a_connection_that_waits_is_a_turn_for_a_worker(rig: MakeRig) -> None:
    made = rig().gives_turns()
    assert made.poller.masks[made.fake.fd] == IN | EDGE
    made.event(made.fake.fd)
    ((_, ticket),) = made.given()
    assert made.front.turns == {ticket: 0}
    assert made.turns.last == ticket


def test_while_a_turn_is_out_only_its_record_wakes_the_front(rig: MakeRig) -> None:
    made = rig().gives_turns()
    assert made.front._patience() is None
    made.event(made.fake.fd)
    assert made.front._patience() == SWEEP_SECONDS
    made.front.draining = True
    assert made.front._patience() == SWEEP_SECONDS
    made.taken(made.turns.last)
    assert made.front._patience() == 0


def test_when_the_last_turn_was_taken_the_front_looks_again(rig: MakeRig) -> None:
    made = rig().gives_turns()
    made.watch_modify()
    made.event(made.fake.fd)
    made.event(made.fake.fd)
    (_, first), (_, second) = sorted(made.given(), key=lambda each: each[1])
    made.taken(first)
    assert not made.looks_again()
    made.taken(second)
    assert made.looks_again()
    assert made.front.turns == {}


def test_a_record_of_a_front_that_was_killed_makes_it_look_again(rig: MakeRig) -> None:
    made = rig().gives_turns()
    made.watch_modify()
    made.taken(4711)
    assert made.looks_again()


def test_an_event_from_before_that_look_gives_no_turn(rig: MakeRig) -> None:
    made = rig().gives_turns()
    made.event(made.fake.fd)
    made.taken(made.turns.last)
    made.given()
    made.turns.on_event(IN, None)  # in the same batch
    assert made.given() == []
    made.event(made.fake.fd)
    assert len(made.given()) == 1


def test_a_turn_that_no_worker_takes_is_given_again(rig: MakeRig) -> None:
    made = rig().gives_turns()
    made.watch_modify()
    made.event(made.fake.fd)
    made.turns.expire(made.clock.now + OVERDUE_SECONDS, None)
    assert not made.looks_again()
    made.turns.expire(made.clock.now + OVERDUE_SECONDS + 0.1, None)
    assert made.looks_again()
    assert made.front.turns == {}
    made.turns.expire(made.clock.now + 100, None)
    assert not made.looks_again()


def test_two_listeners_share_one_pipe_of_records(rig: MakeRig) -> None:
    made = rig().gives_turns()
    other = FakeListener()
    made.socks += other.sock, other.far
    listener: Any = other
    made.front.give_turns(listener, 1, made.returns)
    assert len(made.front.listening) == 2
    made.front.turns = {1: 0, 2: 1}
    turns = made.front.listening[made.fake.fd]
    turns.expire(made.clock.now + 100, None)
    assert made.front.turns == {2: 1}


def test_threads_find_turns_too(rig: MakeRig) -> None:
    made = rig(threads=True).gives_turns()
    made.event(made.fake.fd)
    found = [inbox.take_now() for inbox in made.inboxes if not inbox.empty]
    assert found == [(0, made.turns.last)]


# the end


def test_at_the_end_the_listener_is_asked_when_no_turn_is_out(rig: MakeRig) -> None:
    made = rig().gives_turns()
    made.event(made.fake.fd)
    (ticket,) = [ticket for _, ticket in made.given()]
    made.fake.waits = True
    made.front.drain(None)
    made.front._drained(True, None)
    assert made.given() == []
    made.taken(ticket)
    made.front._drained(True, None)
    ((_, ticket),) = made.given()
    made.taken(ticket)
    made.fake.waits = False
    made.front._drained(True, None)
    assert made.front.finished
    assert not made.front.handlers


def test_a_listener_that_was_shut_leaves_in_its_event(rig: MakeRig) -> None:
    made = rig().gives_turns()
    made.front.drain(None)
    made.fake.shut = True
    made.event(made.fake.fd, HUP)
    assert made.given() == []
    assert made.front.listening == {}


def test_deafening_is_the_listeners(rig: MakeRig) -> None:
    made = rig().gives_turns()
    made.turns.deafen()
    assert made.fake.deaf


def test_a_front_whose_workers_and_mold_are_gone_leaves(rig: MakeRig, caplog: pytest.LogCaptureFixture) -> None:
    made = rig().gives_turns()
    os.close(made.workers)
    made.workers = -1
    made.event(made.returns)
    assert made.front.finished
    assert "the mold and all workers are gone" in caplog.text


# connections


@pytest.fixture
def listener() -> Iterator[Listener]:
    with socket.create_server(("127.0.0.1", 0)) as sock:
        yield Listener(sock, Door(Http()))


def test_a_connection_travels_with_its_descriptor(rig: MakeRig, listener: Listener) -> None:
    made = rig()
    made.front.hand_over(listener, 0)
    far = made.connect(listener)
    made.event(listener.fd)
    ((message, fds),) = [inbox.take(AT_ONCE) for inbox in made.inboxes if not inbox.empty]
    ticket, flags, length, when = HEAD.unpack_from(message)
    assert (ticket, flags, when) == (0, 0, made.front.now)
    peer, number = introduced(message[HEAD.size : HEAD.size + length], SERVERS)
    assert (peer.client_port, number) == (str(far.getsockname()[1]), 0)
    (fd,) = fds
    with socket.socket(fileno=fd) as sock:
        sock.send(b"hello")
    assert (far.recv(10), far.recv(10)) == (b"hello", b"")  # the front has closed its own


def test_between_threads_the_descriptor_itself_is_passed(rig: MakeRig, listener: Listener) -> None:
    made = rig(threads=True)
    made.front.hand_over(listener, 3)
    far = made.connect(listener)
    made.event(listener.fd)
    ((fd, peer, number, _, sent),) = [inbox.take_now() for inbox in made.inboxes if not inbox.empty]
    assert (peer.client_port, number, sent) == (str(far.getsockname()[1]), 3, made.front.now)
    os.close(fd)


def test_past_the_limit_clients_are_turned_away_until_one_is_done(rig: MakeRig, listener: Listener) -> None:
    made = rig(limit=2)
    made.front.hand_over(listener, 0)
    clients = []
    for _ in range(3):
        clients.append(made.connect(listener))
        made.clock.now += 1
        made.event(listener.fd)
    assert clients[2].recv(100).startswith(b"HTTP/1.1 503")
    made.rows[0][TAKEN] = made.rows[0][DONE] = 1
    clients.append(made.connect(listener))
    made.clock.now += 1
    made.event(listener.fd)
    assert sum(len(inbox.reclaim()) for inbox in made.inboxes) == 3
    for fd in list(made.front.handlers.keys() - made.front.sources):
        made.front.handlers[fd].expire(float("inf"), None)


# what the mold says


def test_a_worker_that_left_gets_nothing_until_it_is_back(rig: MakeRig) -> None:
    made = rig().gives_turns()
    reader = made.notices.reader.fileno()
    made.notices.send(LOST, 7)  # connections are the workers': nothing to do
    made.notices.send(INBOX_LEFT, 0)
    made.event(reader)
    for _ in range(3):
        made.event(made.fake.fd)
    assert {index for index, _ in made.given()} == {1}
    made.notices.send(INBOX_JOINED, 0)
    made.event(reader)
    for _ in range(2):
        made.event(made.fake.fd)
    assert {index for index, _ in made.given()} == {0, 1}


def test_what_waits_for_a_worker_goes_to_the_first_that_is_back(rig: MakeRig) -> None:
    made = rig().gives_turns()
    for index in range(2):
        made.front.notice(INBOX_LEFT, index)
    made.router.queues = True
    made.router._offer = ()
    made.event(made.fake.fd)
    assert made.given() == []
    assert made.front._patience() == SWEEP_SECONDS
    made.front.notice(INBOX_JOINED, 1)
    assert [index for index, _ in made.given()] == [1]


def test_the_end_of_the_notices_is_that_of_the_mold(rig: MakeRig) -> None:
    made = rig()
    made.notices.writer.close()
    reader = made.notices.reader.fileno()
    made.event(reader, HUP)
    assert reader not in made.front.handlers


def test_a_front_that_does_not_read_its_notices_does_not_block_the_mold() -> None:
    notices = Notices()
    for number in range(5000):
        notices.send(LOST, number)
    notices.writer.close()
    notices.reader.close()
