"""Looking up files below a folder, with no way out of it.

Each name of a path is opened separately, relative to the descriptor of the folder reached so far, and never through a
symbolic link (O_NOFOLLOW). The target of a link is read and walked in the same way; its ``..`` leads back to a folder
that is already open, and never above the served one. So whatever is renamed or replaced meanwhile, no step can end
outside; the kernel never resolves more than one name at a time.
"""

from __future__ import annotations

import errno
import os
import stat
from typing import NamedTuple

LINKS = 40  # symbolic links followed for one path, as in Linux
PATH_NAMES = 256  # names walked for one path, those of its links included
FOLDER_FLAGS = os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
PASSING_FLAGS = FOLDER_FLAGS | getattr(os, "O_PATH", os.O_RDONLY)  # only the right to enter is needed
FILE_FLAGS = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY
ABSENT = (errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ENAMETOOLONG, errno.ENXIO, errno.EINVAL, errno.ENODEV)


class Found(NamedTuple):
    """A regular file or a folder, open for reading. The receiver closes it."""

    file: int
    status: os.stat_result

    @property
    def is_folder(self) -> bool:
        return stat.S_ISDIR(self.status.st_mode)


def find(folder: str, names: list[bytes]) -> Found | None:
    """Return the file or folder at this path below ``folder``; None if there is none, or it cannot be served.

    Raises PermissionError if it may not be read, and OSError for failures that are not due to the path.
    """
    opened: list[int] = []
    try:
        # opened each time, so that the folder can be replaced
        opened.append(os.open(folder, PASSING_FLAGS & ~os.O_NOFOLLOW))
        return _walk(opened, names)
    except OSError as error:
        if error.errno in ABSENT:
            return None
        raise
    finally:
        for file in opened:
            os.close(file)


def _walk(opened: list[int], names: list[bytes]) -> Found | None:
    """``opened``: the descriptor of the folder, to which those opened below it are added; the caller closes them."""
    reached = opened.copy()  # the folders from the top to here
    left = names[::-1]
    links = steps = 0
    while left:
        steps += 1
        name = left.pop()
        if steps > PATH_NAMES:
            return None
        if name in (b"", b"."):
            continue
        if name == b"..":  # only links contain it
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
            opened.append(os.open(name, PASSING_FLAGS, dir_fd=reached[-1]))
            reached.append(opened[-1])
        elif stat.S_ISREG(mode):
            return _open(name, FILE_FLAGS, reached[-1]) if not left else None
        else:
            return None  # a device, FIFO or socket: opening one may block or have side effects
    return _open(b".", FILE_FLAGS | os.O_DIRECTORY, reached[-1])


def _open(name: bytes, flags: int, folder: int) -> Found | None:
    """Open a name and check its type again, as it may have been replaced since the check by name."""
    file = os.open(name, flags, dir_fd=folder)
    status = os.fstat(file)
    if stat.S_ISREG(status.st_mode) or stat.S_ISDIR(status.st_mode):
        return Found(file, status)
    os.close(file)
    return None
