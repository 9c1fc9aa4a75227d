"""A loop that accepts clients: how many, how they are counted, and what happens to one that fails in its door."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Iterator

import pytest
from harness.fake_poller import FakeClock, FakePoller
from harness.loop_rig import FakeService

from poolctl.runtime.listen.door import AcceptingLoop, Door
from poolctl.runtime.loop.source import Source
from poolctl.runtime.protocol.http.protocol import Http
from poolctl.runtime.scoreboard import DONE, FAILED, TAKEN
from poolctl.runtime.system.poller import HUP, IN
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
        self.fails: BaseException | None = None  # what a signal handler raises after the events of a turn

    def after_events(self, service: FakeService | None) -> None:
        if self._newcomers and self.fails is not None:
            error, self.fails = self.fails, None
            raise error
        super().after_events(service)

    def serve(self, fd: int, peer: Peer, service: FakeService | None, door: Door) -> None:
        self.does()
        self.served.append(fd)


class Event(Source[FakeService | None]):
    """Something that happens in a turn of the loop."""

    def __init__(self, loop: Serving, does: Callable[[], object]) -> None:
        self.loop = loop
        self.does = does
        self.fd = os.eventfd(0)
        self.events: list[tuple[int, int]] = [(self.fd, IN)]
        loop.listen(self)

    def on_event(self, events: int, service: FakeService | None) -> None:
        self.does()

    def look(self, service: FakeService | None) -> bool:
        return False


class Rig:
    def __init__(self) -> None:
        self.lifeline, self._mold = os.pipe()
        self.loop = Serving(self.lifeline, 2)
        self.poller: FakePoller = self.loop.poller  # type: ignore[assignment]
        self.service = FakeService()
        self.door = Door(Http())
        self.clients: list[socket.socket] = []

    def connect(self, service: FakeService | None) -> socket.socket:
        near, far = socket.socketpair()
        self.clients.append(far)
        self.loop.accept(near.detach(), PEER, service, self.door)
        return far

    def run(self, *turns: list[tuple[int, int]]) -> None:
        """So many turns with these events, then the drain, until the loop has finished."""
        self.poller.script.extend([*turns, [(self.lifeline, HUP)], [], [], []])
        self.loop.run(self.service)

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


def test_clients_are_served_once_all_events_of_the_turn_were_handled(rig: Rig) -> None:
    """Their requests arrive meanwhile. What another event of this turn sees is that they are open, and not lost."""
    seen: list[tuple[int, set[int]]] = []
    first = Event(rig.loop, lambda: [rig.connect(rig.service), rig.connect(rig.service)])
    second = Event(rig.loop, lambda: seen.append((len(rig.loop.served), rig.loop.descriptors())))
    rig.run(first.events + second.events)
    assert seen[0][0] == 0
    assert len(rig.loop.served) == 2
    assert seen[0][1] > set(rig.loop.served)


def test_a_client_is_served_though_the_turn_that_brought_it_failed(rig: Rig) -> None:
    event = Event(rig.loop, lambda: rig.connect(rig.service))
    rig.loop.fails = KeyboardInterrupt()
    rig.run(event.events)
    assert rig.loop.fails is None
    assert len(rig.loop.served) == 1


def test_the_last_clients_in_the_queue_are_served_before_the_loop_finishes(rig: Rig) -> None:
    event = Event(rig.loop, lambda: None)
    queue = [rig.service, rig.service]
    event.look = lambda service: bool(queue and rig.connect(queue.pop()))  # type: ignore[method-assign]
    rig.run()
    assert len(rig.loop.served) == 2


def test_a_shared_loop_serves_a_client_at_once(rig: Rig) -> None:
    """Its threads take one event each."""
    rig.loop.shared = True
    seen = []
    event = Event(rig.loop, lambda: seen.append(rig.connect(rig.service) and len(rig.loop.served)))
    rig.run(event.events)
    assert seen == [1]
