"""The bytes of one client's TLS: read, decrypted and written, and the same in the other direction. It knows no loop.

                      read                  decrypt           write
    client's bytes -- outer --> _from_client ------> plain -- inner --> the connection behind
                      write                 encrypt           read
    app's bytes   <-- outer <-- cipher <-- _to_client <------ inner <-- the connection behind

At most one read of 64 KiB is kept in each direction, and nothing more is read until it has gone: so a slow client is
felt by the connection behind, as without TLS. Nothing here waits; both descriptors are non-blocking, and the handshake
is a phase like the others.

    HANDSHAKE --> OPEN --> CLIENT_ENDED --> APP_ENDED --> CLOSED
                    +-------------------------^
    and from each of them to CLOSED: the client broke off or broke the rules, was too slow, or something raised

The app's end is read only when all that it sent before has gone to the client. So after it there is nothing left but
the farewell, whatever the client still sends.
"""

from __future__ import annotations

import logging
import ssl
from collections.abc import Mapping
from enum import Enum
from os import close, read, write
from socket import SHUT_WR, SOCK_STREAM
from socket import socket as Socket
from types import MappingProxyType
from typing import Self

from poolctl.runtime.listen.tls import subject
from poolctl.runtime.system.channel import pair

log = logging.getLogger("poolctl")
READ = 65536  # bytes read at once, and kept in each direction


class TlsPhase(Enum):
    """Where a client's TLS stands: in words, and whether the client and the app are still read from."""

    HANDSHAKE = "the client shakes hands", True, False
    OPEN = "both sides may send", True, True
    CLIENT_ENDED = "the client sends no more; the app may still answer", False, True
    APP_ENDED = "the app has closed, and its last byte is sent", False, False
    CLOSED = "nothing moves any more", False, False

    reads_client: bool
    reads_app: bool

    def __new__(cls, meaning: str, reads_client: bool, reads_app: bool) -> Self:
        phase = object.__new__(cls)
        phase._value_ = meaning
        phase.reads_client = reads_client
        phase.reads_app = reads_app
        return phase


HANDSHAKE, OPEN, CLIENT_ENDED, APP_ENDED, CLOSED = TlsPhase
TRANSITIONS: Mapping[TlsPhase, frozenset[TlsPhase]] = MappingProxyType(
    {
        HANDSHAKE: frozenset({OPEN, CLOSED}),
        OPEN: frozenset({CLIENT_ENDED, APP_ENDED, CLOSED}),
        CLIENT_ENDED: frozenset({APP_ENDED, CLOSED}),
        APP_ENDED: frozenset({CLOSED}),
        CLOSED: frozenset(),
    }
)


class TlsPipe:
    """One client's. ``outer``: the descriptor of its socket. ``inner`` and ``behind``: those of the pair that is made
    when the handshake is done, -1 before; the second is that of the connection behind, and -1 again when ``hand_over``
    has given it away. ``subject``: that of the client's certificate (RFC 4514), empty for none. ``now``: seconds."""

    def __init__(self, fd: int, context: ssl.SSLContext, now: float) -> None:
        self.phase = HANDSHAKE
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
        """Go on to another phase. Raises RuntimeError when ``TRANSITIONS`` does not have it."""
        if phase not in TRANSITIONS[self.phase]:
            raise RuntimeError(f"TLS cannot go from {self.phase.name} to {phase.name}")
        self.phase = phase

    def move(self, now: float) -> None:
        """Move what can be moved, in both directions. Raises OSError, which the errors of ssl are, when the client has
        left or breaks the rules, and ValueError for a certificate of the client's that cannot be used."""
        self.passed = False
        if self.cipher:
            self._flush(now)
        self._in()
        if self.phase is HANDSHAKE:
            self._shake(now)
        if self.phase is not HANDSHAKE:
            self._down()
            self.out(now)

    def _in(self) -> None:
        """Read what the client sent, unless what it sent before has not been taken."""
        if self.plain or not self.phase.reads_client:
            return
        try:
            data = read(self.outer, READ)
        except BlockingIOError:
            return
        if data:
            self._from_client.write(data)
        elif self.phase is HANDSHAKE:
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
        self.enter(OPEN)
        self._flush(now)

    def hand_over(self) -> int:
        """The descriptor of the connection behind, which is the caller's from now on."""
        behind, self.behind = self.behind, -1
        return behind

    def _down(self) -> None:
        """From the client to the connection behind."""
        while self.phase is OPEN:
            if not self.plain:
                try:
                    self.plain = self._tls.read(READ)
                except ssl.SSLWantReadError:
                    return
                except (ssl.SSLZeroReturnError, ssl.SSLEOFError):
                    self.plain = b""
                if not self.plain:
                    self.enter(CLIENT_ENDED)
                    self._shut()
                    return
            try:
                count = write(self.inner, self.plain)
            except BlockingIOError:
                return
            except OSError:  # the connection behind is closed; what was sent before that is still read from it
                self.plain = b""
                continue
            self.plain = self.plain[count:]
            self.passed = True
            # to ask ssl once more, and learn by an exception that there is nothing, would cost more than all of this
            if not (self.plain or self._tls.pending() or self._from_client.pending):
                return

    def _shut(self) -> None:
        """The connection behind is to read the end of what the client sent."""
        sock = Socket(fileno=self.inner)
        try:
            sock.shutdown(SHUT_WR)
        except OSError:
            log.debug("a connection was closed from both of its ends")
        finally:
            sock.detach()
        self.passed = True

    def out(self, now: float) -> None:
        """From the connection behind to the client. Raises OSError when it has left."""
        while not self.cipher and self.phase.reads_app:
            try:
                data = read(self.inner, READ)
            except BlockingIOError:
                return
            except OSError:
                data = b""
            if not data:
                self.enter(APP_ENDED)
                return
            self._tls.write(data)
            self._flush(now)
            if len(data) < READ:
                return  # if more comes, the poller reports it

    def _flush(self, now: float) -> None:
        """Send the client what is encrypted. Raises OSError when it has left."""
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
        """The end: nothing moves any more, and the descriptors of the pair that are still here are closed. Returns the
        last bytes for the client, whose socket stays open: after the app's end its farewell (RFC 8446, 6.1), else the
        alert that says what was wrong, if there is one."""
        if self.phase is APP_ENDED:
            try:
                self._tls.unwrap()
            except ssl.SSLError:
                log.debug("the client's own farewell is not waited for")
        self.enter(CLOSED)
        self.passed = False
        for fd in (self.inner, self.behind):
            if fd >= 0:
                close(fd)
        return self._to_client.read()
