"""Notices: what the mold tells a front about workers, which die and are replaced at any time.

mold -- kind (1 byte), number (8 bytes) --> front        one message each, in the order in which it happened
"""

from __future__ import annotations

import contextlib
import logging
import socket
import struct
from typing import Protocol

from poolctl.runtime.loop.source import AnyHandler, AnyService, Source
from poolctl.runtime.system.channel import DONTWAIT, channel

log = logging.getLogger("poolctl")
NOTICE = struct.Struct("<BQ")

# The number is a ticket:
LOST = 0  # of a worker that is dead; nothing of the answer was sent
BEGAN = 1  # likewise; a part of the answer was sent
OVERDUE = 2  # of a worker that was ended because its request took too long; nothing of the answer was sent
# The number is the index of an inbox:
DIED_IDLE = 3  # a worker that took from it is dead, and had noted no ticket
LEFT = 4  # all workers that took from it are dead
JOINED = 5  # it has workers again


class Notices:
    """The channel. The mold writes, and never waits for a front."""

    def __init__(self) -> None:
        self.writer, self.reader = channel()
        self.writer.setblocking(False)

    def send(self, kind: int, number: int) -> None:
        """Send one. A front that does not read hangs or is dead, and its successor begins with a recount; so a notice
        for which there is no room is dropped."""
        with contextlib.suppress(BlockingIOError):
            self.writer.send(NOTICE.pack(kind, number))


class NoticedFront(Protocol):
    """A front, as far as notices concern it."""

    def notice(self, kind: int, number: int) -> None:
        """What the mold says of a worker: one of the kinds above, and its number."""

    def remove(self, handler: AnyHandler) -> bool:
        """No more events for this handler."""


class Attention(Source[AnyService]):
    """The reader, in the loop of a front."""

    def __init__(self, front: NoticedFront, sock: socket.socket) -> None:
        self.front = front
        self.sock = sock
        self.fd = sock.fileno()

    def on_event(self, events: int, service: AnyService) -> None:
        """Take all that have come, before another task is sent to a worker that is dead."""
        while True:
            try:
                message = self.sock.recv(NOTICE.size, DONTWAIT)
            except BlockingIOError:
                return
            if not message:
                self.front.remove(self)  # the mold is dead; the lifeline says so too
                return
            self.front.notice(*NOTICE.unpack(message))
