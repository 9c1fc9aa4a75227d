"""Handlers, which serve the descriptors of a loop, and sources, which are handlers without a timeout.

    poller -- (fd, events) --> loop -- on_event(events, service) --> handler

A loop passes its handlers the service of the thread that runs it. Workers have one, a front has none. So handlers and
loops are generic over it, and the loop itself uses only its ``LoopService`` part.
"""

from __future__ import annotations

import errno
from abc import ABC, abstractmethod
from enum import Enum
from typing import Final, Generic, Never, Protocol, TypeAlias, TypeVar

from mypy_extensions import mypyc_attr

from poolctl.runtime.system.poller import IN

NO_DESCRIPTOR: Final = "raise the limit on open files (ulimit -n) or lower limits.connections"


def reason(error: OSError) -> str:
    """Return the text of an error for the log, with advice if the process is out of file descriptors."""
    return f"{error}; {NO_DESCRIPTOR}" if error.errno in (errno.EMFILE, errno.ENFILE) else str(error)


class LoopService(Protocol):
    """The part of a service that the loop itself uses."""

    @property
    def row(self) -> memoryview:
        """The row of the scoreboard in which the loop counts connections."""

    def fault(self, error: BaseException, what: str) -> None:
        """Log and count an exception of a handler. ``what``: what failed."""


AnyService: TypeAlias = LoopService | None  # for handlers that do not use their loop's service
S = TypeVar("S", bound=AnyService)
S_contra = TypeVar("S_contra", bound=AnyService, contravariant=True)


class Delivery(Enum):
    """How a handler of a *shared* loop gets its events (epoll(7)); in any other loop all are level-triggered."""

    ONE_SHOT = "one event; the loop rearms the handler after it"
    OWN = "one event; the handler rearms itself"
    EDGE = "edges, so nothing has to be rearmed"


class Handler(Protocol[S_contra]):
    """What a loop calls for one descriptor."""

    fd: int
    mask: int
    watched: bool  # the poller has or had the descriptor; set by the loop

    @property
    def delivery(self) -> Delivery:
        """How the handler gets its events in a shared loop."""

    def on_event(self, events: int, service: S_contra) -> None:
        """Handle an event: the descriptor is readable, writable or broken; the handler finds out which."""

    def expire(self, now: float, service: S_contra) -> None:
        """Called twice a second: end if timed out. ``now``: seconds; infinite near the end of a drain."""

    def drain(self, service: S_contra) -> None:
        """Called once when the loop drains: leave it as soon as nothing is in flight."""

    def abort(self, service: S_contra) -> None:
        """Called after one of the above raised: release everything, including the descriptor."""


AnyHandler: TypeAlias = Handler[Never]  # for callers that call no method of the handler, whatever its service


class Registry(Protocol):
    """The part of a loop that handlers use."""

    @property
    def now(self) -> float:
        """When the last wait ended, in seconds of the monotonic clock."""

    def modify(self, handler: AnyHandler, mask: int) -> None:
        """Change the events that a handler waits for."""

    def remove(self, handler: AnyHandler) -> bool:
        """Stop the events of a handler. Returns False if another thread has already removed it."""


class Drains(Registry, Protocol[S_contra]):
    """The part of a loop that its lifeline uses."""

    def drain(self, service: S_contra) -> None:
        """Drain: accept queued clients, finish requests in flight, exit."""


@mypyc_attr(allow_interpreted_subclasses=True)
class Source(ABC, Generic[S_contra]):
    """A handler that never times out and has nothing to finish."""

    fd: int
    mask = IN
    delivery = Delivery.ONE_SHOT
    watched = False
    kept_outside = False  # for listeners: the program that started this server also holds the socket and listens on it

    def __str__(self) -> str:
        return type(self).__name__

    @abstractmethod
    def on_event(self, events: int, service: S_contra) -> None:
        """Handle an event: the descriptor is readable, writable or broken; the source finds out which."""

    def look(self, service: S_contra) -> bool:
        """At the end of a drain, take one more queued item. Returns whether there was one."""
        return False

    def deafen(self) -> None:
        """Admit no new client to the queue; clients already queued are still accepted."""

    def expire(self, now: float, service: S_contra) -> None:
        """Do nothing: sources have no timeout."""

    def drain(self, service: S_contra) -> None:
        """Do nothing: a source ends at its own end of file."""

    def abort(self, service: S_contra) -> None:
        """Do nothing: the loop needs its sources, so an error does not close them."""


class Lifeline(Source[S]):
    """The pipe whose end of file, from the mold, makes the loop drain."""

    def __init__(self, loop: Drains[S], fd: int) -> None:
        self.loop = loop
        self.fd = fd

    def on_event(self, events: int, service: S) -> None:
        self.loop.remove(self)
        self.loop.drain(service)

    def drain(self, service: S) -> None:
        """Leave the loop: it drains, and has nothing more to wait for here."""
        self.loop.remove(self)
