"""Waiting for an inbox that other processes read too.

    take -- it is empty --> an epoll of this worker, EPOLLEXCLUSIVE -- woken, if no worker before it waits --> take

Readers that sleep in recvmsg(2) form a queue, of which the kernel wakes the one that has slept longest. So each task
would meet the worker whose memory has been out of the caches for longest. Those that wait with an epoll each keep the
order in which they began (epoll(7)): the first that is idle gets the task. At any load so many workers serve that none
of them waits long, and a pool of 256 costs what one of 16 does (docs/performance.md, "Scaling").

Waking and receiving are two steps, and the kernel has woken nobody else. So a worker that leaves looks into the inbox
once more after each time that it was woken; otherwise a task could stay there while others are idle. A worker that is
killed between the two steps leaves its task to its successor, which looks before it waits.
"""

from __future__ import annotations

import os
from collections.abc import Sequence

from poolctl.runtime.channels.inbox import AT_ONCE, ProcessInbox
from poolctl.runtime.system import forked
from poolctl.runtime.system.calls import RECEIVE
from poolctl.runtime.system.poller import EXCLUSIVE, IN, epoll


class SharedReader:
    """One worker's end of the inbox; made and used in its process, by one thread. ``end`` may be called by another."""

    def __init__(self, inbox: ProcessInbox) -> None:
        self._fd = inbox.reader.fileno()
        self._take = inbox.take
        self._leaves = False
        self._leave = os.eventfd(0)  # readable once this reader is to leave
        self._waiting = epoll()
        self._waiting.register(self._fd, IN | EXCLUSIVE)
        self._waiting.register(self._leave, IN)
        self._reference = forked.HolderReference(self)
        forked.register(self._reference)

    def take(self) -> tuple[bytes, Sequence[int]]:
        """Wait for the next task, or an end, and return it as ``ProcessInbox.take`` does."""
        woken = False
        while woken or not self._leaves:
            taken = self._now()
            if taken is not None:
                return taken
            woken = not self._leaves and self._wait()
        return b"", ()

    def _wait(self) -> bool:
        """Wait until a task has come, or this reader is to leave. Returns True: perhaps no other was woken."""
        self._waiting.poll()
        return True

    def _now(self) -> tuple[bytes, Sequence[int]] | None:
        if RECEIVE is not None:
            return RECEIVE(self._fd, AT_ONCE)
        try:
            return self._take(AT_ONCE)
        except BlockingIOError:
            return None

    def end(self) -> None:
        """Make this reader find an end, now and always; the other readers go on."""
        self._leaves = True
        os.eventfd_write(self._leave, 1)

    def descriptors(self) -> set[int]:
        """Return those of the epoll and of what wakes it."""
        return {self._waiting.fileno(), self._leave}
