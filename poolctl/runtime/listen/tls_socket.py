"""The TLS of one client (RFC 8446, RFC 5246), with the calls that a plain connection makes on its descriptor.

    the client's bytes -- read(2) ---> _incoming -- decrypt --> TlsSocket.read ---> the connection
                       <- write(2) --- _unsent <--- encrypt --- TlsSocket.write <--

``read``, ``write`` and ``pass_range`` mean what the calls for a descriptor that does not block mean, so a connection
keeps them in place of those (``Sending.secure``) and is otherwise the same code. None of them waits for the client.

A record that the kernel has not taken whole must still be sent, but the connection has only the number of its bytes
that were taken to know by. So ``write`` leaves the last byte of such a record out of that number: the connection waits
until it can write, and begins with that byte, which is skipped then. Nothing is encrypted twice, and the connection
has something left to send exactly as long as this object has.

An end of file inside TLS (close_notify) may come in one read with the bytes before it, and the kernel reports it to
nobody. So reading is shut down then, and the poller reports an end of file as it does for a plain connection.

Python's ssl may crash if two threads use one object, and apps can send from any thread: each call holds a lock. A
signal handler of the app may send too, in the middle of a call by its own thread. It finds that the client takes
nothing, and what it sends waits its turn. One that raises there may have lost a record between two steps, so the
connection is broken: nothing can be read or written any more.

The file is long because reading, writing and the end share what is not sent yet.
"""

from __future__ import annotations

import logging
import os
from socket import SHUT_RD
from socket import socket as Socket
from ssl import MemoryBIO, SSLContext, SSLEOFError, SSLError, SSLWantReadError, SSLZeroReturnError
from threading import RLock
from typing import Any, Final

from poolctl.runtime.buffers.outbound import TURN_BYTES
from poolctl.runtime.system.calls import read, write

log = logging.getLogger("poolctl")
ENCRYPT_BYTES: Final = 64 * 1024  # bytes encrypted at once; a connection keeps a buffer of that size
ENCRYPTED_BYTES: Final = 4 * ENCRYPT_BYTES  # encrypted bytes kept for a client that goes on sending
RECORD_BYTES: Final = 16384  # most bytes in a record (RFC 8446, 5.1)
HANDSHAKE_BYTES: Final = 65536  # bytes read at once in a handshake


class TlsSocket:
    """The TLS of one client; its descriptor belongs to the caller. ``came``: the last ``read`` took encrypted bytes;
    ``full``: as many as it may, so that there may be more; ``broken``: a call has raised, and not because there was
    nothing to do."""

    __slots__ = (
        "_decrypt", "_encrypt", "_encrypted", "_fill", "_incoming", "_inside", "_outgoing", "_over", "_owed", "_tls",
        "_turn", "_unsent", "broken", "came", "full",
    )  # fmt: skip

    def __init__(self, context: SSLContext) -> None:
        self._incoming = MemoryBIO()
        self._outgoing = MemoryBIO()
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_side=True)
        self._turn = RLock()
        self._inside = False  # a call is under way
        self._unsent = b""  # encrypted, not yet taken by the client
        self._owed = False  # the first byte of the next write is in ``_unsent``, or was sent since
        self._over = False  # close_notify, or an alert, was sent
        self.came = self.full = self.broken = False
        # Methods looked up once: saves 3 % of a compiled request over TLS (docs/performance.md).
        self._fill, self._decrypt = self._incoming.write, self._tls.read
        self._encrypt, self._encrypted = self._tls.write, self._outgoing.read

    def shake(self, fd: int) -> bool:
        """Go on with the handshake. Returns whether it is complete; ``unsent`` says whether the client has to take
        something first. Raises BlockingIOError if the client has sent nothing, OSError (ssl's errors among them) if it
        has left or violates the protocol."""
        with self._turn:
            self._flush(fd)
            data = read(fd, HANDSHAKE_BYTES)
            if not data:
                raise ConnectionAbortedError("the client left")
            self._fill(data)
            try:
                self._tls.do_handshake()
            except SSLWantReadError:
                self._flush(fd)
                return False
            self._flush(fd)
            return True

    @property
    def unsent(self) -> bool:
        """Whether encrypted bytes wait for the client."""
        return bool(self._unsent)

    @property
    def certificate(self) -> Any:
        """The client's certificate, as ``SSLObject.getpeercert`` returns it."""
        return self._tls.getpeercert()

    def read(self, fd: int, size: int) -> bytes:
        """Return bytes of the client, decrypted: up to one record more than ``size`` if a part of one was kept; empty
        at its end of file. Raises BlockingIOError if there are none, OSError (ssl's errors among them) if the
        connection is broken or the client violates the protocol."""
        with self._turn:
            self._check()
            try:
                self._inside = True
                return self._read(fd, size)
            except BlockingIOError:
                raise
            except BaseException:
                self.broken = True
                raise
            finally:
                self._inside = False

    def _check(self) -> None:
        if self._inside:
            raise BlockingIOError("a signal handler has interrupted a call")
        if self.broken:
            raise ConnectionAbortedError("the TLS connection is broken")

    def _read(self, fd: int, size: int) -> bytes:
        self.came = self.full = False
        try:
            data = read(fd, size)
        except BlockingIOError:
            if not self._incoming.pending:
                raise
        else:
            if data:
                self._fill(data)
                self.came = True
                self.full = len(data) == size
            else:
                self._incoming.write_eof()
        try:
            plain = self._record(fd)
        except BlockingIOError:
            if self._outgoing.pending:
                self._answer(fd)
            raise
        # One more call, to learn by an exception that nothing is left, would cost more than all of this.
        if plain and self._incoming.pending:
            plain = self._records(fd, plain)
        if self._outgoing.pending:
            self._answer(fd)
        return plain

    def _record(self, fd: int) -> bytes:
        """Return the bytes of the next record; empty at the client's end of file. Raises as ``read`` does."""
        try:
            plain = self._decrypt(RECORD_BYTES)
        except SSLWantReadError:
            raise BlockingIOError("no complete record") from None
        except (SSLZeroReturnError, SSLEOFError):
            plain = b""
        if not plain:
            self._ended(fd)
        return plain

    def _records(self, fd: int, first: bytes) -> bytes:
        """Return ``first`` with the bytes of all complete records after it."""
        parts = [first]
        while parts[-1] and self._incoming.pending:
            try:
                parts.append(self._record(fd))
            except BlockingIOError:
                break
        return b"".join(parts)

    def _ended(self, fd: int) -> None:
        """The client sends no more: have the kernel report that."""
        sock = Socket(fileno=fd)
        try:
            sock.shutdown(SHUT_RD)
        except OSError:
            log.debug("the client closed the connection together with its TLS")
        finally:
            sock.detach()

    def _answer(self, fd: int) -> None:
        """Send what ssl answers by itself, as to a KeyUpdate. Raises OSError if too much of it waits for the client."""
        self._flush(fd)
        if len(self._unsent) > ENCRYPTED_BYTES:
            raise ConnectionAbortedError("the client asks for new keys, and does not take them")

    def write(self, fd: int, data: bytes | bytearray | memoryview) -> int:
        """Encrypt and send bytes. Returns how many need not be written again. Raises BlockingIOError if the client
        takes none, OSError if it has left."""
        with self._turn:  # as in read: one guard for both would be a call more for each
            self._check()
            try:
                self._inside = True
                return self._write(fd, data)
            except BlockingIOError:
                raise
            except BaseException:
                self.broken = True
                raise
            finally:
                self._inside = False

    def _write(self, fd: int, data: bytes | bytearray | memoryview) -> int:
        if self._unsent and not self._flush(fd):
            raise BlockingIOError("the client takes nothing")
        end = len(data)
        begin = 0
        if self._owed and end:
            self._owed = False
            begin = 1
        if 0 < end <= RECORD_BYTES and not begin:
            self._encrypt(data)
            self._flush(fd)
        else:
            end = self._pieces(fd, data, begin, min(end, begin + TURN_BYTES))
        if self._unsent:
            self._owed = True
            return end - 1
        return end

    def _pieces(self, fd: int, data: bytes | bytearray | memoryview, begin: int, end: int) -> int:
        """Encrypt and send ``data[begin:end]`` until the client is behind. Returns the end of what was encrypted."""
        while begin < end and not self._unsent:
            piece = data[begin : min(begin + ENCRYPT_BYTES, end)]  # a copy: a view would pin a bytearray
            begin += self._encrypt(piece)
            self._flush(fd)
        return begin

    def _flush(self, fd: int) -> bool:
        """Send encrypted bytes. Returns whether the client has taken all."""
        unsent = self._encrypted()
        if self._unsent:
            unsent = self._unsent + unsent
        if not unsent:
            return True
        try:
            count = write(fd, unsent)
        except BlockingIOError:
            count = 0
        if count == len(unsent):
            self._unsent = b""
            return True
        self._unsent = unsent[count:]
        return False

    def pass_range(self, fd: int, file: int, offset: int, count: int) -> int:
        """Encrypt and send a part of a regular file, at most ENCRYPT_BYTES. Returns how many bytes need not be passed
        again, 0 at the end of the file. Raises as ``write`` does, and OSError for the file."""
        data = os.pread(file, min(count, ENCRYPT_BYTES), offset)
        passed = self.write(fd, data)
        if data and not passed:
            raise BlockingIOError("the client takes nothing")
        return passed

    def end(self, words: bytes = b"") -> bytes:
        """Return the last encrypted bytes: those that wait, ``words``, and close_notify (RFC 8446, 6.1); after an
        error the alert about it. Empty if called again."""
        with self._turn:
            if self._over or self._inside:
                return b""
            self._over = True
            try:
                if words:
                    self._tls.write(words)
                self._tls.unwrap()
            except SSLError as error:
                log.debug("not waiting for the client's close_notify: %s", error)
            unsent, self._unsent = self._unsent, b""
            return unsent + self._outgoing.read()
