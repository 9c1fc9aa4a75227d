"""The way back: what workers tell a front of the connections it lent, or of the turns it gave."""

from __future__ import annotations

import os
import socket

from poolctl.runtime.system.channel import channel


class Returns:
    """The way back to a front: records of what was lent, in a pipe that it looks into when it is awake; records of
    turns, in a pipe that wakes it and ends when no worker is left; files over a socket, for what a client has not
    read; and where sessions are learnt, a socket that says whose they are."""

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
        """(the front's descriptors, the workers')."""
        front = {self.reader, self.urgent_reader, self.left_reader.fileno()}
        work = {self.writer, self.urgent_writer, self.left_writer.fileno()}
        if self.told is not None and self.sessions is not None:
            front.add(self.sessions.fileno())
            work.add(self.told.fileno())
        return front, work
