"""``wsgi.file_wrapper`` (PEP 3333, "Optional Platform-Specific File Handling")."""

from __future__ import annotations

import io
import os
import stat
import tempfile
from typing import Any, Final

BLOCK_BYTES: Final = 8192  # bytes, as in PEP 3333's example
BUFFERED: Final = (io.BufferedReader, io.BufferedRandom)


class FileWrapper:
    """The blocks of a file, for an app to return. Middleware can iterate over it. If it reaches the server and the file
    is regular, the kernel sends the file from its current position to its end. It is closed in either case."""

    def __init__(self, filelike: Any, block_size: int = BLOCK_BYTES) -> None:
        self.filelike = filelike
        self.block_size = block_size

    def __iter__(self) -> FileWrapper:
        return self

    def __next__(self) -> Any:
        data = self.filelike.read(self.block_size)
        if data:
            return data
        raise StopIteration

    def close(self) -> None:
        """Close the file, if it has a ``close``."""
        close = getattr(self.filelike, "close", None)
        if close is not None:
            close()


def regular(filelike: Any) -> tuple[int, int, int] | None:
    """Return (descriptor, position, bytes from there to the end) of a regular file; None for anything else.

    Accepts only files of ``io`` that read the bytes of their descriptor: a ``GzipFile`` has a ``fileno`` too, but reads
    different bytes. Files of size 0 are read, as those in /proc may have content all the same.
    """
    if isinstance(filelike, tempfile._TemporaryFileWrapper):
        filelike = filelike.file
    kind = type(filelike)
    if not (kind is io.FileIO or (kind in BUFFERED and type(filelike.raw) is io.FileIO)) or filelike.closed:
        return None
    try:
        if kind is io.BufferedRandom:
            filelike.flush()
        file: int = filelike.fileno()
        status = os.fstat(file)
        position = filelike.tell()
    except OSError:  # reading the file will raise the error, if there is one
        return None
    if not stat.S_ISREG(status.st_mode) or not filelike.readable():
        return None
    size = status.st_size - position
    return (file, position, size) if size > 0 else None
