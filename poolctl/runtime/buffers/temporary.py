"""Unnamed temporary files, for bytes that are too many to keep in memory; where no directory takes one, memory after
all (memfd_create(2)), within the same limits."""

from __future__ import annotations

import errno
import io
import os
import tempfile
from typing import BinaryIO


class _QuietFile(io.FileIO):
    """Closed with its last reference, and that is how it is meant: a client may leave at any byte of a body."""

    def _dealloc_warn(self, source: object) -> None:
        """What a buffered file calls when it is dropped while open."""

    def __del__(self) -> None:
        self.close()


INLINE = 64 * 1024  # a larger request travels as a file


# What says that a directory takes no files at all, now or any more; a full disk may have room again.
CLOSED = {errno.ENOENT, errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR}


def forget_directory() -> None:
    """Look for the temporary directory again: the one that tempfile remembers was another user's, or of another
    TMPDIR."""
    tempfile.tempdir = None


def directory() -> str:
    """Where temporary files of this process go; empty where no directory takes any, so that memory does."""
    try:
        return tempfile.gettempdir()
    except OSError as error:
        if error.errno not in CLOSED:
            raise
        return ""


def unnamed(name: str) -> int:
    """The descriptor of an unnamed file, in the temporary directory or in memory. Raises OSError, for a full disk."""
    try:
        with tempfile.TemporaryFile(prefix=f"{name}-") as file:
            return os.dup(file.fileno())
    except OSError as error:
        if error.errno not in CLOSED:
            raise
        return os.memfd_create(name)


def temporary_file() -> BinaryIO:
    """An unnamed temporary file to read and write. Raises OSError, for a full disk."""
    return io.BufferedRandom(_QuietFile(unnamed("poolctl"), "r+b"))


def inline_or_file(data: bytes) -> bytes | BinaryIO:
    """A request as it travels from a front to a worker: in a file, positioned at its start, where it is larger than 64
    KiB."""
    if len(data) <= INLINE:
        return data
    file = temporary_file()
    file.write(data)
    file.seek(0)
    return file
