"""What a client has not read yet: a little in memory, more in an unnamed temporary file, and no more than that."""

from __future__ import annotations

import os
from typing import BinaryIO

from poolctl.errors import ClientGone
from poolctl.runtime.temporary import temporary_file

MEMORY = 256 * 1024  # bytes kept in memory for one client
DISK = 1024 * 1024 * 1024  # bytes kept on disk for one client; who lets more pile up is cut off
PIECE = 256 * 1024


class Outbound:
    """A queue of bytes for one connection, whose descriptor does not block. ``spool`` has what does not fit into
    memory, in the order of sending."""

    __slots__ = ("memory", "sent", "spool", "spooled")

    def __init__(self) -> None:
        self.memory = bytearray()
        self.spool: BinaryIO | None = None
        self.spooled = 0  # bytes written to the spool
        self.sent = 0  # bytes of the spool that were sent

    def add(self, data: bytes | memoryview) -> None:
        """Keep for later. Raises ClientGone when the client is too far behind."""
        if self.spool is None and len(self.memory) + len(data) <= MEMORY:
            self.memory += data
            return
        if self.spooled - self.sent + len(data) > DISK:
            raise ClientGone(f"more than {DISK} bytes behind")
        if self.spool is None:
            self.spool = temporary_file()
        self.spool.seek(self.spooled)
        self.spool.write(data)
        self.spool.flush()
        self.spooled += len(data)

    def flush(self, fd: int) -> bool:
        """Send what the client takes now; True when all of it has gone. Raises ClientGone."""
        try:
            while self.memory or self.spooled > self.sent:
                if not self.memory:
                    assert self.spool is not None  # something is spooled
                    self.memory += os.pread(self.spool.fileno(), PIECE, self.sent)
                    self.sent += len(self.memory)
                count = os.write(fd, self.memory)
                del self.memory[:count]
        except BlockingIOError:
            return False
        except OSError as error:
            raise ClientGone(str(error)) from error
        return True

    @property
    def left(self) -> int:
        """Bytes that the client has not taken."""
        return len(self.memory) + self.spooled - self.sent

    @property
    def empty(self) -> bool:
        """Whether nothing is left."""
        return not self.memory and self.sent >= self.spooled

    def take(self, size: int) -> bytes:
        """The next bytes, at most ``size``, for who sends them in a way of its own."""
        if not self.memory and self.spool is not None:
            self.memory += os.pread(self.spool.fileno(), PIECE, self.sent)
            self.sent += len(self.memory)
        data = bytes(self.memory[:size])
        del self.memory[:size]
        return data

    def to_file(self) -> BinaryIO:
        """All that is left, in a file that can be given to another process; this object is empty afterwards."""
        spool = self.spool or temporary_file()
        if self.memory or self.sent:
            rest = temporary_file()
            rest.write(self.memory)
            while self.sent < self.spooled:
                piece = os.pread(spool.fileno(), PIECE, self.sent)
                rest.write(piece)
                self.sent += len(piece)
            spool.close()
            spool = rest
        spool.flush()
        self.memory.clear()
        self.spool, self.spooled, self.sent = None, 0, 0
        return spool

    @classmethod
    def of_file(cls, fd: int) -> Outbound:
        """What another process left in a file, which is closed with this object."""
        outbound = cls()
        outbound.spool = os.fdopen(fd, "r+b", buffering=0)
        outbound.spooled = os.fstat(fd).st_size
        return outbound

    def close(self) -> None:
        """Forget what is left."""
        if self.spool is not None:
            self.spool.close()
            self.spool = None


class Sending:
    """The side of a response that an app sees as its Output: whatever the client does not take at once is kept."""

    __slots__ = ("began", "fd", "last", "outbound")

    fd: int

    def __init__(self) -> None:
        self.began = False
        self.last = False
        self.outbound: Outbound | None = None

    def send(self, data: bytes) -> None:
        """Send, or keep, all of it. Raises ClientGone when nobody reads any more."""
        self.began = True
        if self.outbound is None:
            try:
                count = os.write(self.fd, data)
            except BlockingIOError:
                count = 0
            except OSError as error:
                raise ClientGone(str(error)) from error
            if count == len(data):
                return
            self.outbound = Outbound()
            data = memoryview(data)[count:]  # type: ignore[assignment]
        self.outbound.add(data)
