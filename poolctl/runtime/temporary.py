"""Unnamed temporary files, for bytes that are too many to keep in memory."""

from __future__ import annotations

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


def temporary_file() -> BinaryIO:
    """An unnamed temporary file to read and write."""
    with tempfile.TemporaryFile(prefix="poolctl-") as file:
        return io.BufferedRandom(_QuietFile(os.dup(file.fileno()), "r+b"))


def inline_or_file(data: bytes) -> bytes | BinaryIO:
    """A request as it travels from a front to a worker: in a file, positioned at its start, where it is larger than 64
    KiB."""
    if len(data) <= INLINE:
        return data
    file = temporary_file()
    file.write(data)
    file.seek(0)
    return file
