"""What stands behind the descriptors of a loop: handlers, and the sources among them, which never time out.

    poller -- (fd, events) --> loop -- on_event(events, service) --> handler

A loop hands its handlers the service of the thread that runs it. What that is depends on the loop: workers have one, a
front has none. So handlers and loops are generic over it, and the loop itself knows of a service only that it counts
failures (``LoopService``).
"""

from __future__ import annotations

import errno
from abc import ABC, abstractmethod
from enum import Enum
from typing import Generic, Never, Protocol, TypeAlias, TypeVar

from poolctl.runtime.system.poller import IN

NO_DESCRIPTOR = "raise the limit on open files (ulimit -n) or lower limits.connections"


def reason(error: OSError) -> str:
    """Return an error for the log, with advice if there was no descriptor left."""
    return f"{error}; {NO_DESCRIPTOR}" if error.errno in (errno.EMFILE, errno.ENFILE) else str(error)


class LoopService(Protocol):
    """What a loop knows of the service that it hands to its handlers."""

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
    """What stands behind a descriptor."""

    fd: int
    mask: int
    watched: bool  # the poller knows it, or did; set by the loop

    @property
    def delivery(self) -> Delivery:
        """How it gets its events in a shared loop."""

    def on_event(self, events: int, service: S_contra) -> None:
        """Its descriptor is readable, writable or broken; the handler finds out which."""

    def expire(self, now: float, service: S_contra) -> None:
        """Called twice a second: end what has waited too long. ``now``: seconds; infinite near the end of a drain."""

    def drain(self, service: S_contra) -> None:
        """The loop wants to end: leave as soon as nothing is in flight."""

    def abort(self, service: S_contra) -> None:
        """One of the above raised: give back everything, the descriptor included."""


AnyHandler: TypeAlias = Handler[Never]  # where no method of the handler is called, so that its service does not matter


class Registry(Protocol):
    """A loop, as far as its handlers need one."""

    @property
    def now(self) -> float:
        """When the last wait ended, in seconds of the monotonic clock."""

    def modify(self, handler: AnyHandler, mask: int) -> None:
        """The handler waits for something else than before."""

    def remove(self, handler: AnyHandler) -> bool:
        """No more events for this handler; False when another thread was first."""


class Drains(Registry, Protocol[S_contra]):
    """A loop, as far as its lifeline needs one."""

    def drain(self, service: S_contra) -> None:
        """Take what has come, finish what is in flight, leave."""


class Source(ABC, Generic[S_contra]):
    """A handler that never times out and has nothing to finish."""

    fd: int
    mask = IN
    delivery = Delivery.ONE_SHOT
    watched = False
    kept_outside = False  # of a listener: the program that started this server holds the socket and goes on listening

    def __str__(self) -> str:
        return type(self).__name__

    @abstractmethod
    def on_event(self, events: int, service: S_contra) -> None:
        """Its descriptor is readable, writable or broken; the handler finds out which."""

    def look(self, service: S_contra) -> bool:
        """At the end of a drain: take one more if there is one; whether there was."""
        return False

    def deafen(self) -> None:
        """Keep new clients out; those that wait are still taken."""

    def expire(self, now: float, service: S_contra) -> None:
        """A source waits as long as it takes."""

    def drain(self, service: S_contra) -> None:
        """A source ends at its own end of file."""

    def abort(self, service: S_contra) -> None:
        """A source stays: the loop is of no use without it."""


class Lifeline(Source[S]):
    """The mold's way to say that it is time to leave: its end of file."""

    def __init__(self, loop: Drains[S], fd: int) -> None:
        self.loop = loop
        self.fd = fd

    def on_event(self, events: int, service: S) -> None:
        self.loop.remove(self)
        self.loop.drain(service)
