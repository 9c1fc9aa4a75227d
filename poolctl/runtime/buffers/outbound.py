"""What a client has not read yet: a little in memory, more in an unnamed temporary file, and no more than that.

    memory | range | range | range ...       in the order of sending
             of the spool, or of a file that an app sends

A range is a part of a regular file: its bytes stay where they are until the client takes them, so a client that reads a
large file slowly costs a descriptor, no memory and no copy. The spool is such a file too, for bytes that an app made.
"""

from __future__ import annotations

import logging
import os
from collections import deque
from os import close, pread, pwrite, write
from typing import BinaryIO, Final

from poolctl.errors import ClientGone
from poolctl.runtime.buffers.file_range import OF_THE_FILE, PIECE, Range, pass_range, shorter
from poolctl.runtime.buffers.observer import Observer
from poolctl.runtime.buffers.temporary import temporary_file

log = logging.getLogger("poolctl")
MEMORY: Final = 256 * 1024  # bytes kept in memory for one client
DISK: Final = 1024 * 1024 * 1024  # bytes kept in the spool for one client; who lets more pile up is cut off
TURN: Final = 1024 * 1024  # bytes sent to one client before others have their turn
FILES: Final = 8  # files that are kept for one client
RANGES: Final = 256  # ranges of them; what is more is copied


class Outbound:
    """A queue of bytes for one connection, whose descriptor does not block."""

    __slots__ = ("_end", "_files", "behind", "memory", "ranges", "spool", "spooled")

    def __init__(self) -> None:
        self.memory = bytearray()
        self.ranges: deque[Range] = deque()
        self.behind = 0  # bytes of all ranges
        self.spool: BinaryIO | None = None
        self.spooled = 0  # bytes of it that are still to be sent
        self._end = 0  # where the next bytes are spooled
        self._files: list[int] = []  # descriptors of other files, closed with this object

    def add(self, data: bytes | bytearray | memoryview) -> None:
        """Keep for later. Raises ClientGone when the client is too far behind."""
        if not self.ranges and len(self.memory) + len(data) <= MEMORY:
            self.memory += data
            return
        if not data:
            return
        if self.spooled + len(data) > DISK:
            raise ClientGone(f"more than {DISK} bytes behind")
        self._spool(data)
        assert self.spool is not None  # since then
        number, end = self.spool.fileno(), self._end - len(data)
        last = self.ranges[-1] if self.ranges else None
        if last is not None and last.file == number and last.offset + last.left == end:
            last.left += len(data)
        else:
            self.ranges.append(Range(number, end, len(data)))

    def add_file(self, file: int, offset: int, count: int) -> None:
        """Keep a range of a regular file for later. The descriptor may be closed afterwards."""
        kept = self._keep(file) if count and len(self.ranges) < RANGES else None
        if kept is not None:
            self.ranges.append(Range(kept, offset, count))
            self.behind += count
            return
        while count:
            piece = pread(file, min(count, PIECE), offset)
            if not piece:
                raise shorter()
            self.add(piece)
            offset += len(piece)
            count -= len(piece)

    def flush(self, fd: int) -> bool:
        """Send what the client takes now, or as much as its turn allows; True when all of it has gone. Raises
        ClientGone."""
        turn = TURN
        try:
            while turn > 0:
                if self.memory:
                    count = write(fd, self.memory)
                    del self.memory[:count]
                elif self.ranges:
                    count = pass_range(fd, self.ranges[0].file, self.ranges[0].offset, min(self.ranges[0].left, turn))
                    self._advance(count)
                else:
                    return True
                turn -= count
        except BlockingIOError:
            return False
        except OSError as error:
            if error.errno in OF_THE_FILE:
                log.error("cannot read what is to be sent: %s", error)
            raise ClientGone(str(error)) from error
        return self.empty

    @property
    def left(self) -> int:
        """Bytes that the client has not taken."""
        return len(self.memory) + self.behind

    @property
    def empty(self) -> bool:
        """Whether nothing is left."""
        return not self.memory and not self.ranges

    def take(self, size: int) -> bytes:
        """The next bytes, at most ``size``, for who sends them in a way of its own. Raises ClientGone when a file has
        become shorter."""
        if not self.memory and self.ranges:
            first = self.ranges[0]
            data = pread(first.file, min(size, first.left), first.offset)
            self._advance(len(data))
            return data
        data = bytes(self.memory[:size])
        del self.memory[:size]
        return data

    def to_parts(self) -> tuple[list[tuple[int, int, int]], list[int]]:
        """All that is left, for another process to go on with: (which file, offset, bytes) of each range, and the
        files' descriptors, which stay open until this object is closed. At most RANGES + 2 of FILES + 1 files."""
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
        """What another process left. The descriptors are closed with this object."""
        outbound = cls()
        outbound._files = files
        outbound.ranges.extend(Range(files[which], offset, left) for which, offset, left in parts)
        outbound.behind = sum(left for _, _, left in parts)
        return outbound

    def close(self) -> None:
        """Forget what is left."""
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
        """Write to the end of the spool. Raises ClientGone when the system has no room for what the client does not
        take: no descriptor is free, or the disk is full."""
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
            log.error("a response is cut, for its client is slow and there is nowhere to keep the rest: %s", error)
            raise ClientGone("there is nowhere to keep what the client does not take") from error
        self.spooled += len(data)
        self.behind += len(data)

    def _keep(self, file: int) -> int | None:
        """A descriptor of our own for a file, the one that there is if it is the last file that was kept; None when
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


class Sending:
    """The side of a response that an app sees as its Output: whatever the client does not take at once is kept."""

    __slots__ = ("began", "fd", "last", "observer", "outbound")

    fd: int

    def __init__(self, observer: Observer | None = None) -> None:
        self.began = False
        self.last = False
        self.outbound: Outbound | None = None
        self.observer = observer

    def send(self, data: bytes) -> None:
        """Send, or keep, all of it. Raises ClientGone when nobody reads any more."""
        if self.observer is not None:
            if self.began:
                self.observer.more(len(data))
            else:
                self.observer.first(data)
        self.began = True
        if self.outbound is None:
            try:
                count = write(self.fd, data)
            except BlockingIOError:
                count = 0
            except OSError as error:
                raise ClientGone(str(error)) from error
            if count == len(data):
                return
            self.outbound = Outbound()
            data = memoryview(data)[count:]  # type: ignore[assignment]
        self.outbound.add(data)

    def catch_up(self) -> bool:
        """Send what the client takes now of what was kept; whether it took any. With all of it ``outbound`` is gone.
        Raises ClientGone."""
        outbound = self.outbound
        assert outbound is not None  # that is why the connection waits for OUT
        before = outbound.left
        if not outbound.flush(self.fd):
            return outbound.left != before
        outbound.close()
        self.outbound = None
        return True

    def send_file(self, file: int, offset: int, count: int) -> None:
        """Send, or keep, ``count`` bytes of a regular file; its descriptor may be closed afterwards. Raises ClientGone
        when nobody reads any more, OSError when the file cannot be read."""
        if self.observer is not None:
            if not self.began:
                self.observer.first(b"")
            self.observer.more(count)
        self.began = True
        if self.outbound is None:
            try:
                sent = pass_range(self.fd, file, offset, min(count, TURN))
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
