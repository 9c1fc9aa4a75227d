"""A worker's inbox in its loop: connections that arrive, and turns to accept one."""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Iterator
from time import monotonic
from typing import Any

import pytest
from harness.server import wait_until

from poolctl.runtime.channels.inbox import ProcessInbox, RingingInbox
from poolctl.runtime.channels.parcel import FLAG_MOVED, HEAD, RECORD, TICKET_ACCEPTED, introduction, server_end
from poolctl.runtime.loop.loop import SWEEP_SECONDS
from poolctl.runtime.ownership.half_sync_half_async.arrivals import ProcessArrivals, ThreadArrivals
from poolctl.runtime.routing.overload import OverloadLimits
from poolctl.runtime.scoreboard import DONE, LATE, ROW, TAKEN, Scoreboard
from poolctl.runtime.system.poller import IN
from poolctl.runtime.task import NOBODY, Peer

PEER = Peer("192.0.2.7", "4711", "127.0.0.1", "80", "CN=Ada")
TICKET = 7
BUSY = b"busy"
FULL, SHUT = OSError(errno.EMFILE, "Too many open files"), OSError(errno.EINVAL, "Invalid argument")


class FakeLoop:
    """A loop of connections, as far as arrivals need it."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.shared = False
        self.sources: set[int] = set()
        self.accepted: list[tuple[int, Peer, str]] = []
        self.refused: list[int] = []
        self.calls: list[str] = []

    def rearm(self, source: object) -> None:
        self.calls.append("rearm")

    def step_back(self, source: object) -> None:
        self.calls.append("step_back")

    def remove(self, source: object) -> bool:
        self.calls.append("remove")
        return True

    def accept(self, fd: int, peer: Peer, service: Any, door: str) -> None:
        self.calls.append("accept")
        self.accepted.append((fd, peer, door))

    def turn_away(self, fd: int, words: bytes) -> None:
        self.calls.append("turn_away")
        assert words == BUSY
        self.refused.append(fd)

    def adopt(self, fd: int, peer: Peer, service: Any, door: str) -> None:
        self.calls.append("adopt")
        self.accepted.append((fd, peer, door))


class FakeDoor(str):
    __slots__ = ()

    def busy(self, peer: Peer) -> bytes:
        assert peer == PEER
        return BUSY


class FakeListener:
    server_host, server_port = PEER.server_host, PEER.server_port

    def __init__(self, door: str) -> None:
        self.door = FakeDoor(door)
        self.waiting: list[int | OSError] = []

    def accept(self) -> tuple[int, Peer]:
        found = self.waiting.pop(0) if self.waiting else BlockingIOError()
        if isinstance(found, OSError):
            raise found
        return found, PEER


class FakeService:
    def __init__(self) -> None:
        self.row = memoryview(bytearray(ROW * 8)).cast("q")


class Rig:
    """A worker of processes, or of threads."""

    def __init__(self, *, threads: bool) -> None:
        board = Scoreboard(1, 1)
        self.loop: Any = FakeLoop()
        self.service: Any = FakeService()
        self.listeners: list[Any] = [FakeListener("first"), FakeListener("second")]
        self.told, returns = os.pipe()
        os.set_blocking(self.told, False)
        self.returns = returns
        self.inbox: Any = (RingingInbox if threads else ProcessInbox)(0, board.inbox(0), [board.worker(0)])
        self.arrivals: Any = (ThreadArrivals if threads else ProcessArrivals)(
            self.loop, self.inbox, self.listeners, returns
        )
        self.threads = threads

    def turn(self, ticket: int = TICKET, number: int = 1) -> None:
        """A turn to accept at this listener."""
        intro = introduction(NOBODY, number)
        self.inbox.put((number, ticket) if self.threads else HEAD.pack(ticket, 0, len(intro), 0.0) + intro)
        self.event()

    def hand(self, sock: socket.socket, sent: float) -> None:
        """A connection that the front has sent at this time."""
        if self.threads:
            self.inbox.put((sock.fileno(), PEER, 1, False, sent))
        else:
            intro = introduction(PEER, 1)
            self.inbox.put(HEAD.pack(0, 0, len(intro), sent) + intro, (sock.fileno(),))
        self.event()

    def event(self) -> None:
        self.arrivals.on_event(IN, self.service)

    def records(self) -> list[int]:
        """What was told of turns."""
        try:
            return [record for (record,) in RECORD.iter_unpack(os.read(self.told, 4096))]
        except BlockingIOError:
            return []

    @property
    def counted(self) -> tuple[int, int]:
        return self.service.row[TAKEN], self.service.row[DONE]

    def close(self) -> None:
        self.inbox.writer.close()
        self.inbox.reader.close()
        os.close(self.told)
        os.close(self.returns)


@pytest.fixture(params=[False, True], ids=["processes", "threads"])
def rig(request: pytest.FixtureRequest) -> Iterator[Rig]:
    made = Rig(threads=request.param)
    yield made
    made.close()


def test_a_connection_that_has_passed_its_door_is_adopted_with_both_ends_of_its_peer(rig: Rig) -> None:
    announced = PEER._replace(server_host="192.0.2.9", server_port="443")
    near, far = socket.socketpair()
    with near, far:
        if rig.threads:
            rig.inbox.put((near.fileno(), announced, 1, True, 0.0))
        else:
            intro = introduction(announced, 1)
            head = HEAD.pack(0, FLAG_MOVED, len(intro), 0.0)
            rig.inbox.put(head + intro + server_end(announced), (near.fileno(),))
        rig.event()
        ((fd, peer, door),) = rig.loop.accepted
        assert (peer, door) == (announced, "second")
        if not rig.threads:
            os.close(fd)
    assert rig.loop.calls == ["step_back", "adopt"]


def test_a_connection_that_arrives_is_accepted_with_its_peer_and_door(rig: Rig) -> None:
    near, far = socket.socketpair()
    with near, far:
        rig.hand(near, 0.0)
        ((fd, peer, door),) = rig.loop.accepted
        assert (peer, door) == (PEER, "second")
        os.write(fd, b"hello")
        assert far.recv(10) == b"hello"
        if not rig.threads:
            os.close(fd)
    assert rig.loop.calls == ["step_back", "accept"]
    assert rig.records() == []


def test_in_an_overload_those_that_have_waited_for_too_long_are_refused(rig: Rig) -> None:
    rig.arrivals.bound_by(OverloadLimits(target=0.001))
    near, far = socket.socketpair()
    with near, far:

        def refused() -> bool:
            rig.hand(near, monotonic() - 100)
            return bool(rig.loop.refused)

        wait_until(refused, "a refusal")
        accepted = len(rig.loop.accepted)
        assert accepted >= 1  # not the first one that was late
        rig.hand(near, monotonic() + 100)  # it has not waited at all
        assert len(rig.loop.accepted) == accepted + 1
        rig.arrivals.bound_by(None)
        rig.hand(near, monotonic() - 100)
        assert len(rig.loop.accepted) == accepted + 2
        assert rig.service.row[LATE] == len(rig.loop.refused)
        assert rig.counted == (len(rig.loop.refused),) * 2  # the loop counts the others
        if not rig.threads:
            for fd, _, _ in rig.loop.accepted:
                os.close(fd)
            for fd in rig.loop.refused:
                os.close(fd)


def test_in_a_shared_loop_the_next_thread_may_take_the_next_one(rig: Rig) -> None:
    rig.loop.shared = True
    rig.listeners[1].waiting = [901]
    rig.turn()
    assert rig.loop.calls == ["rearm", "accept"]


def test_a_turn_accepts_and_is_told(rig: Rig) -> None:
    rig.listeners[1].waiting = [901]
    rig.turn()
    assert rig.loop.accepted == [(901, PEER, "second")]
    assert rig.records() == [TICKET << 2 | TICKET_ACCEPTED]
    assert rig.counted == (0, 0)  # the loop counts it


@pytest.mark.parametrize("nothing", [BlockingIOError(), ConnectionAbortedError(), SHUT], ids=lambda e: type(e).__name__)
def test_a_turn_for_nothing_is_done(rig: Rig, nothing: OSError) -> None:
    rig.listeners[1].waiting = [nothing]
    rig.turn()
    assert rig.loop.accepted == []
    assert rig.records() == [TICKET << 2 | TICKET_ACCEPTED]
    assert rig.counted == (1, 1)


def test_out_of_descriptors_a_turn_is_counted_and_not_told(rig: Rig, caplog: pytest.LogCaptureFixture) -> None:
    """So the front gives it again, but not at once."""
    rig.listeners[1].waiting = [FULL]
    rig.turn()
    assert rig.records() == []
    assert rig.counted == (1, 1)
    assert "cannot accept: [Errno 24] Too many open files" in caplog.text


def test_a_turn_is_taken_though_no_front_is_left_to_tell(rig: Rig) -> None:
    os.close(rig.told)
    rig.listeners[1].waiting = [901]
    rig.turn()
    assert len(rig.loop.accepted) == 1
    rig.told = os.open(os.devnull, os.O_RDONLY)


def test_another_worker_may_be_faster(rig: Rig) -> None:
    rig.event()
    assert rig.loop.calls == []


def test_the_end_of_the_inbox_takes_it_out_of_the_loop(rig: Rig) -> None:
    if rig.threads:
        rig.inbox.end()
    else:
        rig.inbox.writer.close()
    rig.event()
    assert rig.loop.calls == ["remove"]


def test_connections_dropped_for_want_of_a_descriptor_are_counted_and_said_now_and_then(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The message comes, and the kernel has closed what came with it."""
    made = Rig(threads=False)
    for _ in range(3):
        made.turn(ticket=0)
    assert made.counted == (3, 3)
    assert [record.getMessage().split(";")[0] for record in caplog.records] == [
        "dropped 1 connection so far: out of file descriptors"
    ]
    made.loop.now += SWEEP_SECONDS
    made.turn(ticket=0)
    assert "dropped 4 connections so far" in caplog.text
    made.close()


def test_an_end_of_its_own_ends_it_and_one_of_a_dead_process_does_not() -> None:
    rig = Rig(threads=False)
    rig.inbox.end_one(os.getpid() + 1)
    rig.event()
    assert rig.loop.calls == []
    rig.inbox.end_one(os.getpid())
    rig.event()
    assert rig.loop.calls == ["remove"]
    assert rig.counted == (0, 0)
    rig.close()
