"""The bytes of a request that is still incomplete."""

from __future__ import annotations

import io
from typing import Any, BinaryIO, cast

from poolctl.runtime.buffers.temporary import temporary_file


class Spool:
    """Bytes in order of arrival: in memory up to a limit, beyond it in an unnamed temporary file."""

    __slots__ = ("_file", "_limit", "size")

    def __init__(self, limit: int) -> None:
        self.size = 0
        self._limit = limit
        self._file: Any = io.BytesIO()

    def write(self, data: bytes) -> None:
        """Append bytes. Raises OSError, for instance if the disk is full."""
        before = self.size
        self.size = before + len(data)
        if self.size > self._limit >= before:
            file = temporary_file()
            file.write(self._file.getbuffer())
            self._file = file
        self._file.write(data)

    def file(self) -> BinaryIO:
        """Return all bytes as a binary file, positioned at its start."""
        self._file.seek(0)
        return cast(BinaryIO, self._file)

    def whole(self) -> bytes | BinaryIO:
        """Return all bytes: as bytes if they are in memory, otherwise as a file positioned at its start."""
        if self.size <= self._limit:
            return cast(bytes, self._file.getvalue())
        return self.file()
