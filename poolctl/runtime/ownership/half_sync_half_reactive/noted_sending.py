"""Sending on a lent connection, with a note before the first byte.

The note is a bit of the ticket in the worker's row. A worker that dies after it must not cause a second answer: the
front closes such a connection, and answers 502 on every other one. For both executors, which is why it stands apart.
"""

from __future__ import annotations

from poolctl.runtime.buffers.outbound import Sending
from poolctl.runtime.scoreboard import TICKET


class NotedSending(Sending):
    """``row``: of the worker that has the connection."""

    __slots__ = ("row",)

    def __init__(self, row: memoryview) -> None:
        super().__init__()
        self.row = row

    def send(self, data: bytes) -> None:
        """Send, or keep, all of it."""
        if not self.began:
            self.row[TICKET] |= 1
        Sending.send(self, data)

    def send_file(self, file: int, offset: int, count: int) -> None:
        """Send, or keep, a range of a regular file."""
        if not self.began:
            self.row[TICKET] |= 1
        Sending.send_file(self, file, offset, count)
