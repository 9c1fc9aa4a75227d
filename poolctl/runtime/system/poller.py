"""Waiting for many descriptors at once: epoll, and where it is missing the same interface over selectors.

Both use epoll's own flags, so the loops are written once, and on Linux they call select.epoll itself, with nothing in
between.
"""

from __future__ import annotations

import contextlib
import os
import select
import selectors
from os import close
from threading import Lock
from typing import Any, Final, Protocol, runtime_checkable

IN: Final = 0x001
OUT: Final = 0x004
ERR: Final = 0x008
HUP: Final = 0x010
RDHUP: Final = 0x2000  # EPOLLRDHUP: the peer sends no more
EDGE: Final = 1 << 31  # EPOLLET: only new events
ONCE: Final = 1 << 30  # EPOLLONESHOT: one event, then silence until modify
EXCLUSIVE: Final = 1 << 28  # EPOLLEXCLUSIVE: wake one of several pollers that wait for one descriptor

epoll: Any = getattr(select, "epoll", None)  # taken here: gevent's monkey patches remove it


class Poller(Protocol):
    """The methods of select.epoll that the loops use."""

    def register(self, fd: int, eventmask: int = ..., /) -> None: ...
    def modify(self, fd: int, eventmask: int, /) -> None: ...
    def unregister(self, fd: int, /) -> None: ...
    def poll(self, timeout: float | None = ..., maxevents: int = ...) -> list[tuple[int, int]]: ...
    def close(self) -> None: ...


@runtime_checkable
class Epoll(Poller, Protocol):
    """select.epoll, which is a descriptor itself, so that another poller can wait for it."""

    def fileno(self) -> int: ...


def make_poller() -> Epoll | SelectorsPoller:
    """Return the best poller of this platform. POOLCTL_POLLER=selectors chooses the fallback, for tests."""
    if epoll is not None and os.environ.get("POOLCTL_POLLER") != "selectors":
        made: Epoll = epoll()
        return made
    return SelectorsPoller()


def own_descriptors(poller: Poller) -> set[int]:
    """The descriptors that belong to a poller itself."""
    if isinstance(poller, SelectorsPoller):
        return set(poller.own)
    return {poller.fileno()} if isinstance(poller, Epoll) else set()


class SelectorsPoller:
    """The fallback. One thread at a time waits; a change by another thread wakes it, so that it takes effect at once.

    EDGE works like ONCE: its users call modify after they have dealt with the event, which rearms epoll too. EXCLUSIVE
    is ignored: more pollers wake than necessary, and find nothing to do.
    """

    def __init__(self) -> None:
        # Not the platform's DefaultSelector: on Linux that would be epoll once more, and the tests would prove nothing.
        kind = getattr(selectors, "KqueueSelector", selectors.PollSelector)
        self._selector = kind()
        self._masks: dict[int, int] = {}
        self._armed: dict[int, int] = {}  # what the selector knows; written by the leader alone
        self._changed: set[int] = set()
        self._lock = Lock()  # guards masks and changes; held briefly
        self._leading = Lock()  # held by the leader, the one thread that waits
        self._wake, self._woken = os.pipe()
        os.set_blocking(self._wake, False)
        os.set_blocking(self._woken, False)
        self._selector.register(self._wake, selectors.EVENT_READ)
        self.own: tuple[int, ...] = (self._wake, self._woken)

    def register(self, fd: int, eventmask: int = IN | OUT, /) -> None:
        with self._lock:
            if fd in self._masks:
                raise FileExistsError(f"descriptor {fd} is registered already")
        self._change(fd, eventmask)

    def modify(self, fd: int, eventmask: int, /) -> None:
        with self._lock:
            if fd not in self._masks:
                raise FileNotFoundError(f"descriptor {fd} is not registered")
        self._change(fd, eventmask)

    def unregister(self, fd: int, /) -> None:
        with self._lock:
            if self._masks.pop(fd, None) is None:
                raise FileNotFoundError(f"descriptor {fd} is not registered")
            self._changed.add(fd)
        self._ring()

    def poll(self, timeout: float | None = None, maxevents: int = -1) -> list[tuple[int, int]]:
        wait = None if timeout is None or timeout < 0 else timeout
        if not self._leading.acquire(timeout=-1 if wait is None else wait):
            return []
        try:
            self._apply()
            found: list[tuple[int, int]] = []
            for key, events in self._selector.select(wait):
                if key.fd == self._wake:
                    os.read(self._wake, 4096)
                elif maxevents < 0 or len(found) < maxevents:
                    found.append((key.fd, (events & 1 and IN) | (events & 2 and OUT)))
            return self._delivered(found)
        finally:
            self._leading.release()

    def close(self) -> None:
        self.own = ()
        self._selector.close()
        close(self._wake)
        close(self._woken)

    def _change(self, fd: int, mask: int) -> None:
        with self._lock:
            self._masks[fd] = mask
            self._changed.add(fd)
        self._ring()

    def _ring(self) -> None:
        try:
            os.write(self._woken, b"x")
        except BlockingIOError:
            return  # the pipe is full of wake-ups: the leader will wake

    def _apply(self) -> None:
        """Apply the changes to the selector. A descriptor may have been closed meanwhile, and its number reused."""
        with self._lock:
            changed, self._changed = self._changed, set()
            wanted = {fd: self._masks.get(fd, 0) for fd in changed}
        for fd, mask in wanted.items():
            if fd in self._armed:
                del self._armed[fd]
                with contextlib.suppress(KeyError, ValueError, OSError):  # closed since, so the kernel forgot it
                    self._selector.unregister(fd)
            events = (mask & IN and selectors.EVENT_READ) | (mask & OUT and selectors.EVENT_WRITE)
            if events:
                try:
                    self._selector.register(fd, events)
                    self._armed[fd] = mask
                except (KeyError, ValueError, OSError):
                    with self._lock:
                        self._masks.pop(fd, None)

    def _delivered(self, found: list[tuple[int, int]]) -> list[tuple[int, int]]:
        """Disarm descriptors that asked for one event only; return the events without those of descriptors that were
        unregistered while the selector slept."""
        with self._lock:
            found = [(fd, events) for fd, events in found if self._masks.get(fd, 0) & (IN | OUT)]
            for fd, _ in found:
                if self._masks[fd] & (ONCE | EDGE):
                    self._masks[fd] &= ~(IN | OUT)
                    self._changed.add(fd)
        return found
