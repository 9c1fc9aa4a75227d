"""Clients being turned away: send the refusal, shut down our side, then linger so that a reset does not overtake it.

    turn_away -- the refusal, then shutdown(2) --> Lingering -- end of file, reset, 2 seconds, or too many --> closed

Closing a socket that has unread bytes resets the connection, and the reset can overtake the refusal (RFC 9112, 9.6). So
our side is shut down first, and bytes that the client still sends are read and discarded for up to two seconds. Each
lingering client takes a descriptor, so their number is limited; beyond the limit a connection is closed at once.
"""

from __future__ import annotations

import logging
import resource
import socket
from socket import socket as Socket
from threading import Lock
from typing import Final, Protocol

from poolctl.runtime.loop.source import AnyService, Delivery, Handler, Registry
from poolctl.runtime.system.channel import DONTWAIT
from poolctl.runtime.system.poller import IN

log = logging.getLogger("poolctl")
LINGER_SECONDS: Final = 2.0  # seconds that a client has to read its refusal before the connection is closed
MAX_LINGERING: Final = 256  # lingering clients of one process
LINGER_SHARE: Final = 8  # lingering clients may take one in LINGER_SHARE of the process's descriptors
DISCARD_BYTES: Final = 65536  # bytes discarded at once


def may_linger() -> int:
    """Return how many clients may linger in this process at once, given its limit on descriptors; at least 1."""
    allowed, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return MAX_LINGERING if allowed == resource.RLIM_INFINITY else min(MAX_LINGERING, max(allowed // LINGER_SHARE, 1))


class FarewellLoop(Registry, Protocol):
    """The part of a loop that lingering clients use."""

    def add(self, handler: Handler[AnyService]) -> None:
        """Register a handler: from now on it gets the events of its descriptor."""


class Farewells:
    """The lingering clients of one loop. ``count``: their number now; ``limit``: the most at once. ``loops``: the
    number of loops with clients in this process; each gets an equal part of what ``may_linger`` allows."""

    def __init__(self, loop: FarewellLoop, loops: int = 1) -> None:
        self.loop = loop
        self.count = 0
        self.limit = max(may_linger() // loops, 1)
        self._counting = Lock()  # several threads may run the loop

    def turn_away(self, fd: int, words: bytes) -> None:
        """Send a refusal, give the client a moment to read it, then close the connection."""
        sock = Socket(fileno=fd)
        try:
            sock.setblocking(False)  # the app may have chosen another default
            if words:
                sock.send(words, DONTWAIT)
            sock.shutdown(socket.SHUT_WR)
        except OSError:
            sock.close()  # the client has left or does not read, so there is nothing to wait for
            return
        if words:
            self.linger(sock)
        else:
            sock.close()

    def linger(self, sock: socket.socket) -> None:
        """Close a connection once its client has read the rest; our side is shut down already."""
        if self._enter():
            self.loop.add(Lingering(self, sock))
        else:
            sock.close()

    def _enter(self) -> bool:
        with self._counting:
            if self.count >= self.limit:
                return False
            self.count += 1
            return True

    def leave(self) -> None:
        """Note that a client has stopped lingering."""
        with self._counting:
            self.count -= 1


class Lingering:
    """A client that was turned away: bytes that it still sends are read and discarded."""

    mask = IN
    delivery = Delivery.ONE_SHOT
    watched = False

    def __init__(self, farewells: Farewells, sock: socket.socket) -> None:
        self.farewells = farewells
        self.sock = sock
        self.fd = sock.fileno()
        self.until = farewells.loop.now + LINGER_SECONDS

    def on_event(self, events: int, service: AnyService) -> None:
        try:
            if self.sock.recv(DISCARD_BYTES, DONTWAIT):
                return
        except BlockingIOError:
            return
        except OSError:
            log.debug("a client that was turned away reset the connection")
        self.close()

    def expire(self, now: float, service: AnyService) -> None:
        if now > self.until:
            self.close()

    def drain(self, service: AnyService) -> None:
        """Do nothing: a lingering client is closed within LINGER seconds anyway."""

    def close(self, service: AnyService = None) -> None:
        """Close the connection, unless another thread of a shared loop has done so."""
        if self.farewells.loop.remove(self):
            self.farewells.leave()
            self.sock.close()

    abort = close
