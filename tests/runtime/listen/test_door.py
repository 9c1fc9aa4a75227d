"""A loop that accepts clients: how many, how they are counted, and what happens to one that fails in its door."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Iterator

import pytest
from harness.fake_poller import FakeClock, FakePoller
from harness.loop_rig import FakeService

from poolctl.runtime.listen.door import AcceptingLoop, Door
from poolctl.runtime.protocol.http.protocol import Http
from poolctl.runtime.scoreboard import DONE, FAILED, TAKEN
from poolctl.runtime.task import Peer
from poolctl.runtime.timeouts import Timeouts

PEER = Peer("127.0.0.1", "4711", "127.0.0.1", "80")


class Serving(AcceptingLoop[FakeService | None]):
    """It keeps the clients that came through their door."""

    def __init__(self, lifeline: int, limit: int) -> None:
        clock = FakeClock()
        super().__init__(lifeline, Timeouts(), limit, clock=clock, poller=FakePoller(clock))
        self.served: list[int] = []
        self.does: Callable[[], None] = lambda: None

    def serve(self, fd: int, peer: Peer, service: FakeService | None, door: Door) -> None:
        self.does()
        self.served.append(fd)


class Rig:
    def __init__(self) -> None:
        self.lifeline, self._mold = os.pipe()
        self.loop = Serving(self.lifeline, 2)
        self.service = FakeService()
        self.door = Door(Http())
        self.clients: list[socket.socket] = []

    def connect(self, service: FakeService | None) -> socket.socket:
        near, far = socket.socketpair()
        self.clients.append(far)
        self.loop.accept(near.detach(), PEER, service, self.door)
        return far

    @property
    def counted(self) -> tuple[int, int, int]:
        row = self.service.row
        return row[TAKEN], row[DONE], row[FAILED]

    def close(self) -> None:
        for handler in list(self.loop.handlers.values()):
            handler.expire(float("inf"), None)
        self.loop._finish()
        self.loop.close()
        for fd in (*self.loop.served, self.lifeline, self._mold):
            os.close(fd)
        for client in self.clients:
            client.close()


@pytest.fixture
def rig() -> Iterator[Rig]:
    made = Rig()
    yield made
    made.close()


def test_a_client_is_a_task_of_the_service(rig: Rig) -> None:
    rig.connect(rig.service)
    assert len(rig.loop.served) == rig.loop.open == 1
    assert rig.counted == (1, 0, 0)


def test_a_front_counts_no_task(rig: Rig) -> None:
    for _ in range(3):
        rig.connect(None)
    assert rig.loop.open == 2


def test_past_the_limit_clients_are_turned_away(rig: Rig) -> None:
    clients = [rig.connect(rig.service) for _ in range(3)]
    assert clients[2].recv(100).startswith(b"HTTP/1.1 503")
    assert rig.loop.open == 2
    assert rig.counted == (3, 1, 0)


@pytest.mark.parametrize("error", [ValueError("on purpose"), SystemExit()], ids=lambda error: type(error).__name__)
def test_a_client_whose_door_raises_is_closed_and_makes_room(rig: Rig, error: BaseException) -> None:
    def fail() -> None:
        raise error

    rig.loop.does = fail
    assert rig.connect(rig.service).recv(100) == b""
    assert rig.loop.open == 0
    assert rig.counted == (1, 1, 1)


def test_a_client_that_ends_in_its_door_makes_room(rig: Rig) -> None:
    far = rig.connect(rig.service)
    rig.loop.drop(rig.loop.served.pop(), rig.service, b"wrong")
    assert far.recv(100) == b"wrong"
    assert rig.loop.open == 0
    assert rig.counted == (1, 1, 0)
