"""Waiting for an inbox that other processes read too.

    take -- it is empty --> an epoll of this worker, EPOLLEXCLUSIVE -- woken, if no worker before it waits --> take

Readers that sleep in recvmsg(2) form a queue, of which the kernel wakes the one that has slept longest. So each task
would meet the worker whose memory has been out of the caches for longest. Those that wait with an epoll each keep the
order in which they began (epoll(7)): the first that is idle gets the task. At any load so many workers serve that none
of them waits long, and a pool of 256 costs what one of 16 does (docs/performance.md, "Scaling").
"""

from __future__ import annotations

from collections.abc import Sequence

from poolctl.runtime.channels.inbox import AT_ONCE, ProcessInbox
from poolctl.runtime.system import forked
from poolctl.runtime.system.calls import RECEIVE
from poolctl.runtime.system.interrupt import end_reads
from poolctl.runtime.system.poller import EXCLUSIVE, IN, epoll


class SharedReader:
    """One worker's end of the inbox; made and used in its process, by one thread. ``end`` may be called by another."""

    def __init__(self, inbox: ProcessInbox) -> None:
        self._fd = inbox.reader.fileno()
        self._take = inbox.take
        self._waiting = epoll()
        self._waiting.register(self._fd, IN | EXCLUSIVE)
        self._reference = forked.HolderReference(self)
        forked.register(self._reference)

    def take(self) -> tuple[bytes, Sequence[int]]:
        """Wait for the next task, or an end, and return it as ``ProcessInbox.take`` does."""
        if RECEIVE is not None:
            while (taken := RECEIVE(self._fd, AT_ONCE)) is None:
                self._waiting.poll()
            return taken
        take = self._take
        while True:
            try:
                return take(AT_ONCE)
            except BlockingIOError:
                self._waiting.poll()

    def end(self) -> None:
        """Make this reader find an end of file, now and always; the other readers go on."""
        end_reads(self._fd)
        self._waiting.register(self._fd, IN)  # what the number means now: the end of file, for which it wakes

    def descriptors(self) -> set[int]:
        """Return that of the epoll."""
        return {self._waiting.fileno()}
