"""A folder that nobody gets out of.

Each name of a path is opened by itself, relative to the descriptor of the folder that was reached, and never through a
symbolic link (O_NOFOLLOW). A link is read and its names are walked in the same way, with ``..`` leading back to a
folder that is held open already, at the highest to the folder itself. So whatever is renamed or replaced meanwhile, no
step can end outside; the kernel is never asked to resolve more than one name.
"""

from __future__ import annotations

import errno
import os
import stat
from typing import NamedTuple

LINKS = 40  # that are followed for one path, as in Linux
NAMES = 256  # of one path, those of its links included
FOLDER = os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
PASSING = FOLDER | getattr(os, "O_PATH", os.O_RDONLY)  # the right to pass is enough
READING = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY
ABSENT = (errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ENAMETOOLONG, errno.ENXIO, errno.EINVAL, errno.ENODEV)


class Found(NamedTuple):
    """A regular file or a folder, open for reading; who gets it closes it."""

    file: int
    status: os.stat_result

    @property
    def is_folder(self) -> bool:
        return stat.S_ISDIR(self.status.st_mode)


def find(folder: str, names: list[bytes]) -> Found | None:
    """What is at these names below a folder; None when there is nothing, or nothing that may be served.

    Raises PermissionError where it may not be read, and OSError for what is no fault of the path.
    """
    opened: list[int] = []
    try:
        opened.append(os.open(folder, PASSING & ~os.O_NOFOLLOW))  # each time, so that it can be replaced as a whole
        return _walk(opened, names)
    except OSError as error:
        if error.errno in ABSENT:
            return None
        raise
    finally:
        for file in opened:
            os.close(file)


def _walk(opened: list[int], names: list[bytes]) -> Found | None:
    """``opened`` has the folder, and gets what is opened below it, for the caller to close."""
    reached = opened.copy()  # the folders from the top to here
    left = names[::-1]
    links = steps = 0
    while left:
        steps += 1
        name = left.pop()
        if steps > NAMES:
            return None
        if name in (b"", b"."):
            continue
        if name == b"..":  # of a link only
            if len(reached) == 1:
                return None
            reached.pop()
            continue
        mode = os.lstat(name, dir_fd=reached[-1]).st_mode
        if stat.S_ISLNK(mode):
            links += 1
            target = os.readlink(name, dir_fd=reached[-1])
            if links > LINKS or target.startswith(b"/"):
                return None
            left += target.split(b"/")[::-1]
        elif stat.S_ISDIR(mode):
            opened.append(os.open(name, PASSING, dir_fd=reached[-1]))
            reached.append(opened[-1])
        elif stat.S_ISREG(mode):
            return _open(name, READING, reached[-1]) if not left else None
        else:
            return None  # a device, a FIFO, a socket: opening one may wait, or do something
    return _open(b".", READING | os.O_DIRECTORY, reached[-1])


def _open(name: bytes, flags: int, folder: int) -> Found | None:
    """What was looked at may have been replaced since, so the look that counts is at what was opened."""
    file = os.open(name, flags, dir_fd=folder)
    status = os.fstat(file)
    if stat.S_ISREG(status.st_mode) or stat.S_ISDIR(status.st_mode):
        return Found(file, status)
    os.close(file)
    return None
