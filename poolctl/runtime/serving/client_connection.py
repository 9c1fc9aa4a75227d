"""What every connection of a client has in common, whoever holds it: its phase, and how long it may stay in it."""

from __future__ import annotations

import logging
import sys
from abc import ABC, abstractmethod
from collections.abc import Container
from math import inf
from os import read
from typing import Any, ClassVar, Final, Generic, Protocol

from poolctl.runtime.buffers.outbound import Sending
from poolctl.runtime.loop.source import AnyHandler, Delivery, Handler, S
from poolctl.runtime.protocol import Coming
from poolctl.runtime.serving.pace import drips
from poolctl.runtime.serving.phases import (
    ANSWERING,
    FINISHING,
    IDLE,
    NEW,
    READING,
    SENDING,
    WAITS_FOR_REQUEST,
    Phase,
    check,
)
from poolctl.runtime.system.poller import IN
from poolctl.runtime.timeouts import Timeouts

log = logging.getLogger("poolctl")
READ: Final = 65536  # bytes read at once
NEWCOMER: Final = 1.0  # seconds that a drain waits for the first bytes of a client that has just connected


class Incoming(Protocol):
    """The conversation or the framer of a connection, as far as time matters."""

    @property
    def in_body(self) -> bool:
        """Whether what is pending has its head complete: then each piece of the body counts as a sign of life."""

    @property
    def coming(self) -> Coming | None:
        """The body that is coming, where the protocol tells."""


class ClientLoop(Protocol):
    """The loop, as a connection asks it for time and events."""

    now: float  # when the last wait ended, on the monotonic clock
    timeouts: Timeouts

    @property
    def handlers(self) -> Container[int]:
        """The descriptors whose events it hands out."""

    def add(self, handler: Handler[Any]) -> None:
        """From now on this handler gets the events of its descriptor."""

    def modify(self, handler: AnyHandler, mask: int) -> None:
        """The handler waits for something else than before."""

    def wake(self, handler: AnyHandler) -> None:
        """Give a connection an event: its descriptor is idle, and so writable."""

    def remove(self, handler: AnyHandler) -> bool:
        """No more events for this handler; False when another thread was first."""


class ClientConnection(Sending, ABC, Generic[S]):
    """``phase``: where it stands; ``since``: when what is being waited for began; ``leaving``: no request is taken
    after those that have come, so that the connection ends instead of falling idle."""

    __slots__ = ("leaving", "mask", "phase", "since", "watched")

    delivery: ClassVar[Delivery]
    loop: ClientLoop
    phase: Phase

    def __init__(self, fd: int, now: float, *, leaving: bool) -> None:
        # Sending.__init__ written out: a call is more than what all of this may cost a connection
        self.began = False
        self.outbound = None
        self.observer = None
        self.last = False
        self.fd = fd
        self.mask = IN
        self.watched = False  # the poller knows it, or did
        self.leaving = leaving
        self.phase = NEW
        self.since = now

    @property
    @abstractmethod
    def incoming(self) -> Incoming:
        """What reads the client's bytes."""

    @property
    def stalled(self) -> bool:
        """Whether a response waits for the client, though its socket takes all."""
        return False

    @abstractmethod
    def on_event(self, events: int, service: S) -> None:
        """It can be read or written, or is broken."""

    @abstractmethod
    def abort(self, service: S) -> None:
        """Something raised: the end, however far it had come."""

    @abstractmethod
    def close(self, service: S) -> None:
        """The end of the connection."""

    @abstractmethod
    def turn_away(self, status: int, service: S, line: bytes | None = None) -> None:
        """The end, with the protocol's words for this status. ``line``: the first of the request that is refused, where
        it is not the one that is coming."""

    @abstractmethod
    def _received(self, data: bytes, service: S) -> None:
        """Bytes of the client; empty at its end of file."""

    @abstractmethod
    def _reset(self, service: S) -> None:
        """The connection is broken: nothing can be read from it any more."""

    def expire(self, now: float, service: S) -> None:
        """Close it when its client has kept the server waiting for too long; a request that has begun gets a 408.
        ``now``: infinite when the time to drain is nearly over."""
        phase, timeouts, waited = self.phase, self.loop.timeouts, now - self.since
        if phase is ANSWERING:
            self._expire_answering(now, service)
        elif phase is SENDING or phase is FINISHING or self.stalled:
            if waited > timeouts.write:
                self.close(service)
        elif phase is READING:
            incoming = self.incoming
            if waited > (timeouts.idle if incoming.in_body else timeouts.head):
                self._overdue(now, service)
            elif timeouts.body_rate and (body := incoming.coming) is not None and drips(body, now, timeouts):
                self.turn_away(408, service)
        elif waited > (timeouts.idle if phase is IDLE else timeouts.head) or (self.leaving and waited > NEWCOMER):
            self._overdue(now, service)

    def _expire_answering(self, now: float, service: S) -> None:
        """How long the app takes is its own affair; and the client is not waited for."""

    def _overdue(self, now: float, service: S) -> None:
        """Its time is over, unless what it was to send has come while this thread was busy elsewhere."""
        since = self.since
        try:
            self._received(read(self.fd, READ), service)
        except BlockingIOError:
            log.debug("a client was silent for too long")
        except OSError:
            self._reset(service)
        if self.phase in WAITS_FOR_REQUEST and (self.since == since or now == inf):
            if self.phase is READING:
                self.turn_away(408, service)
            else:
                self.close(service)

    def drain(self, service: S) -> None:
        """What has come is answered. Every idle connection is writable, so asking for that gives each an event at
        once."""
        self.leaving = True
        if self.phase is not READING:
            self.since = self.loop.now
        if self.phase in WAITS_FOR_REQUEST:
            self.loop.wake(self)


if sys.flags.dev_mode:
    check(ClientConnection)
