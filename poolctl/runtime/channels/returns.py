"""The way back: what workers report to a front about lent connections and about turns."""

from __future__ import annotations

import os
import socket

from poolctl.runtime.system.channel import channel


class Returns:
    """The way back to a front: a pipe for records of lent connections, which the front reads when it is awake; a pipe
    for records of turns, which wakes the front and ends when no worker is left; a socket for files with the part of a
    response that a client has not read; and where sessions are learned, a socket for their owners.
    """

    def __init__(self, *, learns: bool = False) -> None:
        self.told: socket.socket | None = None
        self.sessions: socket.socket | None = None
        if learns:
            self.told, self.sessions = channel()
            self.sessions.setblocking(False)
        self.reader, self.writer = os.pipe()
        self.urgent_reader, self.urgent_writer = os.pipe()
        os.set_blocking(self.reader, False)
        os.set_blocking(self.urgent_reader, False)
        self.left_writer, self.left_reader = channel()

    def ends(self) -> tuple[set[int], set[int]]:
        """Return (the descriptors of the front, the descriptors of the workers)."""
        front = {self.reader, self.urgent_reader, self.left_reader.fileno()}
        work = {self.writer, self.urgent_writer, self.left_writer.fileno()}
        if self.told is not None and self.sessions is not None:
            front.add(self.sessions.fileno())
            work.add(self.told.fileno())
        return front, work
