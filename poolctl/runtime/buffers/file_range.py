"""A part of a regular file on its way to a client, by sendfile(2) where that is possible."""

from __future__ import annotations

import errno
import logging
import os

from poolctl.errors import ClientGone

log = logging.getLogger("poolctl")
PIECE = 256 * 1024  # bytes that are read at once, where they have to be
NO_SENDFILE = (errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP)  # not from this file, or not to this descriptor
OF_THE_FILE = (errno.EIO, errno.EBADF, errno.EISDIR, errno.ESPIPE)  # errors that are no fault of the client


def pass_range(fd: int, file: int, offset: int, count: int) -> int:
    """Send up to ``count`` bytes of a regular file; how many, 0 at its end. The one place where a range becomes bytes.

    Raises BlockingIOError, and OSError of either side.
    """
    try:
        return os.sendfile(fd, file, offset, count)
    except OSError as error:
        if error.errno not in NO_SENDFILE:
            raise
    return os.write(fd, os.pread(file, min(count, PIECE), offset))


def read_range(file: int, offset: int, count: int) -> bytes:
    """``count`` bytes of a regular file, fewer at its end. Raises OSError when it cannot be read."""
    return os.pread(file, count, offset)


class Range:
    """A part of a file that is still to be sent."""

    __slots__ = ("file", "left", "offset")

    def __init__(self, file: int, offset: int, left: int) -> None:
        self.file = file
        self.offset = offset
        self.left = left

    def advance(self, count: int) -> None:
        """So many bytes were sent. Raises ClientGone at the end of the file: a client that was promised more must be
        able to tell."""
        if not count:
            raise shorter()
        self.offset += count
        self.left -= count


def shorter() -> ClientGone:
    """What is raised, and said, when a file ends before what was promised of it."""
    log.warning("a file became shorter while it was sent: its client is cut off")
    return ClientGone("the file became shorter")
