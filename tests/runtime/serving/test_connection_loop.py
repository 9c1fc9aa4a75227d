"""The loop that owns connections: how many it takes, what it does with newcomers, and what their end counts."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from harness.phase_rig import PEER, Answering, ServedRig
from harness.task_rig import answering, at_end, read

from poolctl.runtime.listen.door import Door
from poolctl.runtime.protocol.http.protocol import Http
from poolctl.runtime.scoreboard import DONE, FAILED, REQUESTS, TAKEN
from poolctl.runtime.serving.connection import Connection
from poolctl.runtime.serving.kinds import connection_of
from poolctl.runtime.serving.leaving import WAITED_SECONDS
from poolctl.runtime.serving.phases import CLOSED, IDLE, NEW, Phase
from poolctl.runtime.serving.shared_connection import SharedConnection

GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"


class LoopRig(ServedRig):
    """With any number of clients."""

    def __init__(self, protocol: Any = None) -> None:
        super().__init__(protocol or Http())
        self.near.close()  # each newcomer has a pair of its own
        self.app.answer = answering(OK)
        self.clients: list[socket.socket] = []

    def newcomer(self, data: bytes = b"", *, leaves: bool = False) -> tuple[socket.socket, Any]:
        """A client, and its connection if there is one. ``leaves``: it breaks off before it is looked at."""
        near, client = socket.socketpair()
        near.setblocking(False)
        client.setblocking(False)
        self.clients.append(client)
        client.sendall(data)
        if leaves:
            client.close()
        fd = near.detach()
        self.loop.accept(fd, PEER, self.service, self.door)
        return client, self.loop.handlers.get(fd)

    def counts(self) -> tuple[int, ...]:
        """(taken, done, requests, failed)."""
        return tuple(self.service.row[cell] for cell in (TAKEN, DONE, REQUESTS, FAILED))

    def close(self) -> None:
        for handler in list(self.loop.handlers.values()):
            if isinstance(handler, Connection):
                handler.close(self.service)
        for client in self.clients:
            client.close()
        super().close()

    @property
    def phase(self) -> Phase:
        return CLOSED  # all that were left are, when this is asked


@pytest.fixture
def make() -> Iterator[Callable[..., LoopRig]]:
    made: list[LoopRig] = []

    def one(*more: Any) -> LoopRig:
        made.append(LoopRig(*more))
        return made[-1]

    yield one
    for rig in made:
        rig.close()


@pytest.fixture
def rig(make: Callable[..., LoopRig]) -> LoopRig:
    return make()


def test_what_comes_with_a_newcomer_is_served_at_once(rig: LoopRig) -> None:
    client, connection = rig.newcomer(GET)
    assert read(client) == OK
    assert connection.phase is IDLE
    assert rig.poller.waits_for(connection.fd)
    assert rig.counts() == (1, 0, 1, 0)


def test_one_more_than_allowed(rig: LoopRig) -> None:
    rig.loop.limit = 1
    first, connection = rig.newcomer()
    second, _ = rig.newcomer(GET)
    assert read(second).startswith(b"HTTP/1.1 503")
    assert at_end(second)
    assert rig.loop.open == 1
    assert rig.counts() == (2, 1, 0, 0)
    connection.close(rig.service)
    assert rig.loop.open == 0
    third, _ = rig.newcomer(GET)
    assert read(third) == OK
    assert at_end(first)


def test_who_left_while_the_loop_was_busy_is_not_served(rig: LoopRig) -> None:
    rig.newcomer(GET, leaves=True)
    assert rig.counts() == (1, 1, 1, 0)  # no look: the loop was not away
    rig.loop.before, rig.loop.now = rig.loop.now, rig.loop.now + 10 * WAITED_SECONDS
    rig.newcomer(GET, leaves=True)
    assert rig.counts() == (2, 2, 1, 0)
    client, _ = rig.newcomer(GET)
    assert read(client) == OK
    rig.loop.before = rig.loop.now = rig.loop.now + 5 * WAITED_SECONDS  # for as long again as it was away
    rig.newcomer(GET, leaves=True)
    assert rig.counts() == (4, 3, 2, 0)
    rig.loop.before = rig.loop.now = rig.loop.now + 10 * WAITED_SECONDS
    rig.newcomer(GET, leaves=True)
    assert rig.counts() == (5, 4, 3, 0)


def test_a_newcomer_in_a_drain(rig: LoopRig) -> None:
    """It has a moment for its first bytes; its answer says that it is the last."""
    rig.loop.draining = True
    client, _ = rig.newcomer(GET)
    silent, connection = rig.newcomer()
    assert read(client) == OK
    assert at_end(client)
    assert connection.phase is NEW
    assert connection.leaving
    rig.clock.now += 1.1
    rig.loop._sweep(rig.clock.now, rig.service)
    assert at_end(silent)
    assert rig.counts() == (2, 2, 1, 0)


def test_a_connection_that_cannot_be_made(make: Callable[..., LoopRig], caplog: pytest.LogCaptureFixture) -> None:
    class Broken(Http):
        def conversation(self, peer: Any) -> Any:
            raise MemoryError("no room")

    rig = make(Broken())
    client, connection = rig.newcomer()
    assert connection is None
    assert at_end(client)
    assert rig.loop.open == 0
    assert rig.counts() == (1, 1, 0, 1)
    assert "no room" in caplog.text


def test_a_newcomer_that_raises_while_it_is_served(rig: LoopRig, caplog: pytest.LogCaptureFixture) -> None:
    def wrong(data: bytes) -> None:
        raise RuntimeError("broken")

    def made(peer: Any) -> Any:
        conversation: Any = Http().conversation(peer)
        conversation.receive = wrong
        return conversation

    rig.door.conversation = made
    client, _ = rig.newcomer(GET)
    assert read(client).startswith(b"HTTP/1.1 500")
    assert at_end(client)
    assert rig.loop.open == 0
    assert rig.counts() == (1, 1, 0, 1)
    assert "broken" in caplog.text


class Picky(Door):
    """Lets nobody in; a door may raise too."""

    error: Exception | None = None

    def enter(self, loop: Any, fd: int, peer: Any, service: Any) -> None:
        if self.error is not None:
            raise self.error
        loop.drop(fd, service, b"not you")


def test_who_ends_in_the_door_is_counted_once(rig: LoopRig) -> None:
    rig.door = door = Picky(Http())
    client, _ = rig.newcomer(GET)
    assert read(client) == b"not you"
    door.error = RuntimeError("broken door")
    other, _ = rig.newcomer()
    assert at_end(other)
    assert rig.loop.open == 0
    assert rig.counts() == (2, 2, 0, 1)


# ---- which connection


@pytest.mark.parametrize(("shared", "kind"), [(False, Connection), (True, SharedConnection)])
def test_several_threads_need_another_connection(shared: bool, kind: type) -> None:
    app: Any = Answering()
    new: Any = connection_of(app, shared=shared)
    nobody = {"now": 0.0, "draining": False, "noticing": False, "spares_of": lambda self, door: None}
    loop: Any = type("Loop", (), nobody)()
    assert type(new(loop, 0, PEER, None, Door(Http()))) is kind
