"""A listener in a loop: accepts one connection for each event, and passes it on.

    listener -- accept --> on_connection(fd, peer, service, door)

A loop that is out of file descriptors pauses its listeners until a descriptor is free. In a drain it accepts until the
queue is empty, then ends the listeners (``Listener.end``).
"""

from __future__ import annotations

import errno
import logging
from collections import deque
from collections.abc import Callable
from time import sleep
from typing import Final, Protocol, TypeAlias

from poolctl.runtime.listen.door import Door
from poolctl.runtime.listen.listener import Listener
from poolctl.runtime.loop.loop import Loop
from poolctl.runtime.loop.source import S, Source, reason
from poolctl.runtime.task import Peer

log = logging.getLogger("poolctl")
RUSH_SECONDS: Final = 0.0002  # seconds between two events; below that, more calls of accept are cheaper than a wait
BURST_CONNECTIONS: Final = 16  # connections accepted then
COMPLAINT_SECONDS: Final = 5.0  # seconds between two log lines about a failing accept
DEFER_SECONDS: Final = 0.0005  # seconds in which another process, woken for the same connection, may accept it


OnConnection: TypeAlias = Callable[[int, Peer, S, Door], None]  # called with each accepted connection


class AcceptLock(Protocol):
    """A lock around accept, between processes (a file lock) or between threads."""

    def acquire(self, *, blocking: bool = True) -> bool:
        """Try to take the lock. Returns whether the caller holds it now."""

    def release(self) -> None:
        """Release the lock."""


def listen(
    loop: Loop[S],
    listener: Listener,
    on_connection: OnConnection[S],
    lock: AcceptLock | None = None,
    *,
    contended: bool = False,
    rushes: bool = False,
    defers: Callable[[], bool] | None = None,
) -> None:
    """Accept connections of this listener, one for each event. ``contended``: other loops wait for the listener too.
    ``rushes``: accept several at once while events follow each other fast. ``defers``: returns whether other processes
    should try first."""
    loop.listen(Listening(loop, listener, on_connection, lock, rushes, defers), contended=contended)


class Listening(Source[S]):
    """A listener in a loop. ``lock``: held around accept, if the topology asks for it."""

    def __init__(
        self,
        loop: Loop[S],
        listener: Listener,
        on_connection: OnConnection[S],
        lock: AcceptLock | None = None,
        rushes: bool = False,
        defers: Callable[[], bool] | None = None,
    ) -> None:
        self.loop = loop
        self.rushes = rushes and not loop.shared  # a thread of a shared loop takes one client at a time
        self.last = 0.0  # when the last event came
        self.listener = listener
        self.door = listener.door
        self.fd = listener.fd
        self.kept_outside = listener.kept_outside
        self.complained = 0.0  # when the log last said that accept failed
        self.on_connection = on_connection
        self.lock = lock
        self.defers = defers
        self._came: deque[tuple[int, Peer]] = deque()  # in a rush, and not served yet

    def on_event(self, events: int, service: S) -> None:
        if self.defers is not None and self.defers():
            sleep(DEFER_SECONDS)
        if self.rushes:
            last, self.last = self.last, self.loop.now
            if self.last - last < RUSH_SECONDS:
                self._rush(service)
                return
        self.look(service)

    def _rush(self, service: S) -> None:
        """Accept several clients, and serve them then: by that time more of their requests have arrived, and need no
        event of the poller. Nobody else could accept those that wait behind the first."""
        came = self._came
        try:
            for _ in range(BURST_CONNECTIONS):
                taken = self._take()
                if not isinstance(taken, bool):
                    came.append(taken)
                elif not taken:
                    break
        finally:
            while came:
                fd, peer = came.popleft()
                self._serve(fd, peer, service)

    def descriptors(self) -> set[int]:
        """Those of clients that were accepted and are not served yet."""
        return {fd for fd, _ in list(self._came)}

    def deafen(self) -> None:
        """Admit no new client to the queue; clients already queued are still accepted."""
        self.listener.deafen()

    def look(self, service: S) -> bool:
        """Accept one client. Returns whether one was queued. In a drain, ends the listener once the queue is empty."""
        taken = self._take()
        if isinstance(taken, bool):
            return taken
        fd, peer = taken
        self._serve(fd, peer, service)
        return True

    def _take(self) -> tuple[int, Peer] | bool:
        """Accept the next client. Returns it; if there is none for this loop, whether one was queued."""
        lock = self.lock
        if lock is not None and not lock.acquire(blocking=False):
            return True  # another thread or process is accepting; the poller reports what it leaves
        try:
            taken = self.listener.accept()
        except ConnectionAbortedError:
            return True  # the client disconnected while it was queued
        except BlockingIOError:
            if not self.loop.draining:
                return False  # another thread or process was faster
            waits = self.listener.end()
            if self.listener.shut:
                self._end()
            return waits
        except OSError as error:
            self._failed(error)
            return False
        finally:
            if lock is not None:
                lock.release()
        # The leader has its connection: promote a follower before serving it.
        if self.loop.shared:
            self.loop.rearm(self)
        else:
            self.loop.step_back(self)
        return taken

    def _serve(self, fd: int, peer: Peer, service: S) -> None:
        try:
            self.on_connection(fd, peer, service, self.door)
        except BaseException as error:  # noqa: BLE001  # the boundary, which logs it
            self.loop.fail_newcomer(fd, service, error)

    def _end(self) -> None:
        """Take a listener that was shut out of the loop, since the poller would report the hang-up again and again."""
        self.loop.listening.pop(self.fd, None)
        self.loop.remove(self)

    def _failed(self, error: OSError) -> None:
        """Handle an error of accept: end a listener that was shut, otherwise pause until a descriptor is free."""
        if error.errno == errno.EINVAL:
            self._end()
            return
        if self.loop.now - self.complained >= COMPLAINT_SECONDS:
            self.complained = self.loop.now
            log.error("cannot accept: %s", reason(error))
        self.loop.pause(self)
