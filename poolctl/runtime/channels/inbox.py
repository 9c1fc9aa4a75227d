"""Inboxes: the queue in front of one worker, or of all of them.

Between processes an inbox is one message socket that every worker it belongs to reads: the kernel wakes exactly one,
and what lies in it outlives its reader. Between threads it is a queue in memory.

    front -- put --> [ inbox ] -- take --> worker, or whichever worker is free

A strategy sees an inbox as an InboxView: its index and its load.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import queue
import socket
import struct
import termios
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, Final

from poolctl.runtime.channels.bell import Bell
from poolctl.runtime.inbox_view import InboxView
from poolctl.runtime.scoreboard import SENT, TAKEN
from poolctl.runtime.system.channel import DONTWAIT, ROOM, channel, descriptors

MESSAGE: Final = 80 * 1024  # bytes of the largest message: 64 KiB of a request and what introduces it
FULL = (errno.EAGAIN, errno.ENOBUFS, errno.ETOOMANYREFS)
CLOEXEC = int(getattr(socket, "MSG_CMSG_CLOEXEC", 0))  # what comes along is not for programs that the app starts
AT_ONCE = DONTWAIT | CLOEXEC
LEVEL, KIND = socket.SOL_SOCKET, socket.SCM_RIGHTS
FD = struct.Struct("i")
FDS = struct.Struct("ii")


class Inbox(ABC):
    """One queue, its row of the scoreboard, and the rows of the worker threads that take from it.

    ``slots``: the rows of what can be in flight; more than ``workers``, where each has many tasks at once. ``writer``
    and ``reader``: its two ends, where it has descriptors.
    """

    writer: socket.socket
    reader: socket.socket

    def __init__(
        self, index: int, row: memoryview, workers: Sequence[memoryview], slots: Sequence[memoryview] | None = None
    ) -> None:
        self.index = index
        self.row = row
        self.workers = workers
        self.slots = workers if slots is None else slots
        self.capacity = len(workers)  # who takes from it
        self.view = InboxView(index, row, workers, len(self.slots))  # what strategies see

    @property
    def load(self) -> int:
        """Tasks sent and not done yet."""
        return self.view.load

    @property
    def waiting(self) -> int:
        """Tasks sent and not taken yet."""
        return self.view.waiting

    @property
    @abstractmethod
    def empty(self) -> bool:
        """Whether all that was put into it has been taken."""

    @abstractmethod
    def put(self, item: Any, fds: tuple[int, ...] = ()) -> bool:
        """Add a task at the end; False when there is no room now."""


class ProcessInbox(Inbox):
    """Between processes: bytes, and descriptors beside them. ``threads``: who takes from it is one process, whose
    threads take turns; ``bell`` is what they listen to."""

    def __init__(
        self,
        index: int,
        row: memoryview,
        workers: Sequence[memoryview],
        slots: Sequence[memoryview] | None = None,
        *,
        threads: bool = False,
    ) -> None:
        super().__init__(index, row, workers, slots)
        self.bell = Bell() if threads and hasattr(os, "eventfd") else None
        self.writer, self.reader = channel()
        self.writer.setblocking(False)
        self._send = self.writer.sendmsg
        self._recvmsg = self.reader.recvmsg

    @property
    def empty(self) -> bool:
        (size,) = FD.unpack(fcntl.ioctl(self.writer, termios.TIOCOUTQ, bytes(FD.size)))
        return not size  # SIOCOUTQ, unix(7): what readers have not received yet

    def put(self, item: bytes, fds: tuple[int, ...] = ()) -> bool:
        try:
            if fds:
                packed = FD.pack(*fds) if len(fds) == 1 else FDS.pack(*fds)
                self._send((item,), ((LEVEL, KIND, packed),))
            else:
                self._send((item,))
        except OSError as error:
            if error.errno in FULL:
                return False
            raise
        self.row[SENT] += 1
        return True

    def take(self, flags: int = CLOEXEC) -> tuple[bytes, list[tuple[int, int, bytes]]]:
        """(message, ancillary data) of the oldest task; an empty message is the end of file.

        Waits, unless ``flags`` are AT_ONCE: then raises BlockingIOError where there is none.
        """
        message, ancillary, _, _ = self._recvmsg(MESSAGE, ROOM, flags)
        return message, ancillary

    def reclaim(self) -> list[tuple[bytes, list[int]]]:
        """(message, descriptors) of each task that nobody has taken, oldest first; for the front, which has sent
        them."""
        found = []
        with contextlib.suppress(BlockingIOError):
            while (taken := self.take(AT_ONCE))[0]:
                message, ancillary = taken
                self.row[SENT] -= 1
                found.append((message, descriptors(ancillary)))
        return found


def bells(inbox: Inbox) -> set[int]:
    """The descriptor of its bell, if it has one."""
    bell = inbox.bell if isinstance(inbox, ProcessInbox) else None
    return {bell.fd} if bell is not None else set()


class ThreadInbox(Inbox):
    """Between threads: any object. The front's limit on waiting tasks is its bound."""

    def __init__(
        self, index: int, row: memoryview, workers: Sequence[memoryview], slots: Sequence[memoryview] | None = None
    ) -> None:
        super().__init__(index, row, workers, slots)
        self._items: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self.take = self._items.get  # waits; None is the end

    @property
    def empty(self) -> bool:
        return self._items.empty()

    def put(self, item: Any, fds: tuple[int, ...] = ()) -> bool:
        self._items.put(item)
        self.row[SENT] += 1
        return True

    def renew(self) -> None:
        """In a new process, before anybody uses it: what lay in a dead one's memory is gone."""
        self.row[SENT] = sum(worker[TAKEN] for worker in self.workers)

    def end(self) -> None:
        """The end of file, for each who takes from it, after what lies in it."""
        for _ in range(self.capacity):
            self._items.put(None)


class RingingInbox(ThreadInbox):
    """Between threads that wait with a poller: a bell rings once for each task, and wakes one of those who wait.

    ``writer`` and ``reader`` are the ends of the bell, in the roles of an inbox between processes.
    """

    def __init__(
        self, index: int, row: memoryview, workers: Sequence[memoryview], slots: Sequence[memoryview] | None = None
    ) -> None:
        super().__init__(index, row, workers, slots)
        self.writer, self.reader = channel()
        self.writer.setblocking(False)

    def put(self, item: Any, fds: tuple[int, ...] = ()) -> bool:
        try:
            self.writer.send(b"x")
        except OSError as error:
            if error.errno in FULL:
                return False
            raise
        return super().put(item)

    def take_now(self) -> Any:
        """The oldest task; raises BlockingIOError where there is none. None is the end."""
        self.reader.recv(1, AT_ONCE)
        return self._items.get()  # whoever rang is about to put it there

    def renew(self) -> None:
        super().renew()
        with contextlib.suppress(BlockingIOError):
            while True:  # a bell outlives its process, and would call a worker for nothing
                self.reader.recv(1, AT_ONCE)

    def end(self) -> None:
        self.writer.setblocking(True)
        super().end()
        for _ in range(self.capacity):
            self.writer.send(b"x")
