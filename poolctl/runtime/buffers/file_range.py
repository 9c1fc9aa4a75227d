"""A part of a regular file on its way to a client, with sendfile(2) where possible."""

from __future__ import annotations

import errno
import logging
import os

from poolctl.errors import ClientGone

log = logging.getLogger("poolctl")
COPY_BYTES = 256 * 1024  # bytes read at once where sendfile(2) is impossible
NO_SENDFILE = (errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP)  # impossible from this file or to this descriptor
OF_THE_FILE = (errno.EIO, errno.EBADF, errno.EISDIR, errno.ESPIPE)  # errors of the file, not of the client


def pass_range(fd: int, file: int, offset: int, count: int) -> int:
    """Send up to ``count`` bytes of a regular file. Returns the number of bytes sent, 0 at the end of the file. The
    only place that sends a range.

    Raises BlockingIOError, and OSError for the file or for the client.
    """
    try:
        return os.sendfile(fd, file, offset, count)
    except OSError as error:
        if error.errno not in NO_SENDFILE:
            raise
    return os.write(fd, os.pread(file, min(count, COPY_BYTES), offset))


def read_range(file: int, offset: int, count: int) -> bytes:
    """Return ``count`` bytes of a regular file, fewer at its end. Raises OSError if the file cannot be read."""
    return os.pread(file, count, offset)


class Range:
    """A part of a file that remains to be sent."""

    __slots__ = ("file", "left", "offset")

    def __init__(self, file: int, offset: int, left: int) -> None:
        self.file = file
        self.offset = offset
        self.left = left

    def advance(self, count: int) -> None:
        """Note that ``count`` bytes were sent. Raises ClientGone for 0, the end of the file, so that the connection
        ends and a client that was promised more notices."""
        if not count:
            raise shorter()
        self.offset += count
        self.left -= count


def shorter() -> ClientGone:
    """Log that a file ended before its promised length, and return the exception to raise."""
    log.warning("a file was truncated while it was being sent; closing the connection")
    return ClientGone("the file was truncated")
