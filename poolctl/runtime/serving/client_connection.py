"""What all connections of clients have in common, in a front and in a worker: a phase, and how long it may last.

The file is long because each of its steps depends on the phase.
"""

from __future__ import annotations

import logging
import sys
from abc import ABC, abstractmethod
from collections.abc import Callable, Container, Hashable, Sequence
from math import inf
from typing import Any, ClassVar, Final, Generic, Protocol, TypeVar

from mypy_extensions import mypyc_attr

from poolctl.runtime.buffers.outbound import SecureSocket, Sending
from poolctl.runtime.listen.mover import Mover
from poolctl.runtime.loop.draining import NEWCOMER_SECONDS
from poolctl.runtime.loop.source import AnyHandler, Delivery, S
from poolctl.runtime.protocol import Coming
from poolctl.runtime.scoreboard import CLOSED_IDLE, FAILED, MOVED
from poolctl.runtime.serving.pace import drips
from poolctl.runtime.serving.phases import (
    ANSWERING,
    CLOSED,
    FINISHING,
    IDLE,
    NEW,
    READING,
    SENDING,
    WAITS_FOR_REQUEST,
    Phase,
    check,
)
from poolctl.runtime.system.calls import close, read, write
from poolctl.runtime.system.poller import IN
from poolctl.runtime.task import Peer
from poolctl.runtime.timeouts import Timeouts

log = logging.getLogger("poolctl")
READ_BYTES: Final = 65536  # bytes read at once
WARNED: Final = 2  # the value of ``leaving`` until the notice of a stop is withdrawn
DRAIN: Final = "timeouts.drain"  # the limit of a client that a stop waits for


class Incoming(Protocol):
    """What timeouts need of the conversation or framer of a connection."""

    @property
    def in_body(self) -> bool:
        """Whether the head of the pending request is complete: then each piece of the body restarts the timeout."""

    @property
    def coming(self) -> Coming | None:
        """The body that is being received; None if there is none, or the protocol does not say."""


class ClientLoop(Protocol):
    """What a connection needs of its loop: time and events."""

    now: float  # when the last wait ended, on the monotonic clock
    moving: bool  # it drains, and idle connections move to other processes
    noticing: bool  # it will drain, and each response is the last of its connection
    front_row: memoryview | None  # of a front, whose connections have no service: its row of the scoreboard
    timeouts: Timeouts

    @property
    def handlers(self) -> Container[int]:
        """The descriptors whose events it dispatches."""

    def add(self, handler: Any) -> None:
        """Watch the descriptor of this handler."""

    def modify(self, handler: AnyHandler, mask: int) -> None:
        """Change the events that the handler waits for."""

    def wake(self, handler: AnyHandler) -> None:
        """Give an idle connection an event, by waiting until it is writable, which it is."""

    def remove(self, handler: AnyHandler) -> bool:
        """Stop watching the descriptor of this handler. Returns False if another thread did so first."""


L = TypeVar("L", bound=ClientLoop)  # what the kind of connection needs of it


@mypyc_attr(allow_interpreted_subclasses=True)
class ClientConnection(Sending, ABC, Generic[S, L]):
    """The connection of a client. ``phase``: see ``phases.py``; ``since``: when the current wait began, on the
    monotonic clock; ``leaving``: after the requests received so far the connection ends instead of becoming idle;
    ``WARNED`` if it does so because the server will stop, which may be called off. ``read``: the call for its
    descriptor; with TLS that of ``tls``."""

    __slots__ = ("leaving", "mask", "phase", "read", "since", "watched")

    delivery: ClassVar[Delivery]
    loop: L
    phase: Phase
    leaving: int
    read: Callable[[int, int], bytes]

    def __init__(self, fd: int, now: float, *, leaving: int) -> None:
        # Sending.__init__ inlined: saves up to 2 % of a request on a new connection
        self.began = False
        self.outbound = None
        self.observer = None
        self.last = False
        self.read = read
        self.write = write
        self.tls = None
        self.fd = fd
        self.mask = IN
        self.watched = False  # it was registered with the poller
        self.leaving = leaving
        self.phase = NEW
        self.since = now

    def __str__(self) -> str:
        return f"the connection of {self.client}"

    def secure(self, tls: SecureSocket | None) -> None:
        """Read and write through TLS, if there is any. Called at most once, before any byte."""
        if tls is not None:
            self.tls = tls
            self.read = tls.read
            self.write = tls.write

    @property
    @abstractmethod
    def incoming(self) -> Incoming:
        """The conversation or framer that parses the client's bytes."""

    @property
    @abstractmethod
    def client(self) -> str:
        """The client's address, for the log."""

    @property
    def stalled(self) -> bool:
        """Whether a response waits for the client although its socket is writable, as for a window of HTTP/2."""
        return False

    @abstractmethod
    def on_event(self, events: int, service: S) -> None:
        """Its descriptor is readable or writable, or the connection is broken."""

    @abstractmethod
    def abort(self, service: S) -> None:
        """End the connection after an exception, whatever its phase."""

    @abstractmethod
    def close(self, service: S) -> None:
        """Close the connection."""

    @abstractmethod
    def turn_away(self, status: int, service: S, line: bytes | None = None) -> None:
        """End the connection with the protocol's message for this status. ``line``: the first line of the refused
        request, if it is not the one that is being received."""

    @abstractmethod
    def _received(self, data: bytes, service: S) -> None:
        """Process bytes from the client; empty at its end of file."""

    @abstractmethod
    def _reset(self, service: S) -> None:
        """The connection is broken: nothing more can be read from it."""

    def expire(self, now: float, service: S) -> None:
        """Close it if the client has kept the server waiting for too long; an incomplete request gets a 408. ``now``:
        seconds on the monotonic clock, infinite when the time to drain is nearly over."""
        if now == inf and (lost := self.owed):
            self._expire(now, service)
            if self.phase is CLOSED:
                self.tally(FAILED, service, lost)
        else:
            self._expire(now, service)

    def _expire(self, now: float, service: S) -> None:
        phase, timeouts, waited = self.phase, self.loop.timeouts, now - self.since
        if self.since < timeouts.changed:
            timeouts = timeouts.at(self.since)
        if phase is ANSWERING:
            self._expire_answering(now, service)
        elif phase is SENDING or phase is FINISHING or self.stalled:
            if waited > timeouts.write:
                self.say_closed("timeouts.write", waited)
                self.close(service)
        elif phase is READING:
            incoming = self.incoming
            if waited > (timeouts.idle if incoming.in_body else timeouts.head):
                self._overdue(now, "timeouts.idle" if incoming.in_body else "timeouts.head", service)
            elif timeouts.body_rate and (body := incoming.coming) is not None and drips(body, now, timeouts):
                self.say_closed("timeouts.body", body.waited)
                self.turn_away(408, service)
        elif waited > (timeouts.idle if phase is IDLE else timeouts.head):
            self._overdue(now, "timeouts.idle" if phase is IDLE else "timeouts.head", service)
        elif self.leaving and waited > NEWCOMER_SECONDS and not self.stays(service):
            self.tally(CLOSED_IDLE, service)
            self._overdue(now, DRAIN, service)

    def _expire_answering(self, now: float, service: S) -> None:
        """Do nothing: no timeout of a client applies while the app has the request."""

    def _overdue(self, now: float, limit: str, service: S) -> None:
        """The client's time is over, unless its bytes arrived while this thread was busy elsewhere. ``limit``: the key
        that bounds it."""
        since = self.since
        try:
            self._received(self.read(self.fd, READ_BYTES), service)
        except BlockingIOError:
            if self.tls is not None and self.tls.came:
                self.since = self.loop.now  # a part of a record
        except OSError:
            self._reset(service)
        if self.phase in WAITS_FOR_REQUEST and (self.since == since or now == inf):
            self.say_closed(limit, now - since)
            if self.phase is READING:
                self.turn_away(408, service)
            else:
                self.close(service)

    # moving to another process (listen/moves.py)

    @abstractmethod
    def portable(self, service: S) -> bool:
        """Whether another process can go on with the connection between two requests, since it has no state here."""

    @abstractmethod
    def patient(self, service: S) -> bool:
        """Whether the connection, if it is not portable, may wait for its next request, whose response says that it is
        the last: a client that sends a request while its idle connection is closed gets no answer."""

    def stays(self, service: S) -> bool:
        """Whether the connection, though it leaves, waits for one more request, whose response says that it is the
        last."""
        return (self.loop.moving or self.loop.noticing) and not self.last and self.patient(service)

    def notice(self, service: S) -> None:
        """The server will stop: end after the next response, which says so. A connection with streams of their own goes
        on until the stop."""
        if not self.leaving and self.patient(service):
            self.leaving = WARNED

    def withdraw_notice(self, service: S) -> None:
        """The server goes on after all: do not end, unless a response has said so, or is about to. One that was under
        way before the notice has not."""
        if self.leaving == WARNED and not self.last:
            self.leaving = False

    @property
    @abstractmethod
    def idle(self) -> bool:
        """Whether nothing of a request or response is under way."""

    @abstractmethod
    def _introduction(self, service: S) -> tuple[str, Peer]:
        """Return the name of the protocol, and the peer."""

    def move(self, moves: Mover, service: S) -> None:
        """Pass the connection on if it is idle, unless the channel is full: then it stays for now."""
        if self.idle and not self.leaving and self.portable(service) and self.loop.remove(self):
            if moves.send(self.fd, *self._introduction(service)):
                self.say_moved()
                self.tally(MOVED, service)
                self._let_go(service)
                close(self.fd)
            else:
                self.loop.add(self)

    @abstractmethod
    def _let_go(self, service: S) -> None:
        """The loop no longer has the connection: note that, and free what it held but its descriptor."""

    def drain(self, service: S) -> None:
        """End after the requests received so far, or move when it is idle. An idle connection is writable, so waiting
        for that gives it an event at once."""
        if self.loop.moving and not self.leaving:
            if self.portable(service):
                return
            if self.phase in WAITS_FOR_REQUEST and self.stays(service):
                self.leaving = True
                return
        self.say_draining()
        self.leaving = True
        if self.phase is not READING:
            self.since = self.loop.now
        if self.phase is IDLE:
            self.tally(CLOSED_IDLE, service)
        if self.phase in WAITS_FOR_REQUEST:
            self.loop.wake(self)

    @property
    def owed(self) -> int:
        """The responses that are lost if the connection ends now, but for those that the app still works on."""
        return 1 if self.phase is SENDING or self.phase is FINISHING else 0

    def tally(self, cell: int, service: S, count: int = 1) -> None:
        """Count what a drain does with connections."""
        row = self.loop.front_row if service is None else service.row
        if row is not None:
            row[cell] += count

    # what goes on in a drain (timeouts.stream)

    def streams(self) -> Sequence[Hashable]:
        """Return what stands for the responses that have begun and are not complete: here for one that waits for its
        client, since the app is done with it."""
        outbound = self.outbound
        return (outbound,) if outbound is not None and self.phase in (SENDING, FINISHING) else ()

    def cut_stream(self, stream: Any, service: S) -> bool:
        """The drain has waited for one of these for long enough: close the connection, log it and count it."""
        if stream is self.outbound:
            self.say_cut(service)
            self.close(service)
        return True

    @abstractmethod
    def say_cut(self, service: S) -> None:
        """Log and count a response that is cut off while it waits for its client."""

    # the log: why a connection ends, in sweeps and at a stop only

    def say_closed(self, limit: str, seconds: float) -> None:
        """Log at debug that the client's time is over. ``limit``: the key that bounds it; ``seconds``: how long the
        client was waited for, infinite when the time to drain is nearly over."""
        if log.isEnabledFor(logging.DEBUG):
            if seconds == inf:
                limit, seconds = DRAIN, self.loop.now - self.since
            text = "connection of %s was %s for %.1f s (%s); closed"
            log.debug(text, self.client, self.phase.name, seconds, limit)

    def say_moved(self) -> None:
        """Log at debug that the connection has moved."""
        if log.isEnabledFor(logging.DEBUG):
            log.debug("draining: the connection of %s moves to another process", self.client)

    def say_draining(self) -> None:
        """Log at debug where the stop finds the connection."""
        if log.isEnabledFor(logging.DEBUG):
            text = "draining: connection of %s has been %s for %.1f s; it ends once what has arrived is answered"
            log.debug(text, self.client, self.phase.name, self.loop.now - self.since)


if sys.flags.dev_mode:
    check(ClientConnection)
