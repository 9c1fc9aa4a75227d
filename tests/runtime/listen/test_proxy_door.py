"""The header of a proxy, read in a loop: in one piece or in many, wrong, late or not at all."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from math import inf
from typing import Any

import pytest
from harness.fake_poller import FakeClock, FakePoller

from poolctl.runtime.listen.door import Door
from poolctl.runtime.listen.proxy_door import Announcement, ProxyDoor
from poolctl.runtime.loop.draining import NEWCOMER_SECONDS
from poolctl.runtime.loop.loop import Loop
from poolctl.runtime.protocol.http.protocol import Http
from poolctl.runtime.system.poller import IN
from poolctl.runtime.system.trust import Trust
from poolctl.runtime.task import Peer
from poolctl.runtime.timeouts import Timeouts

PROXY = Peer("127.0.0.1", "4711", "127.0.0.1", "80")
CLIENT = Peer("192.0.2.7", "5000", "198.51.100.1", "443")
HEADER = b"PROXY TCP4 192.0.2.7 198.51.100.1 5000 443\r\n"
HEAD = 10.0


class Rig(Loop[None]):
    """A loop behind a door; ``served`` are the peers that came through, with what their socket still has."""

    timeouts = Timeouts(head=HEAD)
    far: socket.socket

    def __init__(self, trusted: str = "127.0.0.0/8", *, shared: bool = False) -> None:
        self.clock = FakeClock()
        self.fake = FakePoller(self.clock)
        life, self._mold = socket.socketpair()
        super().__init__(life.detach(), clock=self.clock, poller=self.fake, shared=shared)
        self.door = ProxyDoor(Door(Http()), Trust([trusted]))
        self.served: list[tuple[Peer, bytes]] = []
        self.dropped: list[bytes] = []

    def connect(self, data: bytes = b"") -> None:
        """A client connects, with these bytes."""
        near, self.far = socket.socketpair()
        self.far.sendall(data)
        self.near = near.detach()
        self.door.enter(self, self.near, PROXY, None)

    @property
    def announced(self) -> Announcement[None] | None:
        found = self.handlers.get(self.near)
        return found if isinstance(found, Announcement) else None

    def send(self, data: bytes) -> None:
        self.far.sendall(data)
        self.event()

    def event(self) -> None:
        self.fake.report(self.near, IN)
        self.handlers[self.near].on_event(IN, None)

    def serve(self, fd: int, peer: Peer, service: None, door: Door) -> None:
        with socket.socket(fileno=fd) as sock:
            sock.setblocking(False)
            try:
                self.served.append((peer, sock.recv(100)))
            except BlockingIOError:
                self.served.append((peer, b""))

    def drop(self, fd: int, service: None, words: bytes = b"") -> None:
        self.dropped.append(words)
        super().drop(fd, service, words)

    def end(self) -> None:
        for handler in list(self.handlers.values()):
            handler.abort(None)
        (lifeline,) = self.handlers
        socket.socket(fileno=lifeline).close()
        self._mold.close()
        if hasattr(self, "far"):
            self.far.close()
        self._finish()
        self.close()


MakeRig = Callable[..., Rig]


@pytest.fixture
def rig() -> Iterator[MakeRig]:
    made: list[Rig] = []

    def make(*args: Any, **options: Any) -> Rig:
        made.append(Rig(*args, **options))
        return made[-1]

    yield make
    for each in made:
        each.end()


def test_a_header_that_comes_with_the_connection_costs_no_wait(rig: MakeRig) -> None:
    made = rig()
    made.connect(HEADER + b"GET /")
    assert made.served == [(CLIENT, b"GET /")]
    assert made.near not in made.fake.masks


@pytest.mark.parametrize("shared", [False, True])
def test_a_header_may_come_in_pieces(rig: MakeRig, shared: bool) -> None:
    made = rig(shared=shared)
    made.connect(HEADER[:5])
    for byte in HEADER[5:-1]:
        made.send(bytes([byte]))
        assert made.announced is not None
        made.rearm(made.announced)
    made.send(HEADER[-1:] + b"GET /")
    assert made.served == [(CLIENT, b"GET /")]
    assert made.dropped == []


def test_an_event_without_bytes_changes_nothing(rig: MakeRig) -> None:
    made = rig()
    made.connect()
    made.event()
    made.send(HEADER)
    assert made.served == [(CLIENT, b"")]


def test_a_proxy_that_names_no_client_is_the_client_itself(rig: MakeRig) -> None:
    made = rig()
    made.connect(b"PROXY UNKNOWN\r\n")
    assert made.served == [(PROXY, b"")]


def test_of_a_client_that_is_not_trusted_nothing_is_read(rig: MakeRig) -> None:
    made = rig("10.0.0.0/8")
    made.connect(HEADER)
    assert made.served == [(PROXY, HEADER)]


@pytest.mark.parametrize(
    ("wrong", "reason"),
    [
        (b"GET / HTTP/1.1\r\n", "the connection begins with something else"),
        (b"PROXY TCP4 nonsense\r\n", "malformed line"),
    ],
)
def test_a_wrong_header_ends_the_connection(
    rig: MakeRig, wrong: bytes, reason: str, caplog: pytest.LogCaptureFixture
) -> None:
    made = rig()
    made.connect(wrong)
    assert made.dropped == [b""]
    assert f"no PROXY header from 127.0.0.1: {reason}" in caplog.text


def test_a_proxy_that_closes_is_dropped(rig: MakeRig, caplog: pytest.LogCaptureFixture) -> None:
    made = rig()
    made.connect(HEADER[:5])
    made.far.close()
    made.event()
    assert made.dropped == [b""]
    assert "the connection ended" in caplog.text


def test_silence_has_the_time_of_a_head(rig: MakeRig) -> None:
    made = rig()
    made.connect(HEADER[:5])
    announced = made.announced
    assert announced is not None
    announced.expire(made.clock.now + HEAD, None)
    assert made.dropped == []
    announced.expire(made.clock.now + HEAD + 0.1, None)
    assert made.dropped == [b""]
    announced.expire(inf, None)
    announced.on_event(IN, None)
    announced.abort(None)
    assert made.dropped == [b""]


@pytest.mark.parametrize("drains_first", [False, True])
def test_a_drain_waits_only_briefly(rig: MakeRig, drains_first: bool) -> None:
    made = rig()
    if drains_first:
        made.draining = True
    made.connect()
    announced = made.announced
    assert announced is not None
    if not drains_first:
        announced.drain(None)
    announced.expire(made.clock.now + NEWCOMER_SECONDS, None)
    assert made.dropped == []
    announced.expire(made.clock.now + NEWCOMER_SECONDS + 0.1, None)
    assert made.dropped == [b""]


def test_while_another_thread_reads_it_nothing_expires(rig: MakeRig) -> None:
    made = rig(shared=True)
    made.connect()
    announced = made.announced
    assert announced is not None
    with announced._turn:
        announced.expire(inf, None)
    assert made.dropped == []
    announced.expire(inf, None)
    assert made.dropped == [b""]


def test_what_raises_ends_the_connection_once(rig: MakeRig) -> None:
    made = rig()
    made.connect()
    announced = made.announced
    assert announced is not None
    made.fail(announced, None, ValueError("on purpose"))
    announced.abort(None)
    assert made.dropped == [b""]


def test_what_the_next_door_raises_ends_the_newcomer(
    rig: MakeRig, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    made = rig()

    def fail(*args: object) -> None:
        raise ValueError("on purpose")

    monkeypatch.setattr(made, "serve", fail)
    made.connect(HEADER)
    assert made.dropped == [b""]
    assert "on purpose" in caplog.text


def test_past_the_limit_the_words_are_those_of_the_next_door(rig: MakeRig) -> None:
    assert rig().door.busy(PROXY).startswith(b"HTTP/1.1 503")
