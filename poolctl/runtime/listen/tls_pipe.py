"""The bytes between a client's TLS and the connection behind it, in both directions. Independent of the loop.

                      decrypt                write
    client's bytes -- TlsSocket --> plain -- inner --> the connection behind
                      encrypt                read
    app's bytes   <-- TlsSocket <-- kept <-- inner <-- the connection behind

At most one read of 64 KiB is kept in each direction, and no more is read until it is written: so a slow client slows
the connection behind, as without TLS. Nothing here blocks: both descriptors are non-blocking.

    OPEN --> CLIENT_ENDED --> APP_ENDED --> CLOSED
      +-------------------------^
    and from each of them to CLOSED: the client disconnected, violated the protocol or timed out, or a method raised

The app's end of file is read only when all that it sent before has been written to the client. So only close_notify
remains to be sent then, whatever the client still sends.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from enum import Enum
from socket import SHUT_WR, SOCK_STREAM
from socket import socket as Socket
from types import MappingProxyType
from typing import Self

from poolctl.runtime.listen.tls_socket import TlsSocket
from poolctl.runtime.system.calls import close, read, write
from poolctl.runtime.system.channel import pair

log = logging.getLogger("poolctl")
PIPE_BYTES = 65536  # bytes read at once, and kept in each direction


class TlsPhase(Enum):
    """The phase of a tunnel: its meaning, and whether the client and the app are still read from."""

    OPEN = "both sides may send", True, True
    CLIENT_ENDED = "the client sends no more; the app may still answer", False, True
    APP_ENDED = "the app has closed, and its last byte is sent", False, False
    CLOSED = "the end: no more bytes in either direction", False, False

    reads_client: bool
    reads_app: bool

    def __new__(cls, meaning: str, reads_client: bool, reads_app: bool) -> Self:
        phase = object.__new__(cls)
        phase._value_ = meaning
        phase.reads_client = reads_client
        phase.reads_app = reads_app
        return phase


TLS_OPEN, TLS_CLIENT_ENDED, TLS_APP_ENDED, TLS_CLOSED = TlsPhase
TRANSITIONS: Mapping[TlsPhase, frozenset[TlsPhase]] = MappingProxyType(
    {
        TLS_OPEN: frozenset({TLS_CLIENT_ENDED, TLS_APP_ENDED, TLS_CLOSED}),
        TLS_CLIENT_ENDED: frozenset({TLS_APP_ENDED, TLS_CLOSED}),
        TLS_APP_ENDED: frozenset({TLS_CLOSED}),
        TLS_CLOSED: frozenset(),
    }
)


class TlsPipe:
    """The bytes of one client. ``outer``: descriptor of the client's socket; ``inner`` and ``behind``: a pair of
    sockets; ``behind`` is the connection behind, and -1 once ``hand_over`` has given it away. ``now``: seconds.

    Raises OSError if there is no descriptor for the pair.
    """

    def __init__(self, fd: int, tls: TlsSocket, now: float) -> None:
        self.phase = TLS_OPEN
        self.tls = tls
        self.outer = fd
        self.plain = b""  # decrypted, not yet taken by the connection behind
        self.kept = b""  # of the app, not yet taken by the client; not empty while TLS has unsent bytes of it
        self.passed = False  # the last move gave the connection behind something to read
        self.since = now  # when the client last took a byte
        ours, theirs = pair(int(SOCK_STREAM))
        ours.setblocking(False)
        theirs.setblocking(False)
        self.inner, self.behind = ours.detach(), theirs.detach()

    def enter(self, phase: TlsPhase) -> None:
        """Enter another phase. Raises RuntimeError if ``TRANSITIONS`` does not allow it."""
        if phase not in TRANSITIONS[self.phase]:
            raise RuntimeError(f"TLS cannot go from {self.phase.name} to {phase.name}")
        self.phase = phase

    def hand_over(self) -> int:
        """Return the descriptor of the connection behind; the caller owns it from now on."""
        behind, self.behind = self.behind, -1
        return behind

    def move(self, now: float) -> None:
        """Move bytes in both directions, as far as possible without blocking. Raises OSError (which includes ssl's
        errors) if the client has left or violates the protocol."""
        self.passed = False
        self._down()
        self.out(now)

    def _down(self) -> None:
        """Decrypt the client's bytes and write them to the connection behind."""
        while self.phase is TLS_OPEN:
            if not self.plain:
                try:
                    self.plain = self.tls.read(self.outer, PIPE_BYTES)
                except BlockingIOError:
                    return
                if not self.plain:
                    self.enter(TLS_CLIENT_ENDED)
                    self._shut()
                    return
            try:
                count = write(self.inner, self.plain)
            except BlockingIOError:
                return
            except OSError:  # the connection behind is closed; bytes that it sent before can still be read
                self.plain = b""
                return
            self.plain = self.plain[count:]
            self.passed = True
            if not self.plain:
                return  # one read at a time: the poller reports the rest

    def _shut(self) -> None:
        """Give the connection behind an end of file."""
        sock = Socket(fileno=self.inner)
        try:
            sock.shutdown(SHUT_WR)
        except OSError:
            log.debug("both ends of a connection were closed at the same time")
        finally:
            sock.detach()
        self.passed = True

    def out(self, now: float) -> None:
        """Encrypt the app's bytes and send them to the client. Raises OSError if the client has left."""
        while self.phase.reads_app:
            if not self.kept:
                try:
                    self.kept = read(self.inner, PIPE_BYTES)
                except BlockingIOError:
                    return
                except OSError:
                    self.kept = b""
                if not self.kept:
                    self.enter(TLS_APP_ENDED)
                    return
            whole = len(self.kept) < PIPE_BYTES  # the poller reports further bytes
            try:
                count = self.tls.write(self.outer, self.kept)
            except BlockingIOError:
                return
            if count:
                self.kept = self.kept[count:]
                self.since = now
            if self.kept or whole:
                return

    def close(self) -> bytes:
        """Close the descriptors of the pair, unless handed over. Returns the last bytes for the client, whose socket
        stays open: close_notify after the app's end (RFC 8446, 6.1), otherwise the alert about the error, if any."""
        self.enter(TLS_CLOSED)
        self.passed = False
        for fd in (self.inner, self.behind):
            if fd >= 0:
                close(fd)
        return self.tls.end()
