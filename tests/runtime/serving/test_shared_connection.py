"""A connection that several threads may serve: one at a time, and no edge is lost. Each test says where the threads
are; none depends on how they are scheduled."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Callable, Iterator
from math import inf
from select import select
from typing import Any

import pytest
from harness.machine import PATIENCE
from harness.no_descriptor import no_descriptor
from harness.phase_rig import PEER, TIMEOUTS, Answering, Rig, row
from harness.task_rig import answering, at_end, read

from poolctl.errors import ClientGone
from poolctl.runtime.app import ConnectionApp
from poolctl.runtime.listen.door import Door
from poolctl.runtime.protocol.http.protocol import Http
from poolctl.runtime.protocol.raw import Raw
from poolctl.runtime.scoreboard import DONE, FAILED, REQUESTS, TAKEN
from poolctl.runtime.serving.connection_loop import ConnectionLoop
from poolctl.runtime.serving.kinds import connection_of
from poolctl.runtime.serving.phases import ANSWERING, CLOSED, IDLE, READING, SENDING
from poolctl.runtime.serving.service import Service
from poolctl.runtime.serving.shared_connection import Ceded, Greeted, Owned, SharedConnection
from poolctl.runtime.system import threads
from poolctl.runtime.system.poller import EDGE, HUP, IN, OUT, RDHUP

GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
LARGE = OK + bytes(1_000_000)


class SharedRig(Rig):
    """A loop that several threads run; the test is all of them but those that it starts."""

    def __init__(self, app: Any = None, protocol: Any = None) -> None:
        super().__init__()
        self.app: Any = app or Answering()
        if app is None:
            self.app.answer = answering(OK)
        self.loop = ConnectionLoop(
            self.lifeline,
            TIMEOUTS,
            10,
            connection_of(self.app, shared=True),
            shared=True,
            clock=self.clock,
            poller=self.poller,
        )
        protocol = protocol or Http()
        self.service = Service(self.app, protocol, row())
        self.door = Door(protocol)
        self.others: list[threading.Thread] = []

    def accept(self) -> Any:
        self.loop.accept(self.fd, PEER, self.service, self.door)
        self.connection = self.loop.handlers.get(self.fd)
        return self.connection

    def other(self, does: Callable[[], Any]) -> None:
        """Another thread does this to its end."""
        thread = threading.Thread(target=does)
        thread.start()
        thread.join(PATIENCE)
        assert not thread.is_alive()

    def edge(self, mask: int = IN) -> None:
        """The poller wakes one thread, and reports an edge once, whatever the mask."""
        self.connection.on_event(mask, self.service)

    def while_serving(self, does: Callable[[], Any], words: bytes = OK) -> None:
        """While a thread has the turn, inside the app, others do this. ``words``: the answer."""

        def answer(request: Any, out: Any) -> bool:
            self.app.answer = answering(OK)
            self.other(does)
            if words:
                out.send(words)
            return True

        self.app.answer = answer
        self.client.sendall(GET)
        self.edge()


@pytest.fixture
def rig() -> Iterator[SharedRig]:
    made = SharedRig()
    made.accept()
    yield made
    made.close()


def test_it_is_registered_for_edges(rig: SharedRig) -> None:
    assert isinstance(rig.connection, SharedConnection)
    assert rig.poller.masks[rig.fd] == IN | EDGE | RDHUP


def test_one_that_another_thread_has_closed_before_it_began_is_left_alone() -> None:
    """By an event of an earlier connection with its descriptor, whose number may belong to a third one by now."""
    rig = SharedRig()
    rig.loop._spares[rig.door] = spares = []
    connection = SharedConnection(rig.loop, rig.fd, rig.door.conversation(PEER), spares)
    rig.loop.handlers[rig.fd] = connection
    rig.loop.open += 1
    rig.app.answer = answering(OK, keep=False)
    rig.client.sendall(GET)
    rig.other(lambda: connection.on_event(IN, rig.service))
    assert connection.phase is CLOSED
    third, client = socket.socketpair()
    if third.fileno() != rig.fd:
        os.dup2(third.fileno(), rig.fd)
        third.close()
        third = socket.socket(fileno=rig.fd)
    with third, client:
        client.sendall(GET)
        connection.begin(rig.service)
        assert third.recv(1000, socket.MSG_DONTWAIT) == GET  # nobody has read it
        assert not spares
    rig.connection = connection
    rig.close()


def test_two_edges_two_requests(rig: SharedRig) -> None:
    for _ in range(2):
        rig.client.sendall(GET)
        rig.other(rig.edge)
        assert rig.read() == OK
    assert rig.phase is IDLE


def test_an_edge_that_comes_while_it_is_served_is_seen_by_who_has_the_turn(rig: SharedRig) -> None:
    served_by: list[int] = []

    def more() -> None:
        rig.client.sendall(GET)
        rig.edge()  # finds the turn taken, and returns at once
        served_by.append(rig.service.row[REQUESTS])

    rig.while_serving(more)
    assert served_by == [0]
    assert rig.read() == OK * 2
    assert rig.service.row[REQUESTS] == 2


def test_an_end_that_comes_while_it_is_served(rig: SharedRig) -> None:
    def ends() -> None:
        rig.client.shutdown(socket.SHUT_WR)
        rig.edge(IN | RDHUP)

    rig.while_serving(ends)
    assert rig.read() == OK
    assert rig.phase is CLOSED


def test_a_break_that_comes_while_it_is_served(rig: SharedRig) -> None:
    def leaves() -> None:
        rig.client.sendall(GET)
        rig.client.close()
        rig.edge(IN | HUP)

    rig.while_serving(leaves, b"")
    assert rig.phase is CLOSED
    assert rig.service.row[REQUESTS] == 1  # what else it has asked for is for nobody
    assert rig.service.row[DONE] == rig.service.row[TAKEN] == 1


def test_a_sweep_leaves_alone_what_another_thread_serves(rig: SharedRig) -> None:
    rig.while_serving(lambda: rig.connection.expire(inf, rig.service))
    assert rig.read() == OK
    assert rig.phase is IDLE
    rig.connection.expire(inf, rig.service)
    assert rig.phase is CLOSED


def test_an_edge_that_comes_in_a_sweep(rig: SharedRig) -> None:
    """The sweep has the turn; the request is served when it lets go."""

    class Reminding(type(TIMEOUTS)):  # type: ignore[misc]
        """Asked by the sweep how long it may take."""

        @property
        def idle(self) -> float:
            if rig.client.fileno() >= 0 and not sent:
                sent.append(True)
                rig.client.sendall(GET)
                rig.other(rig.edge)
            return 60.0

    sent: list[bool] = []
    rig.client.sendall(GET)
    rig.edge()
    assert rig.read() == OK
    rig.loop.timeouts = object.__new__(Reminding)
    rig.connection.expire(rig.clock.now, rig.service)
    assert rig.read() == OK


def test_a_drain_while_another_thread_serves(rig: SharedRig) -> None:
    """Whoever serves it ends it when its answer is out: no second event will come."""

    def drains() -> None:
        rig.loop.draining = True
        rig.connection.drain(rig.service)

    rig.while_serving(drains)
    assert rig.read() == OK
    assert rig.phase is CLOSED


def test_a_drain_ends_an_idle_connection(rig: SharedRig) -> None:
    rig.client.sendall(GET)
    rig.edge()
    rig.other(lambda: rig.connection.drain(rig.service))
    assert rig.phase is CLOSED  # the thread that drains looks at it itself


def test_a_drain_lets_a_request_come_whole(rig: SharedRig) -> None:
    rig.client.sendall(GET[:5])
    rig.edge()
    rig.connection.drain(rig.service)
    assert rig.phase is READING
    rig.client.sendall(GET[5:])
    rig.edge()
    assert rig.read() == OK
    assert rig.phase is CLOSED


def test_a_slow_reader_is_asked_for_again_after_its_turn(rig: SharedRig) -> None:
    """Where only edges are reported, nothing else says that it can be written."""
    rig.app.answer = answering(LARGE)
    rig.client.sendall(GET)
    rig.edge()
    data = b""
    asked = rig.poller.masks[rig.fd]
    while rig.phase is SENDING:
        assert asked == OUT | EDGE | RDHUP
        data += read(rig.client)
        rig.poller.masks[rig.fd] = 0  # an edge is reported once
        rig.edge(OUT)
        asked = rig.poller.masks[rig.fd]
    assert data + read(rig.client) == LARGE
    assert rig.phase is IDLE


@pytest.mark.parametrize("step", ["event", "expire", "drain"])
def test_what_raises_ends_it_alone_and_frees_the_turn(
    rig: SharedRig, step: str, caplog: pytest.LogCaptureFixture
) -> None:
    def wrong(*more: Any) -> Any:
        raise RuntimeError("broken")

    if step == "event":
        rig.connection.conversation.receive = wrong
        rig.client.sendall(GET)
        rig.edge()
    elif step == "expire":
        rig.loop.timeouts = None
        rig.connection.expire(inf, rig.service)
    else:
        rig.loop.wake = wrong
        rig.connection.drain(rig.service)
    assert rig.phase is CLOSED
    assert "failed" in caplog.text
    assert rig.service.row[FAILED] == 1
    assert rig.connection._turn.acquire(blocking=False)


def test_nothing_is_done_to_one_that_is_closed(rig: SharedRig) -> None:
    rig.connection.close(rig.service)
    rig.edge()
    rig.connection.expire(inf, rig.service)
    rig.connection.drain(rig.service)
    assert rig.service.row[DONE] == 1
    assert rig.service.row[FAILED] == 0


def test_many_threads_and_many_requests(rig: SharedRig) -> None:
    """However they are scheduled, each request is answered once, and in order."""
    count = iter(range(1, 10_000))
    rig.app.answer = lambda request, out: out.send(b"%d\n" % next(count)) or True
    rig.client.setblocking(True)
    rig.client.settimeout(PATIENCE)
    over = threading.Event()

    def serves() -> None:
        while not over.is_set():
            select([rig.fd], [], [], 0.01)
            rig.connection.on_event(IN, rig.service)

    others = [threading.Thread(target=serves) for _ in range(3)]
    for thread in others:
        thread.start()
    lines = b""
    for _ in range(20):
        rig.client.sendall(GET * 5)
        wanted = lines.count(b"\n") + 5
        while lines.count(b"\n") < wanted:
            lines += rig.client.recv(65536)
    over.set()
    for thread in others:
        thread.join(PATIENCE)
    assert lines == b"".join(b"%d\n" % number for number in range(1, 101))
    assert rig.phase is IDLE


# ---- connections that become their app's


class Talking(ConnectionApp):
    """Says hello, and all that it got, when it may."""

    protocol = "raw"

    def __init__(self, *, greets: bool) -> None:
        self.greets = greets
        self.may = threading.Event()
        self.over = threading.Event()

    def load(self, surroundings: Any) -> None: ...

    def serve(self, request: Any, out: Any) -> bool:
        return False

    def converse(self, sock: Any, received: bytes, idle: float, write: float, peer: Any) -> None:
        sock.sendall(b"hello " + received)
        self.may.wait(PATIENCE)
        try:
            sock.sendall(b"bye")
        except OSError as error:
            raise ClientGone("left") from error
        finally:
            self.over.set()


@pytest.fixture
def make() -> Iterator[Callable[[bool], SharedRig]]:
    made: list[SharedRig] = []

    def one(greets: bool) -> SharedRig:
        made.append(SharedRig(Talking(greets=greets), Raw()))
        return made[-1]

    yield one
    for rig in made:
        rig.app.may.set()
        for handler in list(rig.loop.handlers.values()):
            if isinstance(handler, Owned):
                assert select_readable(handler.fd)
                rig.loop.deliver(handler, IN, rig.service)
        rig.close()


def select_readable(fd: int) -> bool:
    """Whether that is so in time."""
    return bool(select([fd], [], [], PATIENCE)[0])


def owned(rig: SharedRig) -> Owned:
    """What stands for the conversation in the loop."""
    (found,) = (each for each in rig.loop.handlers.values() if isinstance(each, Owned))
    return found


def hears(rig: SharedRig, words: bytes) -> None:
    """The client gets this."""
    rig.client.settimeout(PATIENCE)
    data = b""
    while len(data) < len(words):
        data += rig.client.recv(65536)
    assert data == words
    rig.client.setblocking(False)


def test_silence_costs_no_thread(make: Callable[[bool], SharedRig]) -> None:
    rig = make(False)
    assert isinstance(rig.accept(), Ceded)
    before = threading.active_count()
    rig.sweep(1.0)
    assert threading.active_count() == before
    rig.client.sendall(b"you")
    rig.edge()
    assert rig.phase is CLOSED  # it is the app's
    hears(rig, b"hello you")
    talk = owned(rig)
    assert {talk.fd, talk.sock.fileno()} <= rig.loop.descriptors()
    assert rig.loop.open == 1
    rig.app.may.set()
    assert select_readable(talk.fd)
    rig.loop.deliver(talk, IN, rig.service)
    hears(rig, b"bye")
    assert at_end(rig.client)
    assert rig.loop.open == 0
    assert rig.service.row[DONE] == rig.service.row[TAKEN] == rig.service.row[REQUESTS] == 1


def test_one_that_says_nothing_is_closed(make: Callable[[bool], SharedRig]) -> None:
    rig = make(False)
    rig.accept()
    rig.client.shutdown(socket.SHUT_WR)
    rig.edge(IN | RDHUP)
    assert rig.phase is CLOSED
    assert at_end(rig.client)
    assert rig.loop.open == 0


def test_an_app_that_speaks_first(make: Callable[[bool], SharedRig]) -> None:
    rig = make(True)
    rig.connection = type("Closed", (), {"phase": CLOSED})()
    rig.loop.accept(rig.fd, PEER, rig.service, rig.door)
    hears(rig, b"hello ")
    assert isinstance(owned(rig), Owned)
    assert Greeted.__mro__[1] is Ceded


def test_a_conversation_outlasts_a_drain_but_not_its_end(make: Callable[[bool], SharedRig]) -> None:
    rig = make(False)
    rig.accept()
    rig.client.sendall(b"you")
    rig.edge()
    hears(rig, b"hello you")
    talk = owned(rig)
    talk.drain(rig.service)
    talk.expire(1e9, rig.service)
    talk.on_event(IN, rig.service)  # of another that had this number before
    assert rig.loop.handlers[talk.fd] is talk
    talk.expire(inf, rig.service)  # the last call
    talk.expire(inf, rig.service)
    rig.app.may.set()
    assert rig.app.over.wait(PATIENCE)  # its next word finds the client gone
    assert select_readable(talk.fd)
    rig.loop.deliver(talk, IN, rig.service)
    assert at_end(rig.client)
    assert rig.service.row[FAILED] == 0


def test_no_descriptor_for_a_conversation(make: Callable[[bool], SharedRig], caplog: pytest.LogCaptureFixture) -> None:
    rig = make(False)
    rig.accept()
    rig.client.sendall(b"you")
    with no_descriptor():
        rig.edge()
    assert rig.phase is CLOSED
    assert rig.loop.open == 0
    assert rig.service.row[DONE] == 1
    assert "closed a connection" in caplog.text


def test_no_thread_for_a_conversation(
    make: Callable[[bool], SharedRig], caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def none(*more: Any) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threads, "start", none)
    rig = make(False)
    rig.accept()
    rig.client.sendall(b"you")
    rig.edge()
    talk = owned(rig)
    assert select_readable(talk.fd)
    rig.loop.deliver(talk, IN, rig.service)
    assert rig.loop.open == 0
    assert "limit on processes" in caplog.text
    assert os.fstat(rig.client.fileno())
    assert rig.phase is not ANSWERING
