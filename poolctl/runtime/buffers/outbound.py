"""Bytes that a client has not read yet: a few in memory, more in an unnamed temporary file, both bounded.

    memory | range | range | range ...       in the order of sending
             of the spool, or of a file that an app sends

A range is a part of a regular file: its bytes stay in the file until the client takes them, so a client that reads a
large file slowly costs a descriptor, but no memory and no copy. The spool is such a file for bytes that an app made.
The file is long because what waits, and what sends it, share one state.
"""

from __future__ import annotations

import logging
import os
from collections import deque
from collections.abc import Callable
from os import close, pread, pwrite
from typing import BinaryIO, Final, Protocol

from mypy_extensions import mypyc_attr

from poolctl.errors import ClientGone
from poolctl.runtime.buffers.file_range import COPY_BYTES, OF_THE_FILE, Range, pass_range, shorter
from poolctl.runtime.buffers.observer import Observer
from poolctl.runtime.buffers.temporary import temporary_file
from poolctl.runtime.system.calls import write

log = logging.getLogger("poolctl")
MEMORY_BYTES: Final = 256 * 1024  # bytes kept in memory for one client
DISK_BYTES: Final = 1024 * 1024 * 1024  # bytes kept in the spool for one client; beyond that it is disconnected
TURN_BYTES: Final = 1024 * 1024  # bytes sent to one client before other clients have their turn
FILES: Final = 8  # files that are kept open for one client
RANGES: Final = 256  # ranges kept for one client; beyond that, the bytes of a file are copied


class SecureSocket(Protocol):
    """TLS on the descriptor of a connection: what the system calls for a descriptor that does not block do."""

    @property
    def came(self) -> bool:
        """Whether the last ``read`` took encrypted bytes, though it may not have returned any yet."""

    @property
    def full(self) -> bool:
        """Whether the last ``read`` took as many encrypted bytes as it may, so that there may be more."""

    @property
    def broken(self) -> bool:
        """Whether nothing can be read or written any more, since a call has raised."""

    def read(self, fd: int, size: int) -> bytes:
        """As read(2)."""

    def write(self, fd: int, data: bytes | bytearray | memoryview) -> int:
        """As write(2), but the next call must begin with the bytes that this one did not take."""

    def pass_range(self, fd: int, file: int, offset: int, count: int) -> int:
        """As ``file_range.pass_range``, with the same condition."""

    def end(self, words: bytes = b"") -> bytes:
        """Return the last bytes for the client, ``words`` among them, as they are to be sent."""


class Outbound:
    """A queue of bytes for one connection with a non-blocking descriptor."""

    __slots__ = ("_end", "_files", "behind", "memory", "ranges", "spool", "spooled")

    def __init__(self) -> None:
        self.memory = bytearray()
        self.ranges: deque[Range] = deque()
        self.behind = 0  # bytes of all ranges
        self.spool: BinaryIO | None = None
        self.spooled = 0  # bytes of the spool that remain to be sent
        self._end = 0  # offset in the spool of the next bytes
        self._files: list[int] = []  # descriptors of other files, closed with this object

    def add(self, data: bytes | bytearray | memoryview) -> None:
        """Keep bytes for later. Raises ClientGone if the client is too far behind."""
        if not self.ranges and len(self.memory) + len(data) <= MEMORY_BYTES:
            self.memory += data
            return
        if not data:
            return
        if self.spooled + len(data) > DISK_BYTES:
            raise ClientGone(f"more than {DISK_BYTES} bytes behind")
        self._spool(data)
        assert self.spool is not None  # since then
        number, end = self.spool.fileno(), self._end - len(data)
        last = self.ranges[-1] if self.ranges else None
        if last is not None and last.file == number and last.offset + last.left == end:
            last.left += len(data)
        else:
            self.ranges.append(Range(number, end, len(data)))

    def add_file(self, file: int, offset: int, count: int) -> None:
        """Keep a range of a regular file for later. The caller may close the descriptor afterwards. Raises ClientGone
        as ``add`` does."""
        kept = self._keep(file) if count and len(self.ranges) < RANGES else None
        if kept is not None:
            self.ranges.append(Range(kept, offset, count))
            self.behind += count
            return
        while count:
            piece = pread(file, min(count, COPY_BYTES), offset)
            if not piece:
                raise shorter()
            self.add(piece)
            offset += len(piece)
            count -= len(piece)

    def flush(self, fd: int, tls: SecureSocket | None = None) -> bool:
        """Send what the client takes now, at most TURN_BYTES or one write more. Returns whether nothing is left. Raises
        ClientGone."""
        turn = TURN_BYTES
        send = write if tls is None else tls.write
        send_range = pass_range if tls is None else tls.pass_range
        try:
            while turn > 0:
                if self.memory:
                    count = send(fd, self.memory)
                    del self.memory[:count]
                elif self.ranges:
                    count = send_range(fd, self.ranges[0].file, self.ranges[0].offset, min(self.ranges[0].left, turn))
                    self._advance(count)
                else:
                    return True
                turn -= count
        except BlockingIOError:
            return False
        except OSError as error:
            if error.errno in OF_THE_FILE:
                log.error("cannot read a file that is being sent: %s", error)
            raise ClientGone(str(error)) from error
        return self.empty

    @property
    def left(self) -> int:
        """Bytes that the client has not taken."""
        return len(self.memory) + self.behind

    @property
    def empty(self) -> bool:
        """Whether no bytes are left."""
        return not self.memory and not self.ranges

    def take(self, size: int) -> bytes:
        """Remove and return the next bytes, at most ``size``, for callers with their own way to send them. Raises
        ClientGone if a file has become shorter."""
        if not self.memory and self.ranges:
            first = self.ranges[0]
            data = pread(first.file, min(size, first.left), first.offset)
            self._advance(len(data))
            return data
        data = bytes(self.memory[:size])
        del self.memory[:size]
        return data

    def to_parts(self) -> tuple[list[tuple[int, int, int]], list[int]]:
        """Return all that is left, for another process to send: a list of ranges (index of the file, offset, bytes), at
        most RANGES + 2; and the descriptors of the files, at most FILES + 1, which stay open until this object is
        closed."""
        if self.memory:
            self._spool(self.memory)
            assert self.spool is not None  # since then
            size = len(self.memory)
            self.ranges.appendleft(Range(self.spool.fileno(), self._end - size, size))
            self.memory.clear()
        files = list(dict.fromkeys(each.file for each in self.ranges))
        return [(files.index(each.file), each.offset, each.left) for each in self.ranges], files

    @classmethod
    def of_parts(cls, parts: list[tuple[int, int, int]], files: list[int]) -> Outbound:
        """Make an Outbound of the parts that another process left. The descriptors are closed with this object."""
        outbound = cls()
        outbound._files = files
        outbound.ranges.extend(Range(files[which], offset, left) for which, offset, left in parts)
        outbound.behind = sum(left for _, _, left in parts)
        return outbound

    def close(self) -> None:
        """Drop what is left, and close its files."""
        self.memory.clear()
        self.ranges.clear()
        self.behind = self.spooled = self._end = 0
        if self.spool is not None:
            self.spool.close()
            self.spool = None
        for file in self._files:
            close(file)
        self._files = []

    def _spool(self, data: bytes | bytearray | memoryview) -> None:
        """Write to the end of the spool. Raises ClientGone if that fails: out of file descriptors, or the disk is
        full."""
        try:
            if self.spool is None:
                self.spool = temporary_file()
            elif not self.spooled:
                self._end = 0  # all of it was sent
            view = memoryview(data)
            while view:
                count = pwrite(self.spool.fileno(), view, self._end)
                self._end += count
                view = view[count:]
        except OSError as error:
            log.error("dropped the rest of a response: its client reads slowly, and it cannot be kept: %s", error)
            raise ClientGone("the rest of the response cannot be kept") from error
        self.spooled += len(data)
        self.behind += len(data)

    def _keep(self, file: int) -> int | None:
        """Return our own descriptor for a file: that of the last file if it is the same, otherwise a new one; None if
        there are too many."""
        if self._files and os.path.sameopenfile(self._files[-1], file):
            return self._files[-1]
        if len(self._files) >= FILES:
            return None
        self._files.append(os.dup(file))
        return self._files[-1]

    def _advance(self, count: int) -> None:
        first = self.ranges[0]
        first.advance(count)
        self.behind -= count
        if self.spool is not None and first.file == self.spool.fileno():
            self.spooled -= count
        if not first.left:
            self.ranges.popleft()


@mypyc_attr(allow_interpreted_subclasses=True)
class Sending:
    """The sending half of a connection, an app's Output: bytes that the client does not take at once are kept.

    ``write``: the call for its descriptor; with TLS that of ``tls``, as nginx keeps it in a connection.
    """

    __slots__ = ("began", "fd", "last", "observer", "outbound", "tls", "write")

    fd: int
    write: Callable[[int, bytes], int]
    tls: SecureSocket | None

    def __init__(self, observer: Observer | None = None) -> None:
        self.began = False
        self.last = False
        self.outbound: Outbound | None = None
        self.observer = observer
        self.write = write
        self.tls = None

    def send(self, data: bytes) -> None:
        """Send ``data``, or keep what the client does not take. Raises ClientGone if the client has left."""
        if self.observer is not None:
            if self.began:
                self.observer.more(len(data))
            else:
                self.observer.first(data)
        self.began = True
        if self.outbound is None:
            write = self.write  # by a name, as Connection.on_event
            try:
                count = write(self.fd, data)
            except BlockingIOError:
                count = 0
            except OSError as error:
                raise ClientGone(str(error)) from error
            if count < len(data):
                self.outbound = Outbound()
                self.outbound.add(memoryview(data)[count:])
        else:
            self.outbound.add(data)

    def catch_up(self) -> bool:
        """Send what the client takes now of the kept bytes; once all are sent ``outbound`` is None. Returns whether the
        client took any. Raises ClientGone."""
        outbound = self.outbound
        assert outbound is not None  # otherwise the connection would not wait for OUT
        before = outbound.left
        if not outbound.flush(self.fd, self.tls):
            return outbound.left != before
        outbound.close()
        self.outbound = None
        return True

    def discard(self) -> None:
        """Drop what the client has not taken: the response will not be completed."""
        outbound, self.outbound = self.outbound, None
        if outbound is not None:
            outbound.close()

    def send_file(self, file: int, offset: int, count: int) -> None:
        """Send, or keep, ``count`` bytes of a regular file; the caller may close its descriptor afterwards. Raises
        ClientGone if the client has left, OSError if the file cannot be read."""
        if self.observer is not None:
            if not self.began:
                self.observer.first(b"")
            self.observer.more(count)
        self.began = True
        if self.outbound is None:
            try:
                send_range = pass_range if self.tls is None else self.tls.pass_range
                sent = send_range(self.fd, file, offset, min(count, TURN_BYTES))
            except BlockingIOError:
                sent = 0
            except OSError as error:
                if error.errno in OF_THE_FILE:
                    raise
                raise ClientGone(str(error)) from error
            else:
                if not sent and count:
                    raise shorter()
            if sent == count:
                return
            self.outbound = Outbound()
            offset += sent
            count -= sent
        self.outbound.add_file(file, offset, count)
