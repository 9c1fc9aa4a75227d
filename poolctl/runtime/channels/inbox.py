"""Inboxes: the queue in front of one worker, or of all of them.

Between processes an inbox is one message socket that all of its workers read: the kernel wakes exactly one, and queued
messages outlive a reader that dies. Between threads it is a queue in memory.

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
from os import getpid
from typing import Any, Final, TypeAlias

from poolctl.runtime.channels.bell import Bell
from poolctl.runtime.inbox_view import InboxView, LoopInboxView
from poolctl.runtime.scoreboard import SENT, TAKEN
from poolctl.runtime.system.calls import RECEIVE, SEND
from poolctl.runtime.system.channel import CONTROL_BYTES, DONTWAIT, LEVEL, RIGHTS, channel, descriptors

Rows: TypeAlias = Sequence[memoryview]  # of the scoreboard

MESSAGE_BYTES: Final = 80 * 1024  # bytes of the largest message: 64 KiB of a request, and its introduction
FULL_ERRORS: Final = (errno.EAGAIN, errno.ENOBUFS, errno.ETOOMANYREFS)
CLOEXEC: Final = int(
    getattr(socket, "MSG_CMSG_CLOEXEC", 0)
)  # received descriptors are not for programs that the app starts
AT_ONCE: Final = DONTWAIT | CLOEXEC
FD: Final = struct.Struct("i")
FDS: Final = struct.Struct("ii")
END: Final = struct.Struct("<i")  # what one reader finds at its end: the process; shorter than any task


def ends(message: bytes) -> bool:
    """Return whether a message that is no task is the end for this process: an end of file, or an `END` that names it.
    Others were meant for a process that has died before it took them."""
    return not message or END.unpack(message)[0] == getpid()


class Inbox(ABC):
    """One queue, its row of the scoreboard, and the rows of the worker threads that take from it.

    ``slots``: the rows of the tasks that can be in flight; more than ``workers``, where each has many tasks at once.
    ``beats``: the workers are event loops, which say how late they are. ``writer`` and ``reader``: its two ends, if it
    has descriptors.
    """

    writer: socket.socket
    reader: socket.socket

    def __init__(
        self, index: int, row: memoryview, workers: Rows, slots: Rows | None = None, *, beats: bool = False
    ) -> None:
        self.index = index
        self.row = row
        self.workers = workers
        self.slots = workers if slots is None else slots
        self.capacity = len(workers)  # worker threads that take from it
        kind = LoopInboxView if beats else InboxView
        self.view = kind(index, row, workers, len(self.slots))  # what strategies see

    @property
    def load(self) -> int:
        """Tasks sent and not done."""
        return self.view.load

    @property
    def waiting(self) -> int:
        """Tasks sent and not taken."""
        return self.view.waiting

    @property
    @abstractmethod
    def empty(self) -> bool:
        """Whether every task that was put into it has been taken."""

    def end_one(self, pid: int) -> bool:
        """Put an end for one reader of a process behind the tasks that are queued: this worker leaves while others go
        on. Returns False when the inbox is full."""
        raise TypeError(f"the workers of a {type(self).__name__} leave together")

    @abstractmethod
    def put(self, item: Any, fds: tuple[int, ...] = ()) -> bool:
        """Add a task at the end. Returns False when the inbox is full."""


class ProcessInbox(Inbox):
    """Between processes: bytes, and descriptors beside them. ``threads``: the reader is one process, whose threads take
    turns; ``bell`` wakes them."""

    def __init__(
        self,
        index: int,
        row: memoryview,
        workers: Rows,
        slots: Rows | None = None,
        *,
        threads: bool = False,
        beats: bool = False,
    ) -> None:
        super().__init__(index, row, workers, slots, beats=beats)
        self.bell = Bell() if threads and hasattr(os, "eventfd") else None
        self.writer, self.reader = channel()
        self.writer.setblocking(False)
        self._number = self.writer.fileno()
        self._send = self.writer.sendmsg
        self._recvmsg = self.reader.recvmsg

    @property
    def empty(self) -> bool:
        (size,) = FD.unpack(fcntl.ioctl(self.writer, termios.TIOCOUTQ, bytes(FD.size)))
        return not size  # SIOCOUTQ, unix(7): bytes that readers have not received

    def put(self, item: bytes, fds: tuple[int, ...] = ()) -> bool:
        try:
            if SEND is not None:
                SEND(self._number, item, *fds)
            elif fds:
                packed = FD.pack(*fds) if len(fds) == 1 else FDS.pack(*fds)
                self._send((item,), ((LEVEL, RIGHTS, packed),))
            else:
                self._send((item,))
        except OSError as error:
            if error.errno in FULL_ERRORS:
                return False
            raise
        self.row[SENT] += 1
        return True

    def take(self, flags: int = CLOEXEC) -> tuple[bytes, Sequence[int]]:
        """Return (message, descriptors beside it) of the oldest task, or of an end: see `ends`.

        Waits, unless ``flags`` are AT_ONCE: then raises BlockingIOError if the inbox is empty.
        """
        if RECEIVE is not None:
            if (taken := RECEIVE(self.reader.fileno(), flags)) is None:
                raise BlockingIOError("the inbox is empty")
            return taken
        message, ancillary, _, _ = self._recvmsg(MESSAGE_BYTES, CONTROL_BYTES, flags)
        if len(ancillary) == 1 and len(data := ancillary[0][2]) == FD.size:  # the usual case, without a call
            return message, FD.unpack(data)
        return message, descriptors(ancillary)

    def end_one(self, pid: int) -> bool:
        try:
            self._send((END.pack(pid),))
        except OSError as error:
            if error.errno in FULL_ERRORS:
                return False
            raise
        return True

    def reclaim(self) -> list[tuple[bytes, list[int]]]:
        """Take back the tasks that no worker has taken; for the front, which sent them. Returns (message, descriptors)
        of each, oldest first. Ends that it finds are dropped: their readers have died, or will get others."""
        found = []
        with contextlib.suppress(BlockingIOError):
            while (taken := self.take(AT_ONCE))[0]:
                message, fds = taken
                if len(message) > END.size:
                    self.row[SENT] -= 1
                    found.append((message, list(fds)))
        return found


def bells(inbox: Inbox) -> set[int]:
    """The descriptor of an inbox's bell; empty if it has none."""
    bell = inbox.bell if isinstance(inbox, ProcessInbox) else None
    return {bell.fd} if bell is not None else set()


class ThreadInbox(Inbox):
    """Between threads: any object. The front's limit on waiting tasks bounds it."""

    def __init__(
        self, index: int, row: memoryview, workers: Rows, slots: Rows | None = None, *, beats: bool = False
    ) -> None:
        super().__init__(index, row, workers, slots, beats=beats)
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
        """Start empty, in a new process and before its first use: tasks in the memory of a dead process are lost."""
        self.row[SENT] = sum(worker[TAKEN] for worker in self.workers)

    def end(self) -> None:
        """Put an end of file for each reader behind the tasks that are queued."""
        for _ in range(self.capacity):
            self._items.put(None)


class RingingInbox(ThreadInbox):
    """Between threads that wait with a poller: one message on a channel for each task wakes one waiting thread.

    ``writer`` and ``reader`` are the ends of this channel, which take the place of an inbox between processes.
    """

    def __init__(
        self, index: int, row: memoryview, workers: Rows, slots: Rows | None = None, *, beats: bool = False
    ) -> None:
        super().__init__(index, row, workers, slots, beats=beats)
        self.writer, self.reader = channel()
        self.writer.setblocking(False)

    def put(self, item: Any, fds: tuple[int, ...] = ()) -> bool:
        try:
            self.writer.send(b"x")
        except OSError as error:
            if error.errno in FULL_ERRORS:
                return False
            raise
        return super().put(item)

    def take_now(self) -> Any:
        """Return the oldest task; None is the end. Raises BlockingIOError if there is none."""
        self.reader.recv(1, AT_ONCE)
        return self._items.get()  # put() sends the message first, so the task is there or about to be

    def renew(self) -> None:
        super().renew()
        with contextlib.suppress(BlockingIOError):
            while True:  # messages outlive their sender, and would wake a worker for nothing
                self.reader.recv(1, AT_ONCE)

    def end(self) -> None:
        self.writer.setblocking(True)
        super().end()
        for _ in range(self.capacity):
            self.writer.send(b"x")
