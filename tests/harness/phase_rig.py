"""A connection in a loop with a fake poller and clock, between a test that is its client and one that is its app.

    rig.client --- a pair of sockets --- the connection --- rig.answer(request, out)

What its phases are is noted from the first on. A step that the table does not have raises where it is taken; because
the error boundaries catch and log that, it is noted too, and ``noted`` fails at its end.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

from harness.fake_poller import FakeClock, FakePoller
from poolctl.runtime.affinity.request import Request
from poolctl.runtime.buffers.outbound import Outbound
from poolctl.runtime.channels.inbox import ThreadInbox
from poolctl.runtime.dispatch.shared_queue import SharedQueue
from poolctl.runtime.listen.door import Door
from poolctl.runtime.loop.farewells import Lingering
from poolctl.runtime.ownership.half_sync_half_reactive.front import LendingFront
from poolctl.runtime.ownership.half_sync_half_reactive.held_connection import HeldConnection
from poolctl.runtime.protocol import Protocol
from poolctl.runtime.routing.router import Router
from poolctl.runtime.scoreboard import ROW
from poolctl.runtime.serving.client_connection import ClientConnection
from poolctl.runtime.serving.connection import Connection
from poolctl.runtime.serving.connection_loop import ConnectionLoop
from poolctl.runtime.serving.kinds import connection_of
from poolctl.runtime.serving.phases import Checked, Phase
from poolctl.runtime.serving.service import Service
from poolctl.runtime.system.poller import ERR, HUP, IN, OUT
from poolctl.runtime.task import Peer
from poolctl.runtime.timeouts import Timeouts

PEER = Peer("192.0.2.1", "40000", "192.0.2.2", "8000")
TIMEOUTS = Timeouts(head=10, idle=60, write=30, drain=20, body=20, body_rate=500)
Step = tuple[Phase, Phase]


class Noting(Checked):
    """Checks each step, and notes it; illegal ones among the ``violations``."""

    def __init__(self, slot: Any) -> None:
        super().__init__(slot)
        self.steps: list[Step] = []
        self.violations: list[str] = []

    def __set__(self, connection: Any, phase: Phase) -> None:
        before = getattr(connection, "phase", None)
        try:
            super().__set__(connection, phase)
        except AssertionError as error:
            self.violations.append(str(error))
            raise
        if before is not None and before is not phase:
            self.steps.append((before, phase))


@contextmanager
def noted() -> Iterator[list[Step]]:
    """The steps of all connections, as they are taken. Fails at the end if one of them was illegal."""
    kept = vars(ClientConnection)["phase"]
    noting = Noting(kept._slot if isinstance(kept, Checked) else kept)
    name = "phase"
    setattr(ClientConnection, name, noting)
    try:
        yield noting.steps
    finally:
        setattr(ClientConnection, name, kept)
    assert not noting.violations, noting.violations


def row() -> memoryview:
    """Of a scoreboard."""
    return memoryview(bytearray(ROW * 8)).cast("q")


class Rig:
    """What both kinds of connection have in common: their client, the clock and the poller."""

    loop: Any
    connection: Any

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.poller = FakePoller(self.clock)
        self.lifeline, self.mold = os.pipe()
        self.near, self.client = socket.socketpair()
        for sock in (self.near, self.client):
            sock.setblocking(False)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
        self.fd = self.near.fileno()
        self.service: Any = None

    @property
    def phase(self) -> Phase:
        """Where the connection stands."""
        phase: Phase = self.connection.phase
        return phase

    def send(self, data: bytes) -> None:
        """The client sends, and the loop hears of it."""
        self.client.sendall(data)
        self.event(IN)

    def end(self) -> None:
        """The client sends no more."""
        self.client.shutdown(socket.SHUT_WR)
        self.event(IN)

    def event(self, mask: int) -> None:
        """The poller reports this, if it would."""
        if self.poller.waits_for(self.fd) & mask or mask & (ERR | HUP):
            self.loop.deliver(self.connection, mask, self.service)

    def read(self) -> bytes:
        """All that the client can read now."""
        data = b""
        with suppress(BlockingIOError):
            while piece := self.client.recv(65536):
                data += piece
        return data

    def take(self) -> bytes:
        """What the client reads until nothing more comes."""
        data = self.read()
        while self.phase is not Phase.CLOSED and self.poller.waits_for(self.fd) & OUT:
            self.event(OUT)
            piece = self.read()
            if not piece:
                break
            data += piece
        return data

    def fill(self) -> None:
        """Nothing more goes out to the client until it reads."""
        with suppress(BlockingIOError):
            while self.near.send(bytes(65536)):
                pass

    def sweep(self, seconds: float) -> None:
        """Time passes, and the loop looks at its deadlines."""
        self.clock.now += seconds
        self.loop.now = self.clock.now
        self.connection.expire(self.clock.now, self.service)

    def close(self) -> None:
        """Whatever state it is in."""
        if self.phase is not Phase.CLOSED:
            self.connection.close(self.service)
        self.near.detach()
        for handler in list(self.loop.handlers.values()):
            if isinstance(handler, Lingering):
                handler.close()
        self.client.close()
        self.loop._finish()
        self.loop.close()
        for fd in (self.lifeline, self.mold):
            os.close(fd)


class Answering:
    """An app whose answers a test gives."""

    owns_connection = False
    asynchronous = False

    def __init__(self) -> None:
        self.answer: Callable[[Any, Any], bool] = lambda request, out: True

    def serving(self) -> Any:
        return self.serve

    def serve(self, request: Any, out: Any) -> bool:
        return self.answer(request, out)


class ServedRig(Rig):
    """A connection that the worker owns."""

    def __init__(self, protocol: Protocol) -> None:
        super().__init__()
        self.app: Any = Answering()
        self.loop = ConnectionLoop(
            self.lifeline,
            TIMEOUTS,
            10,
            connection_of(self.app, shared=False),
            clock=self.clock,
            poller=self.poller,
        )
        self.service = Service(self.app, protocol, row())
        self.door = Door(protocol)

    def accept(self) -> Connection:
        """The loop takes the client."""
        self.loop.accept(self.fd, PEER, self.service, self.door)
        self.connection = self.loop.handlers.get(self.fd)
        assert isinstance(self.connection, Connection)
        return self.connection


class NotedFront(LendingFront):
    """A front that notes what it lends."""

    sent: list[Any]

    def ticket_of(self, item: Any) -> int:
        raise AssertionError("nothing waits here")

    def discard(self, entry: Any) -> None:
        raise AssertionError("nothing waits here")

    def _send(self, client: HeldConnection, ticket: int, flags: int, request: Any) -> None:
        self.sent.append((ticket, flags, request))


class HeldRig(Rig):
    """A connection that a front holds."""

    def __init__(self, protocol: Protocol) -> None:
        super().__init__()
        workers = row()
        router = Router(SharedQueue(), Request(), [ThreadInbox(0, workers, [workers])], 10)
        self.loop = self.front = NotedFront(
            self.lifeline, protocol, router, TIMEOUTS, 10, 10, clock=self.clock, poller=self.poller
        )
        self.front.sent = []
        self.door = Door(protocol)

    def accept(self) -> HeldConnection:
        """The front takes the client."""
        self.front.accept(self.fd, PEER, None, self.door)
        self.connection = self.front.handlers.get(self.fd)
        assert isinstance(self.connection, HeldConnection)
        return self.connection

    @property
    def ticket(self) -> int:
        """Of the request that was lent last."""
        ticket: int = self.front.sent[-1][0]
        return ticket

    def give_back(self, *, keep: bool = True, left: bytes = b"") -> None:
        """The worker gives the connection back; ``left``: bytes that its client has not taken."""
        outbound = None
        if left:
            outbound = Outbound()
            outbound.add(left)
        self.front.returned(self.ticket, keep, outbound)
