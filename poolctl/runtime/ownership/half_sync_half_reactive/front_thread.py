"""Lending between threads of one process: the held connection itself goes through the inbox.

A connection that is kept with nothing left to send is given back without waking the front: the worker clears the
ticket, then checks whether the connection is expected back. The front first notes that it expects it, then checks the
ticket; so one of the two sees the other's change. All others go back through a queue with a bell.
"""

from __future__ import annotations

import contextlib
import socket
from collections import deque
from collections.abc import Callable
from time import monotonic
from typing import BinaryIO

from poolctl.runtime.buffers.outbound import Outbound
from poolctl.runtime.channels.parcel import FLAG_TIMED
from poolctl.runtime.loop.source import Source
from poolctl.runtime.ownership.half_sync_half_reactive.front import LendingFront
from poolctl.runtime.ownership.half_sync_half_reactive.held_connection import HeldConnection
from poolctl.runtime.protocol import Protocol
from poolctl.runtime.routing.router import Router
from poolctl.runtime.routing.waiting import Waiting
from poolctl.runtime.system.channel import DONTWAIT, channel
from poolctl.runtime.system.poller import Poller
from poolctl.runtime.timeouts import Timeouts


class ThreadLendingFront(LendingFront):
    """The front in a thread beside its workers."""

    def __init__(
        self,
        lifeline: int,
        protocol: Protocol,
        router: Router,
        timeouts: Timeouts,
        limit: int,
        waiting: int,
        *,
        clock: Callable[[], float] = monotonic,
        poller: Poller | None = None,
    ) -> None:
        super().__init__(lifeline, protocol, router, timeouts, limit, waiting, clock=clock, poller=poller)
        self.sessions: deque[tuple[str, int]] = deque()  # (key, index of the inbox) of sessions that workers have begun
        self._ended: deque[tuple[int, float]] = deque()  # (connection, seconds) of tasks that threads have ended
        self._back: deque[tuple[int, bool, Outbound | None]] = deque()
        # Kept here too: a worker may ring after the front has taken everything back and dropped its handlers.
        self._bell, self._heard = channel()
        self._bell.setblocking(False)
        back = Back(self, self._heard, self._back)
        self.sources.add(back.fd)
        self.add(back)

    def descriptors(self) -> set[int]:
        """Also that of the bell."""
        return super().descriptors() | {self._bell.fileno()}

    def before_events(self) -> None:
        """Bind the sessions that workers have begun, before reading from clients."""
        if self._ended:
            self.settle()
            self.rooms.retry()
        while self.sessions:
            self.router.bind(*self.sessions.popleft())

    def settle(self) -> None:
        """Count the tasks that threads have ended."""
        ended, router = self._ended, self.router
        while ended:
            router.ended(*ended.popleft())

    def ticket_of(self, item: tuple[HeldConnection, int, int, float, bytes | BinaryIO]) -> int:
        return item[1]

    def discard(self, entry: Waiting) -> None:
        request = entry.item[4]
        if not isinstance(request, bytes):
            request.close()

    def _send(self, client: HeldConnection, ticket: int, flags: int, request: bytes | BinaryIO) -> None:
        asked = client.framer.asked
        if ticket & self.router.unnoted:
            item = client, ticket, flags, client.came, request
            self.router.route(client.peer, self.now, id(client), item, (), -1, asked, b"", client.fd)
            return
        self.settle()
        item = client, ticket, flags | FLAG_TIMED, client.came, request
        line = self.line_of(client, request)
        self.router.route(client.peer, self.now, id(client), item, (), -1, asked, line, client.fd, True)
        if self._ended and self.router.queue.count:  # a thread has ended one before it could see that this one waits
            self.settle()
            self.rooms.retry()

    def give_back(
        self, client: HeldConnection, ticket: int, keep: bool, rest: Outbound | None, seconds: float | None = None
    ) -> None:
        """Take a connection back; called by the worker thread that served it. ``seconds``: with FLAG_TIMED, for how
        long; 0: it was not served."""
        if seconds is not None:
            self._ended.append((id(client), seconds))
        if keep and rest is None:
            client.since = monotonic()
            client.ticket = 0  # from here on the connection belongs to the front, which checks the ticket
            if ticket not in self.expected_back:
                # First: the front counts what is lent after it has queued a task, so that one of both sees the other.
                self.lent.pop(ticket, None)
                if not self.router.queue.count:
                    return
                self.lent[ticket] = client
        self._back.append((ticket, keep, rest))
        with contextlib.suppress(BlockingIOError):  # it is rung already
            self._bell.send(b"x")


class Back(Source[None]):
    """The bell of the queue in which connections come back."""

    def __init__(
        self, front: ThreadLendingFront, heard: socket.socket, back: deque[tuple[int, bool, Outbound | None]]
    ) -> None:
        self.front = front
        self.heard = heard
        self.fd = heard.fileno()
        self.back = back

    def on_event(self, events: int, service: None) -> None:
        with contextlib.suppress(BlockingIOError):  # an earlier ring has brought what this one was for
            self.heard.recv(1, DONTWAIT)
        self.front.settle()
        while self.back:
            self.front.returned(*self.back.popleft())
