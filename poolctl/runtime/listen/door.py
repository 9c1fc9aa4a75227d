"""Doors: the steps between accepting a client and serving it, and the loop that takes clients through them.

    listener, inbox --> loop.accept --> Door.enter --> [PROXY header] --> [TLS] --> loop.serve --> the connection
                          +--> 503, when ``limit``      +--> loop.drop, when it fails there
                               clients are open

A plain door passes the connection straight to the loop. The other doors do their step without blocking other clients,
then pass the connection to the next door. Each is one file, imported only if the topology has its key.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterable
from time import monotonic
from typing import Final, Protocol

from mypy_extensions import mypyc_attr

from poolctl.runtime.buffers.outbound import SecureSocket
from poolctl.runtime.listen import server_stop
from poolctl.runtime.listen.mover import Movable, Mover, Warned
from poolctl.runtime.listen.streams import Streams
from poolctl.runtime.loop.loop import Loop
from poolctl.runtime.loop.source import AnyHandler, Handler, S
from poolctl.runtime.protocol import Conversation, Framer
from poolctl.runtime.protocol import Protocol as Spoken
from poolctl.runtime.scoreboard import DONE, TAKEN
from poolctl.runtime.system.poller import Poller
from poolctl.runtime.task import Peer
from poolctl.runtime.timeouts import Timeouts

MOVE_SECONDS: Final = 0.02  # seconds between two looks for connections that have become idle, while they move


class ServingLoop(Protocol[S]):
    """The part of a loop that doors use."""

    now: float
    draining: bool
    shared: bool
    once: int
    handlers: dict[int, Handler[S]]
    poller: Poller
    timeouts: Timeouts
    takes_tls: bool  # its connections encrypt and decrypt themselves

    def add(self, handler: Handler[S]) -> None:
        """Register a handler: from now on it gets the events of its descriptor."""

    def remove(self, handler: AnyHandler) -> bool:
        """Stop the events of a handler. Returns False if another thread has already removed it."""

    def mute(self, handler: AnyHandler) -> None:
        """Stop the events of a handler but keep it in the loop."""

    def deliver(self, handler: Handler[S], event: int, service: S) -> None:
        """Give a handler an event that did not come from the poller."""

    def serve(self, fd: int, peer: Peer, service: S, door: Door, tls: SecureSocket | None = None) -> None:
        """Serve a connection that has passed its door; ``accept`` has counted it. ``tls``: only if ``takes_tls``."""

    def drop(self, fd: int, service: S, words: bytes = b"") -> None:
        """Send ``words`` and close a connection that failed in its door; ``accept`` has counted it."""

    def turn_away(self, fd: int, words: bytes) -> None:
        """Send a refusal, give the client a moment to read it, then close the connection."""

    def fail_newcomer(self, fd: int, service: S, error: BaseException) -> None:
        """Log an exception raised before a new connection was served, and close the connection."""


@mypyc_attr(allow_interpreted_subclasses=True)
class Door:
    """The plain door: no step before the connection is served. ``protocol``: of the connections; ``number``: index of
    the address."""

    scheme = "http"

    def __init__(self, protocol: Spoken, number: int = 0) -> None:
        self.protocol = protocol
        self.number = number
        self.conversation: Callable[[Peer], Conversation] = protocol.conversation
        self.streaming: Callable[[Peer], Conversation] = protocol.streaming
        self.framer: Callable[[], Framer] = protocol.framer

    def busy(self, peer: Peer) -> bytes:
        """Return the refusal for a client beyond the limit on connections, sent before anything is read from it."""
        return self.protocol.farewell(503, peer)

    @property
    def last(self) -> Door:
        """The door from which a connection is served."""
        return self

    def enter(self, loop: ServingLoop[S], fd: int, peer: Peer, service: S) -> None:
        """Take an accepted client through this door, then have the loop serve it, now or later."""
        loop.serve(fd, peer, service, self)


@mypyc_attr(allow_interpreted_subclasses=True)
class AcceptingLoop(Loop[S]):
    """A loop that accepts clients. ``limit``: most clients at once; others are turned away with a 503. ``open``: the
    number of clients now. ``shared``, ``loops``, ``clock``, ``poller``: see ``Loop``. With a service, its row counts
    each client as a task."""

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
        self.moves: Mover | None = None
        self.moving = False  # it drains, and connections that are idle move to other processes
        self.front_row: memoryview | None = None  # of a front: its row of the scoreboard
        self.noticing = False  # it will drain, and every response is the last of its connection
        self.takes_tls = False  # its connections encrypt and decrypt themselves
        self._streams: Streams[S] | None = None  # once it drains, if timeouts.stream is set

    def limit_to(self, limit: int) -> None:
        """From now on take no more clients than this; those that are open stay."""
        self.limit = limit

    def full(self) -> bool:
        """Whether the limit is reached. Asked only when ``open`` has reached ``limit``, which a subclass may renew."""
        return self.open >= self.limit

    def accept(self, fd: int, peer: Peer, service: S, door: Door) -> None:
        """Count a new connection and take it through its door, or turn it away if the limit is reached."""
        if service is not None:
            service.row[TAKEN] += 1
        if self.open >= self.limit and self.full():
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
    def serve(self, fd: int, peer: Peer, service: S, door: Door, tls: SecureSocket | None = None) -> None:
        """Serve a connection that has passed its door. ``tls``: only if ``takes_tls``."""

    # connections that move between processes (moves.py)

    def move_by(self, moves: Mover) -> None:
        """When the loop drains, pass idle connections on by this channel. Called before the loop runs."""
        self.moves = moves

    def adopt(self, fd: int, peer: Peer, service: S, door: Door) -> None:
        """Serve a connection that has passed its door in another process, where it was counted too."""
        if service is not None:
            service.row[TAKEN] += 1
        self.open += 1
        try:
            self.serve(fd, peer, service, door.last)
        except BaseException as error:  # noqa: BLE001  # the boundary, which logs it
            self.fail_newcomer(fd, service, error)

    # the notice before a stop (timeouts.notice)

    def _sweep(self, now: float, service: S) -> None:
        if server_stop.noticed() and not self.draining:
            self._tell(service, noticing=True)
        elif self.noticing and not server_stop.expected():
            self._tell(service, noticing=False)
        super()._sweep(now, service)
        if self._streams is not None:
            self._streams.look(self, now, service)

    def _tell(self, service: S, *, noticing: bool) -> None:
        """Tell the clients, new ones too, with their next response; or do not tell them any more."""
        self.noticing = noticing
        for handler in self._everybody():
            if isinstance(handler, Warned):
                try:
                    if noticing:
                        handler.notice(service)
                    else:
                        handler.withdraw_notice(service)
                except BaseException as error:  # noqa: BLE001  # the boundary, which logs it
                    self.fail(handler, service, error)

    def _everybody(self) -> Iterable[Handler[S]]:
        """Return the handlers, those of all clients among them."""
        return list(self.handlers.values())

    def drain(self, service: S) -> None:
        """Drain; connections that can move do so at their next idle moment instead of ending."""
        if self.draining:
            return
        self.noticing = False
        self._drain = self.timeouts.drain  # as it is now
        self.moving = self.moves is not None and self.moves.open
        super().drain(service)
        self.limit_streams(service)
        if self.moving:
            self._pause = min(self._pause, MOVE_SECONDS)

    def limit_streams(self, service: S) -> None:
        """The drain has begun: what goes on in it has timeouts.stream. Only the first call has an effect."""
        limit = self.timeouts.stream
        if limit is not None and self._streams is None:
            self._streams = Streams(limit)
            self._pause = min(self._pause, self._streams.pause)
            self._next_look = self._next_sweep = 0.0
            self._streams.look(self, self._clock(), service)

    def _drained(self, quiet: bool, service: S) -> None:
        if self.moving:
            self._move(service)
        super()._drained(quiet, service)

    def _move(self, service: S) -> None:
        assert self.moves is not None  # otherwise it is not moving
        if self.moves.open:
            for handler in list(self.handlers.values()):
                if isinstance(handler, Movable):
                    try:
                        handler.move(self.moves, service)
                    except BaseException as error:  # noqa: BLE001  # the boundary, which logs it
                        self.fail(handler, service, error)
            return
        self.moving = False  # the whole server stops now
        for handler in self._everybody():
            try:
                handler.drain(service)
            except BaseException as error:  # noqa: BLE001  # the boundary, which logs it
                self.fail(handler, service, error)

    def drop(self, fd: int, service: S, words: bytes = b"") -> None:
        """Send ``words`` and close a connection that failed in its door."""
        self.open -= 1
        if service is not None:
            service.row[DONE] += 1
        super().drop(fd, service, words)
