"""What stands behind the descriptors of a loop: handlers, and of these the lifeline and clients on their way out."""

from __future__ import annotations

import logging
import socket
from abc import ABC, abstractmethod
from enum import Enum
from typing import Any, Protocol

from poolctl.runtime.system.channel import DONTWAIT
from poolctl.runtime.system.poller import IN

log = logging.getLogger("poolctl")
LINGER = 2.0  # seconds that a client has to read its last words before the connection is cut
NO_DESCRIPTOR = "raise the limit on open files (ulimit -n) or lower limits.connections"


class Delivery(Enum):
    """How a handler of a *shared* loop gets its events (epoll(7)); in any other loop all are level-triggered."""

    ONE_SHOT = "one event; the loop rearms the handler after it"
    OWN = "one event; the handler rearms itself"
    EDGE = "edges, so nothing has to be rearmed"


class Handler(Protocol):
    """What stands behind a descriptor."""

    fd: int
    mask: int
    watched: bool  # the poller knows it, or did; set by the loop

    @property
    def delivery(self) -> Delivery:
        """How it gets its events in a shared loop."""

    def on_event(self, events: int, service: Any) -> None:
        """It is readable, writable, or broken: finding out is the handler's."""

    def expire(self, now: float, service: Any) -> None:
        """Twice a second: has it waited too long?"""

    def drain(self, service: Any) -> None:
        """The loop wants to end: leave as soon as nothing is in flight."""

    def abort(self, service: Any) -> None:
        """One of the above raised: give back everything, the descriptor included."""


class Registry(Protocol):
    """What a handler asks of the loop that it is in."""

    now: float  # when the last wait ended, on the monotonic clock
    lingering: int  # clients on their way out

    def modify(self, handler: Handler, mask: int) -> None:
        """The handler waits for something else than before."""

    def remove(self, handler: Handler) -> bool:
        """No more events for this handler; False when another thread was first."""

    def drain(self, service: Any) -> None:
        """Take what has come, finish what is in flight, leave."""


class Source(ABC):
    """A handler that never times out and has nothing to finish."""

    fd: int
    mask = IN
    delivery = Delivery.ONE_SHOT
    watched = False
    kept_outside = False  # of a listener: whoever started this server has it, and goes on listening

    @abstractmethod
    def on_event(self, events: int, service: Any) -> None:
        """It is readable, writable, or broken: finding out is the handler's."""

    def look(self, service: Any) -> bool:
        """At the end of a drain: whether there was still something to be had, which was taken."""
        return False

    def deafen(self) -> None:  # noqa: B027  # what is no listener has nothing to do here
        """Whoever waits is taken, and nobody may join them."""

    def expire(self, now: float, service: Any) -> None:  # noqa: B027  # the usual source has nothing to do here
        """A source waits as long as it takes."""

    def drain(self, service: Any) -> None:  # noqa: B027  # as above
        """A source ends at its own end of file."""

    def abort(self, service: Any) -> None:  # noqa: B027  # as above
        """A source goes on: the loop is of no use without it."""


class Lifeline(Source):
    """The mold's way to say that it is time to leave."""

    def __init__(self, loop: Registry, fd: int) -> None:
        self.loop = loop
        self.fd = fd

    def on_event(self, events: int, service: Any) -> None:
        self.loop.remove(self)
        self.loop.drain(service)


class Lingering:
    """A client that was turned away: its last bytes are read and forgotten."""

    mask = IN
    delivery = Delivery.ONE_SHOT
    watched = False

    def __init__(self, loop: Registry, sock: socket.socket) -> None:
        self.loop = loop
        self.sock = sock
        self.fd = sock.fileno()
        self.until = loop.now + LINGER
        loop.lingering += 1

    def on_event(self, events: int, service: Any) -> None:
        try:
            if self.sock.recv(65536, DONTWAIT):
                return
        except BlockingIOError:
            return
        except OSError:
            log.debug("a client that was turned away reset the connection")
        self.close()

    def expire(self, now: float, service: Any) -> None:
        if now > self.until:
            self.close()

    def drain(self, service: Any) -> None:
        """It leaves in a moment by itself."""

    def close(self, service: Any = None) -> None:
        """The end, unless another thread of a shared loop was faster."""
        if self.loop.remove(self):
            self.loop.lingering -= 1
            self.sock.close()

    abort = close
