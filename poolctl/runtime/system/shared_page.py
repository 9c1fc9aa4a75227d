"""Memory that processes share: all that are forked later, and programs that are given its descriptor."""

from __future__ import annotations

import mmap
import os

CELLS = 8  # of 64 bits, signed
_BYTES = 8 * CELLS


class SharedPage:
    """Some cells, 0 at first. One process writes to a cell, every process reads it. ``fd``: of the memory, in the
    process that made or opened it; -1: it has no descriptor, so only processes forked later share it."""

    def __init__(self, fd: int = -1) -> None:
        """``fd``: the descriptor that another process had from ``named``, which this object then owns."""
        self.fd = fd
        self.cells = memoryview(mmap.mmap(fd, _BYTES)).cast("q")

    @classmethod
    def named(cls) -> SharedPage:
        """Return new memory that has a descriptor. Raises OSError."""
        fd = os.memfd_create("poolctl-shared")
        os.ftruncate(fd, _BYTES)
        return cls(fd)

    def close_descriptor(self) -> None:
        """In a forked process, which passes it to nobody."""
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1
