"""A front that lends, in a loop with a fake poller and clock, and any number of clients; a test is its workers.

rig.client() --- a pair of sockets --- a held connection --- the front --- what it sends, and how it comes back
"""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

from harness.fake_poller import Events, FakeClock, FakePoller
from harness.phase_rig import PEER, TIMEOUTS, NotedFront, row
from poolctl.runtime.affinity import Affinity
from poolctl.runtime.affinity.request import Request
from poolctl.runtime.channels.inbox import Inbox, ThreadInbox
from poolctl.runtime.dispatch import Dispatch
from poolctl.runtime.dispatch.shared_queue import SharedQueue
from poolctl.runtime.listen.door import Door
from poolctl.runtime.loop.farewells import Lingering
from poolctl.runtime.ownership.half_sync_half_reactive.front import LendingFront
from poolctl.runtime.ownership.half_sync_half_reactive.front_thread import ThreadLendingFront
from poolctl.runtime.ownership.half_sync_half_reactive.held_connection import HeldConnection
from poolctl.runtime.protocol import Protocol
from poolctl.runtime.protocol.http.protocol import Http
from poolctl.runtime.routing.router import Router
from poolctl.runtime.serving.phases import CLOSED, Phase
from poolctl.runtime.system.poller import ERR, HUP, IN, OUT
from poolctl.runtime.timeouts import Timeouts


class Client:
    """One client of a front."""

    def __init__(self, rig: FrontRig) -> None:
        self.rig = rig
        near, self.sock = socket.socketpair()
        for sock in (near, self.sock):
            sock.setblocking(False)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
        self.fd = near.detach()
        self.connection: Any = None

    @property
    def phase(self) -> Phase:
        phase: Phase = self.connection.phase
        return phase

    @property
    def ticket(self) -> int:
        ticket: int = self.connection.ticket
        return ticket

    def send(self, data: bytes, *, told: bool = True) -> None:
        """``told``: the front hears of it."""
        self.sock.sendall(data)
        if told:
            self.event(IN)

    def end(self) -> None:
        """It sends no more."""
        self.sock.shutdown(socket.SHUT_WR)
        self.event(IN)

    def leave(self) -> None:
        """It breaks off."""
        self.sock.close()
        self.event(HUP)

    def event(self, mask: int) -> None:
        """The poller reports this, if it would."""
        front = self.rig.front
        handler = front.handlers.get(self.fd)
        if handler is not None and (self.rig.poller.waits_for(self.fd) & mask or mask & (ERR | HUP)):
            front.deliver(handler, mask, None)

    def read(self) -> bytes:
        """All that can be read now, and what the front keeps for it too."""
        data = b""
        while True:
            before = len(data)
            with suppress(BlockingIOError, ConnectionResetError):
                while piece := self.sock.recv(65536):
                    data += piece
            if len(data) == before and not self.rig.poller.waits_for(self.fd) & OUT:
                return data
            self.event(OUT)

    @property
    def at_end(self) -> bool:
        """Whether it has read its end of file."""
        try:
            return self.sock.recv(1) == b""
        except BlockingIOError:
            return False
        except ConnectionResetError:
            return True


class FrontRig:
    """``kind``: of front. ``inboxes``: how many, each of one worker; ``slots``: tasks that each has at once; ``more``:
    arguments of that kind of front."""

    def __init__(
        self,
        kind: type[LendingFront] = NotedFront,
        *,
        inbox: Callable[[int, memoryview, Sequence[memoryview], Sequence[memoryview]], Inbox] = ThreadInbox,
        inboxes: int = 1,
        slots: int = 1,
        protocol: Protocol | None = None,
        dispatch: Dispatch | None = None,
        affinity: Affinity | None = None,
        timeouts: Timeouts = TIMEOUTS,
        limit: int = 10,
        waiting: int = 10,
        tasks: int = 10,
        **more: Any,
    ) -> None:
        self.clock = FakeClock()
        self.poller = FakePoller(self.clock)
        self.lifeline, self.mold = os.pipe()
        self.protocol = protocol or Http()
        self.workers = [row() for _ in range(inboxes)]
        self.inboxes: list[Any] = [
            inbox(number, row(), [worker], [worker] * slots) for number, worker in enumerate(self.workers)
        ]
        self.router = Router(dispatch or SharedQueue(), affinity or Request(), self.inboxes, tasks)
        self.front: Any = kind(
            self.lifeline,
            self.protocol,
            self.router,
            timeouts,
            limit,
            waiting,
            clock=self.clock,
            poller=self.poller,
            **more,
        )
        self.front.sent = []
        self.door = Door(self.protocol)
        self.clients: list[Client] = []

    def client(self, data: bytes = b"") -> Client:
        """The front takes a client, which has sent this already."""
        made = Client(self)
        self.clients.append(made)
        if data:
            made.sock.sendall(data)
        self.front.accept(made.fd, PEER, None, self.door)
        held = self.front.handlers.get(made.fd)
        lent = (each for each in self.front.lent.values() if each.fd == made.fd)
        made.connection = held if isinstance(held, HeldConnection) else next(lent, None)
        return made

    def ends(self) -> Events:
        """The event of the end of the lifeline."""
        return [(self.lifeline, HUP)]

    def run(self, *script: Events | Callable[[], Any]) -> None:
        """Until the front has finished; fails if it would go on. Of a function only what it does counts."""
        for step in script:
            self.poller.script.append(without_event(step) if callable(step) else step)
        self.front.run(None)
        assert not self.poller.script

    def sweep(self, seconds: float) -> None:
        """Time passes, and the front looks at its deadlines."""
        self.clock.now += seconds
        self.front.now = self.clock.now
        self.front._sweep(self.clock.now, None)

    def close(self) -> None:
        """Whatever state it is in."""
        for client in self.clients:
            if client.connection is not None and client.phase is not CLOSED:
                client.connection.close()
            client.sock.close()
        for handler in list(self.front.handlers.values()):
            if isinstance(handler, Lingering):
                handler.close()
        if isinstance(self.front, ThreadLendingFront):
            self.front._bell.close()
            self.front._heard.close()
        self.front._finish()
        self.front.close()
        for fd in (self.lifeline, self.mold):
            os.close(fd)


def without_event(does: Callable[[], Any]) -> Callable[[], Events]:
    """A wait in which something happens elsewhere, and without an event."""

    def step() -> Events:
        does()
        return []

    return step
