"""The bytes of one client's TLS: read, decrypt, write, and the same in the other direction. Independent of the loop.

                      read                  decrypt           write
    client's bytes -- outer --> _from_client ------> plain -- inner --> the connection behind
                      write                 encrypt           read
    app's bytes   <-- outer <-- cipher <-- _to_client <------ inner <-- the connection behind

At most one read of 64 KiB is kept in each direction, and no more is read until it is written: so a slow client slows
the connection behind, as without TLS. Nothing here blocks: both descriptors are non-blocking, and the handshake is a
phase like the others.

    HANDSHAKE --> OPEN --> CLIENT_ENDED --> APP_ENDED --> CLOSED
                    +-------------------------^
    and from each of them to CLOSED: the client disconnected, violated the protocol or timed out, or a method raised

The app's end of file is read only when all that it sent before has been written to the client. So only close_notify
remains to be sent then, whatever the client still sends.
"""

from __future__ import annotations

import logging
import ssl
from collections.abc import Mapping
from enum import Enum
from socket import SHUT_WR, SOCK_STREAM
from socket import socket as Socket
from types import MappingProxyType
from typing import Self

from poolctl.runtime.listen.tls import subject
from poolctl.runtime.system.calls import close, read, write
from poolctl.runtime.system.channel import pair

log = logging.getLogger("poolctl")
PIPE_BYTES = 65536  # bytes read at once, and kept in each direction


class TlsPhase(Enum):
    """The phase of a client's TLS: its meaning, and whether the client and the app are still read from."""

    HANDSHAKE = "the handshake is in progress", True, False
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


TLS_HANDSHAKE, TLS_OPEN, TLS_CLIENT_ENDED, TLS_APP_ENDED, TLS_CLOSED = TlsPhase
TRANSITIONS: Mapping[TlsPhase, frozenset[TlsPhase]] = MappingProxyType(
    {
        TLS_HANDSHAKE: frozenset({TLS_OPEN, TLS_CLOSED}),
        TLS_OPEN: frozenset({TLS_CLIENT_ENDED, TLS_APP_ENDED, TLS_CLOSED}),
        TLS_CLIENT_ENDED: frozenset({TLS_APP_ENDED, TLS_CLOSED}),
        TLS_APP_ENDED: frozenset({TLS_CLOSED}),
        TLS_CLOSED: frozenset(),
    }
)


class TlsPipe:
    """The TLS of one client. ``outer``: descriptor of the client's socket. ``inner`` and ``behind``: the pair of
    sockets made after the handshake, -1 before; ``behind`` is the connection behind, and -1 again once ``hand_over``
    has given it away. ``subject``: of the client's certificate (RFC 4514), empty without one. ``now``: seconds."""

    def __init__(self, fd: int, context: ssl.SSLContext, now: float) -> None:
        self.phase = TLS_HANDSHAKE
        self.outer = fd
        self.inner = self.behind = -1
        self.subject = ""
        self.plain = b""  # decrypted, not yet taken by the connection behind
        self.cipher = b""  # encrypted, not yet taken by the client
        self.passed = False  # the last move gave the connection behind something to read
        self.since = now  # when the handshake began, or the client last took a byte
        self._from_client = ssl.MemoryBIO()
        self._to_client = ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._from_client, self._to_client, server_side=True)

    def enter(self, phase: TlsPhase) -> None:
        """Enter another phase. Raises RuntimeError if ``TRANSITIONS`` does not allow it."""
        if phase not in TRANSITIONS[self.phase]:
            raise RuntimeError(f"TLS cannot go from {self.phase.name} to {phase.name}")
        self.phase = phase

    def move(self, now: float) -> None:
        """Move bytes in both directions, as far as possible without blocking. Raises OSError (which includes ssl's
        errors) if the client has left or violates the protocol, and ValueError if its certificate cannot be used."""
        self.passed = False
        if self.cipher:
            self._flush(now)
        self._in()
        if self.phase is TLS_HANDSHAKE:
            self._shake(now)
        if self.phase is not TLS_HANDSHAKE:
            self._down()
            self.out(now)

    def _in(self) -> None:
        """Read from the client, unless earlier bytes are still to be written to the connection behind."""
        if self.plain or not self.phase.reads_client:
            return
        try:
            data = read(self.outer, PIPE_BYTES)
        except BlockingIOError:
            return
        if data:
            self._from_client.write(data)
        elif self.phase is TLS_HANDSHAKE:
            raise ConnectionAbortedError("the client left")
        else:
            self._from_client.write_eof()

    def _shake(self, now: float) -> None:
        try:
            self._tls.do_handshake()
        except ssl.SSLWantReadError:
            self._flush(now)
            return
        self.subject = subject(self._tls.getpeercert())
        ours, theirs = pair(int(SOCK_STREAM))
        ours.setblocking(False)
        theirs.setblocking(False)
        self.inner, self.behind = ours.detach(), theirs.detach()
        self.enter(TLS_OPEN)
        self._flush(now)

    def hand_over(self) -> int:
        """Return the descriptor of the connection behind; the caller owns it from now on."""
        behind, self.behind = self.behind, -1
        return behind

    def _down(self) -> None:
        """Decrypt the client's bytes and write them to the connection behind."""
        while self.phase is TLS_OPEN:
            if not self.plain:
                try:
                    self.plain = self._tls.read(PIPE_BYTES)
                except ssl.SSLWantReadError:
                    return
                except (ssl.SSLZeroReturnError, ssl.SSLEOFError):
                    self.plain = b""
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
                continue
            self.plain = self.plain[count:]
            self.passed = True
            # One more read, to learn by an exception that nothing is left, would cost more than all of this.
            if not (self.plain or self._tls.pending() or self._from_client.pending):
                return

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
        while not self.cipher and self.phase.reads_app:
            try:
                data = read(self.inner, PIPE_BYTES)
            except BlockingIOError:
                return
            except OSError:
                data = b""
            if not data:
                self.enter(TLS_APP_ENDED)
                return
            self._tls.write(data)
            self._flush(now)
            if len(data) < PIPE_BYTES:
                return  # the poller reports further bytes

    def _flush(self, now: float) -> None:
        """Send encrypted bytes to the client. Raises OSError if it has left."""
        while True:
            if not self.cipher:
                self.cipher = self._to_client.read()
                if not self.cipher:
                    return
            try:
                count = write(self.outer, self.cipher)
            except BlockingIOError:
                return
            self.cipher = self.cipher[count:]
            self.since = now

    def close(self) -> bytes:
        """Close the descriptors of the pair, unless handed over. Returns the last bytes for the client, whose socket
        stays open: close_notify after the app's end (RFC 8446, 6.1), otherwise the alert about the error, if any."""
        if self.phase is TLS_APP_ENDED:
            try:
                self._tls.unwrap()
            except ssl.SSLError:
                log.debug("not waiting for the client's close_notify")
        self.enter(TLS_CLOSED)
        self.passed = False
        for fd in (self.inner, self.behind):
            if fd >= 0:
                close(fd)
        return self._to_client.read()
