"""Doors, which the clients of one address pass before they are served, and the loop that sends clients through them.

    listener, inbox --> loop.accept --> Door.enter --> [PROXY header] --> [TLS] --> loop.serve --> the connection
                          +--> 503, when there          +--> loop.drop, where it ends
                               are ``limit`` already

A plain door has nothing in front of it. The others do their part, never blocking anybody else, then give the connection
to the next; each is one file, and a topology without its key imports none of it.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from time import monotonic
from typing import Protocol

from poolctl.runtime.loop.loop import Loop
from poolctl.runtime.loop.source import AnyHandler, Handler, S
from poolctl.runtime.protocol import Conversation, Framer
from poolctl.runtime.protocol import Protocol as Spoken
from poolctl.runtime.scoreboard import DONE, TAKEN
from poolctl.runtime.system.poller import Poller
from poolctl.runtime.task import Peer
from poolctl.runtime.timeouts import Timeouts


class ServingLoop(Protocol[S]):
    """A loop that serves connections when they have come through their door, as far as doors need it."""

    now: float
    draining: bool
    shared: bool
    once: int
    handlers: dict[int, Handler[S]]
    poller: Poller
    timeouts: Timeouts

    def add(self, handler: Handler[S]) -> None:
        """From now on this handler gets the events of its descriptor."""

    def remove(self, handler: AnyHandler) -> bool:
        """No more events for this handler; False when another thread was first."""

    def deliver(self, handler: Handler[S], event: int, service: S) -> None:
        """Give a handler an event that did not come from the poller."""

    def serve(self, fd: int, peer: Peer, service: S, door: Door) -> None:
        """A new connection, which was counted at its accept."""

    def drop(self, fd: int, service: S, words: bytes = b"") -> None:
        """One that was counted, and ended in its door: close it, after these words."""

    def turn_away(self, fd: int, words: bytes) -> None:
        """Tell a client why it is not served, let it read that, close."""

    def fail_newcomer(self, fd: int, service: S, error: BaseException) -> None:
        """A new connection could not be served because something raised: end it."""


class Door:
    """The door of an address that has no other. ``protocol``: what is spoken behind it; ``number``: that of the
    address."""

    scheme = "http"

    def __init__(self, protocol: Spoken, number: int = 0) -> None:
        self.protocol = protocol
        self.number = number
        self.conversation: Callable[[Peer], Conversation] = protocol.conversation
        self.streaming: Callable[[Peer], Conversation] = protocol.streaming
        self.framer: Callable[[], Framer] = protocol.framer

    def busy(self, peer: Peer) -> bytes:
        """The bytes that a client past the limit on connections gets, before anything of it is read."""
        return self.protocol.farewell(503, peer)

    def enter(self, loop: ServingLoop[S], fd: int, peer: Peer, service: S) -> None:
        """A client has come: bring it to the loop, now or later."""
        loop.serve(fd, peer, service, self)


class AcceptingLoop(Loop[S]):
    """``limit``: how many clients at once; more are turned away with a 503. ``open``: how many there are. ``shared``,
    ``loops``, ``clock``, ``poller``: those of a loop. Where there is a service, a client is a task of its row."""

    def __init__(
        self,
        lifeline: int,
        timeouts: Timeouts,
        limit: int,
        *,
        shared: bool = False,
        loops: int = 1,
        clock: Callable[[], float] = monotonic,
        poller: Poller | None = None,
    ) -> None:
        super().__init__(lifeline, timeouts.drain, shared=shared, loops=loops, clock=clock, poller=poller)
        self.timeouts = timeouts
        self.limit = limit
        self.open = 0

    def accept(self, fd: int, peer: Peer, service: S, door: Door) -> None:
        """A new connection."""
        if service is not None:
            service.row[TAKEN] += 1
        if self.open >= self.limit:
            if service is not None:
                service.row[DONE] += 1
            self.turn_away(fd, door.busy(peer))
            return
        self.open += 1
        try:
            door.enter(self, fd, peer, service)
        except BaseException as error:  # noqa: BLE001  # the boundary, which logs it
            self.fail_newcomer(fd, service, error)

    @abstractmethod
    def serve(self, fd: int, peer: Peer, service: S, door: Door) -> None:
        """A connection that has come through its door."""

    def drop(self, fd: int, service: S, words: bytes = b"") -> None:
        """A connection that ended in its door. ``words``: sent to its client first."""
        self.open -= 1
        if service is not None:
            service.row[DONE] += 1
        super().drop(fd, service, words)
