"""Notices: messages from the mold to a front about workers, which may die and be replaced at any time.

mold -- kind (1 byte), number (8 bytes) --> front        one message each, in the order of events
"""

from __future__ import annotations

import contextlib
import logging
import socket
import struct
from typing import Final, Protocol

from poolctl.runtime.loop.source import AnyHandler, AnyService, Source
from poolctl.runtime.system.channel import DONTWAIT, channel

log = logging.getLogger("poolctl")
NOTICE: Final = struct.Struct("<BQ")

# The number is a ticket:
LOST: Final = 0  # of a dead worker that had sent nothing of the response
BEGAN: Final = 1  # of a dead worker that had sent a part of the response
OVERDUE: Final = (
    2  # of a worker that was killed because its request took too long, and had sent nothing of the response
)
# The number is the index of an inbox:
DIED_IDLE: Final = 3  # a worker of this inbox has died, and had noted no ticket
INBOX_LEFT: Final = 4  # all workers of this inbox have died
INBOX_JOINED: Final = 5  # this inbox has a worker again
# The number is `leaver` of a process and the index of its inbox:
INBOX_LEAVES: Final = (
    6  # the worker of this inbox leaves: it takes the tasks that are in it, and needs an end behind them
)
MOST_INBOXES: Final = 1 << 16


def leaver(pid: int, index: int) -> int:
    """Return the number for INBOX_LEAVES; divmod by MOST_INBOXES returns both again."""
    return pid * MOST_INBOXES + index


class Notices:
    """The channel. The mold writes to it, and never waits for a front."""

    def __init__(self) -> None:
        self.writer, self.reader = channel()
        self.writer.setblocking(False)

    def send(self, kind: int, number: int) -> None:
        """Send one. If the channel is full the notice is dropped: a front that does not read hangs or is dead, and its
        successor begins with a recount."""
        with contextlib.suppress(BlockingIOError):
            self.writer.send(NOTICE.pack(kind, number))


class NoticedFront(Protocol):
    """What notices need of a front."""

    def notice(self, kind: int, number: int) -> None:
        """Act on a notice: one of the kinds above, and its number."""

    def remove(self, handler: AnyHandler) -> bool:
        """Stop watching the descriptor of this handler."""


class Attention(Source[AnyService]):
    """The reader of notices in the loop of a front."""

    def __init__(self, front: NoticedFront, sock: socket.socket) -> None:
        self.front = front
        self.sock = sock
        self.fd = sock.fileno()

    def on_event(self, events: int, service: AnyService) -> None:
        """Take all notices that have arrived, so that no more tasks go to a dead worker."""
        while True:
            try:
                message = self.sock.recv(NOTICE.size, DONTWAIT)
            except BlockingIOError:
                return
            if not message:
                self.front.remove(self)  # the mold is dead; the lifeline ends too
                return
            self.front.notice(*NOTICE.unpack(message))
