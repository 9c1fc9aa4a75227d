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


def temporary_file() -> BinaryIO:
    """An unnamed temporary file to read and write."""
    with tempfile.TemporaryFile(prefix="poolctl-") as file:
        return io.BufferedRandom(_QuietFile(os.dup(file.fileno()), "r+b"))
