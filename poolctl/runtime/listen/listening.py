"""A listener in a loop: connections are accepted, one for each event, and passed on.

    listener -- accept --> on_connection(fd, peer, service, door)

A loop that is out of file descriptors pauses its listeners until one is free. In a drain it asks them until no client
waits there any more, and ends them (``Listener.end``).
"""

from __future__ import annotations

import errno
import logging
from collections.abc import Callable
from time import sleep
from typing import Protocol, TypeAlias

from poolctl.runtime.listen.door import Door
from poolctl.runtime.listen.listener import Listener
from poolctl.runtime.loop.loop import Loop
from poolctl.runtime.loop.source import S, Source, reason
from poolctl.runtime.task import Peer

log = logging.getLogger("poolctl")
RUSH = 0.0002  # seconds between two events; below that, asking for more connections is cheaper than waiting
BURST = 15  # connections that are then taken beyond the first
COMPLAINT = 5.0  # seconds between two log lines that say so
DEFER = 0.0005  # seconds in which another process, woken for the same connection, may accept it


OnConnection: TypeAlias = Callable[[int, Peer, S, Door], None]  # gets a connection that was accepted


class AcceptLock(Protocol):
    """A lock around accept: that of a file, or of threads."""

    def acquire(self, *, blocking: bool = ...) -> bool:
        """Whether it is held now."""

    def release(self) -> None:
        """Let the next one in."""


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
    """Take connections of this listener, one for each event. ``contended``: other loops wait for it too. ``rushes``:
    take more at once while events follow each other fast. ``defers``: asked whether to let other processes try first.
    """
    loop.listen(Listening(loop, listener, on_connection, lock, rushes, defers), contended=contended)


class Listening(Source[S]):
    """A listener in a loop. ``lock`` is held around accept, where the topology asks for one."""

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
        self.rushes = rushes
        self.last = 0.0  # when the last event came
        self.listener = listener
        self.door = listener.door
        self.fd = listener.fd
        self.kept_outside = listener.kept_outside
        self.complained = 0.0  # when the log last said that accept failed
        self.on_connection = on_connection
        self.lock = lock
        self.defers = defers

    def on_event(self, events: int, service: S) -> None:
        if self.defers is not None and self.defers():
            sleep(DEFER)
        more = self.look(service)
        if self.rushes:
            last, self.last = self.last, self.loop.now
            if more and self.last - last < RUSH:
                for _ in range(BURST):
                    if not self.look(service):
                        break

    def deafen(self) -> None:
        """Keep new clients out; those that wait are still taken."""
        self.listener.deafen()

    def look(self, service: S) -> bool:
        """Accept one; whether one waited. In a drain, end the listener when none does."""
        lock = self.lock
        if lock is not None and not lock.acquire(blocking=False):
            return True  # another thread or process accepts now; what is left then is reported again
        try:
            fd, peer = self.listener.accept()
        except ConnectionAbortedError:
            return True  # the client has left again
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
        # The leader has its connection: the next follower leads before this one is served.
        if self.loop.shared:
            self.loop.rearm(self)
        else:
            self.loop.step_back(self)
        try:
            self.on_connection(fd, peer, service, self.door)
        except BaseException as error:  # noqa: BLE001  # the boundary, which logs it
            self.loop.fail_newcomer(fd, service, error)
        return True

    def _end(self) -> None:
        """The listener was shut: no client comes any more. The poller would report that again and again."""
        self.loop.listening.pop(self.fd, None)
        self.loop.remove(self)

    def _failed(self, error: OSError) -> None:
        """accept failed: for ever, when the listener was shut, or until a descriptor is free."""
        if error.errno == errno.EINVAL:
            self._end()
            return
        if self.loop.now - self.complained >= COMPLAINT:
            self.complained = self.loop.now
            log.error("cannot accept: %s", reason(error))
        self.loop.pause(self)
