"""Clients on their way out: they get their last words, and a moment to read them.

    turn_away -- the words, then shutdown(2) --> Lingering -- end of file, reset, 2 seconds, or too many --> closed

Closing a socket that has unread bytes resets the connection, and the reset can overtake the words (RFC 9112, 9.6). So
our direction is closed first, and what the client still sends is read and thrown away for a moment. Each of these
clients takes a descriptor, which is why their number is bounded; past the bound a connection is closed at once.
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
LINGER: Final = 2.0  # seconds that a client has to read its last words before the connection is cut
AT_MOST: Final = 256  # clients of one process that may linger at once
SHARE: Final = 8  # one descriptor in so many may be a lingering client's
READ: Final = 65536  # bytes thrown away at once


def may_linger() -> int:
    """Clients that may linger in this process at once, by its limit on descriptors; at least 1."""
    allowed, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return AT_MOST if allowed == resource.RLIM_INFINITY else min(AT_MOST, max(allowed // SHARE, 1))


class FarewellLoop(Registry, Protocol):
    """A loop, as far as clients on their way out need one."""

    def add(self, handler: Handler[AnyService]) -> None:
        """From now on this handler gets the events of its descriptor."""


class Farewells:
    """Those of one loop. ``count``: clients that linger now; ``limit``: how many may. ``loops``: of this process that
    have clients; each gets an equal part of what the process may have."""

    def __init__(self, loop: FarewellLoop, loops: int = 1) -> None:
        self.loop = loop
        self.count = 0
        self.limit = max(may_linger() // loops, 1)
        self._counting = Lock()  # several threads may run the loop

    def turn_away(self, fd: int, words: bytes) -> None:
        """Tell a client why it is not served, let it read that, close."""
        sock = Socket(fileno=fd)
        try:
            sock.setblocking(False)  # the app may have chosen another default
            if words:
                sock.send(words, DONTWAIT)
            sock.shutdown(socket.SHUT_WR)
        except OSError:
            sock.close()  # the client has left, or does not read: there is nothing to wait for
            return
        if words:
            self.linger(sock)
        else:
            sock.close()

    def linger(self, sock: socket.socket) -> None:
        """All is said, and our direction closed: let the client read it, then close."""
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
        """A client has stopped lingering."""
        with self._counting:
            self.count -= 1


class Lingering:
    """A client that was turned away: what it still sends is read and forgotten."""

    mask = IN
    delivery = Delivery.ONE_SHOT
    watched = False

    def __init__(self, farewells: Farewells, sock: socket.socket) -> None:
        self.farewells = farewells
        self.sock = sock
        self.fd = sock.fileno()
        self.until = farewells.loop.now + LINGER

    def on_event(self, events: int, service: AnyService) -> None:
        try:
            if self.sock.recv(READ, DONTWAIT):
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
        """It leaves by itself in a moment."""

    def close(self, service: AnyService = None) -> None:
        """The end, unless another thread of a shared loop was faster."""
        if self.farewells.loop.remove(self):
            self.farewells.leave()
            self.sock.close()

    abort = close
