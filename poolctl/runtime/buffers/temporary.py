"""Unnamed temporary files, for data too large to keep in memory. If no directory accepts files, they are in memory
after all (memfd_create(2)), within the same limits."""

from __future__ import annotations

import errno
import io
import os
import tempfile
from typing import BinaryIO


class _QuietFile(io.FileIO):
    """A file that is closed with its last reference, without a warning: a client may leave at any byte of a body."""

    def _dealloc_warn(self, source: object) -> None:
        """Called by a buffered file that is dropped while open."""

    def __del__(self) -> None:
        self.close()


INLINE_BYTES = 64 * 1024  # a larger request travels as a file


# Errors for which a directory accepts no files at all; a full disk is not one of them, as it may have room again.
NO_FILE_ERRORS = {errno.ENOENT, errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR}


def forget_directory() -> None:
    """Make tempfile look for the temporary directory again: the cached one was found for another user or TMPDIR."""
    tempfile.tempdir = None


def directory() -> str:
    """The directory for temporary files of this process; empty if none accepts files, so that they go to memory."""
    try:
        return tempfile.gettempdir()
    except OSError as error:
        if error.errno not in NO_FILE_ERRORS:
            raise
        return ""


def unnamed(name: str) -> int:
    """Return the descriptor of a new unnamed file, in the temporary directory or in memory. Raises OSError, for
    instance if the disk is full."""
    try:
        with tempfile.TemporaryFile(prefix=f"{name}-") as file:
            return os.dup(file.fileno())
    except OSError as error:
        if error.errno not in NO_FILE_ERRORS:
            raise
        return os.memfd_create(name)


def temporary_file() -> BinaryIO:
    """Return a new unnamed temporary file to read and write. Raises OSError, for instance if the disk is full."""
    return io.BufferedRandom(_QuietFile(unnamed("poolctl"), "r+b"))


def inline_or_file(data: bytes) -> bytes | BinaryIO:
    """Return a request as it travels from a front to a worker: as bytes, or if it is larger than INLINE_BYTES as
    a file, positioned at its start. Raises OSError."""
    if len(data) <= INLINE_BYTES:
        return data
    file = temporary_file()
    file.write(data)
    file.seek(0)
    return file
