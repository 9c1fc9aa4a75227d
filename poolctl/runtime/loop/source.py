"""What a loop waits for besides connections: listeners, the lifeline, clients that are on their way out."""

from __future__ import annotations

import errno
import logging
import socket
from abc import ABC, abstractmethod
from collections.abc import Callable
from time import sleep
from typing import TYPE_CHECKING, Any, Protocol

from poolctl.runtime.listen.listener import Listener
from poolctl.runtime.system.poller import IN

if TYPE_CHECKING:
    from poolctl.runtime.loop.loop import Loop

log = logging.getLogger("poolctl")
RUSH = 0.0002  # seconds between two events, so few that asking for another connection is cheaper than to wait for it
BURST = 15  # connections that are then taken beyond the first
COMPLAINT = 5.0  # seconds between two lines that no descriptor is left
DEFER = 0.0005  # seconds in which another process, woken for the same connection, may accept it
LINGER = 2.0  # seconds that a client has to read its last words before the connection is cut
NO_DESCRIPTOR = "raise the limit on open files (ulimit -n) or lower limits.connections"
NOW = socket.MSG_DONTWAIT


class Handler(Protocol):
    """What stands behind a descriptor."""

    fd: int
    mask: int
    watched: bool  # the poller knows it, or did; set by the loop

    @property
    def rearm(self) -> bool | None:
        """In a shared loop: True, it gets one event and is armed again after that; False, it is registered for edges;
        None, it gets one event and arms itself."""

    def on_event(self, events: int, service: Any) -> None:
        """It is readable, writable, or broken: finding out is the handler's."""

    def expire(self, now: float, service: Any) -> None:
        """Twice a second: has it waited too long?"""

    def drain(self, service: Any) -> None:
        """The loop wants to end: leave when there is nothing in hand."""

    def broken(self, service: Any) -> None:
        """One of the above raised: give back everything, the descriptor included."""


class Source(ABC):
    """A handler that never times out and has nothing to finish."""

    fd: int
    mask = IN
    rearm = True
    watched = False
    kept_outside = False  # of a listener: whoever started this server has it, and goes on listening

    @abstractmethod
    def on_event(self, events: int, service: Any) -> None:
        """It is readable, writable, or broken: finding out is the handler's."""

    def look(self, service: Any) -> bool:
        """At the end of a drain: whether there was still something to be had, which was taken."""
        return False

    def deafen(self) -> None:  # noqa: B027  # what is no listener has nothing to do here
        """Whoever waits is taken, and nobody may join them."""

    def expire(self, now: float, service: Any) -> None:  # noqa: B027  # the usual source has nothing to do here
        """A source waits as long as it takes."""

    def drain(self, service: Any) -> None:  # noqa: B027  # as above
        """A source ends at its own end of file."""

    def broken(self, service: Any) -> None:  # noqa: B027  # as above
        """A source goes on: the loop is of no use without it."""


class Lifeline(Source):
    """The mold's way to say that it is time to leave."""

    def __init__(self, loop: Loop, fd: int) -> None:
        self.loop = loop
        self.fd = fd

    def on_event(self, events: int, service: Any) -> None:
        self.loop.drop(self)
        self.loop.drain(service)


class Lingering:
    """A client that was turned away: its last bytes are read and forgotten."""

    mask = IN
    rearm = True
    watched = False

    def __init__(self, loop: Loop, sock: socket.socket) -> None:
        self.loop = loop
        self.sock = sock
        self.fd = sock.fileno()
        self.until = loop.now + LINGER
        loop.lingering += 1

    def on_event(self, events: int, service: Any) -> None:
        try:
            if self.sock.recv(65536, NOW):
                return
        except BlockingIOError:
            return
        except OSError:
            log.debug("a client that was turned away reset the connection")
        self.close()

    def expire(self, now: float, service: Any) -> None:
        if now > self.until:
            self.close()

    def drain(self, service: Any) -> None:
        """It leaves in a moment by itself."""

    def close(self, service: Any = None) -> None:
        """The end, unless another thread of a shared loop was faster."""
        if self.loop.drop(self):
            self.loop.lingering -= 1
            self.sock.close()

    broken = close


class Listening(Source):
    """A listener in a loop. ``lock`` is held around accept, where the topology asks for one."""

    def __init__(
        self,
        loop: Loop,
        listener: Listener,
        on_connection: Any,
        lock: Any = None,
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
        self.complained = 0.0  # when it was last said that no descriptor is left
        self.on_connection = on_connection
        self.lock = lock
        self.defers = defers

    def on_event(self, events: int, service: Any) -> None:
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
        """It is the listener that has to be."""
        self.listener.deafen()

    def look(self, service: Any) -> bool:
        """Accept one; whether one waited."""
        lock = self.lock
        if lock is not None and not lock.acquire(blocking=False):
            return True  # another accepts at this moment; what is left then will be reported again
        try:
            fd, peer = self.listener.accept()
        except ConnectionAbortedError:
            return True  # it has gone again
        except BlockingIOError:
            if not self.loop.draining:
                return False  # another was faster
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
            self.loop.arm(self)
        else:
            self.loop.step_back(self)
        try:
            self.on_connection(fd, peer, service, self.door)
        except BaseException as error:  # noqa: BLE001  # the boundary, which logs it
            self.loop.broke(fd, service, error)
        return True

    def _end(self) -> None:
        """The listener was shut: nobody comes any more. It would tell of that again and again."""
        self.loop.listening.pop(self.fd, None)
        self.loop.drop(self)

    def _failed(self, error: OSError) -> None:
        """No connection can be had: for ever, when the listener was shut, or until a descriptor is free."""
        if error.errno == errno.EINVAL:
            self._end()
            return
        if self.loop.now - self.complained >= COMPLAINT:
            self.complained = self.loop.now
            log.error("cannot accept: %s; %s", error, NO_DESCRIPTOR)
        self.loop.pause(self)
