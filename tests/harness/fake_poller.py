"""A poller without a kernel and a clock that stands still: a loop is tested without waiting, and without luck.

    rig.poller.script.append([(fd, IN)])     the events of one wait; or a function that returns them

An event that epoll would not report (not registered, not asked for, silenced by ONCE) fails the test. A wait for which
the script has no event moves the clock on by as long as the loop was ready to wait.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable

from poolctl.runtime.system.poller import ERR, HUP, IN, ONCE, OUT

Events = list[tuple[int, int]]


class FakeClock:
    """Seconds, which pass when a test says so."""

    def __init__(self, now: float = 1000.0) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


class Exhausted(Exception):
    """The loop waits, and the test has nothing more for it."""


class FakePoller:
    """Notes what is registered, and reports what a test scripts. ``patience``: how long each wait could have been."""

    def __init__(self, clock: FakeClock) -> None:
        self.clock = clock
        self.masks: dict[int, int] = {}
        self.silent: set[int] = set()  # had the one event that they asked for
        self.script: deque[Events | Callable[[], Events]] = deque()
        self.patience: list[float | None] = []
        self.closed = False

    def register(self, fd: int, eventmask: int = IN | OUT, /) -> None:
        if fd in self.masks:
            raise FileExistsError(fd)
        self.masks[fd] = eventmask

    def modify(self, fd: int, eventmask: int, /) -> None:
        if fd not in self.masks:
            raise FileNotFoundError(fd)
        self.masks[fd] = eventmask
        self.silent.discard(fd)

    def unregister(self, fd: int, /) -> None:
        if fd not in self.masks:
            raise FileNotFoundError(fd)
        del self.masks[fd]
        self.silent.discard(fd)

    def poll(self, timeout: float | None = None, maxevents: int = -1) -> Events:
        self.patience.append(timeout)
        if not self.script:
            raise Exhausted
        step = self.script.popleft()
        events = step() if callable(step) else step
        assert maxevents < 0 or len(events) <= maxevents
        for fd, event in events:
            self.report(fd, event)
        if not events and timeout:
            self.clock.now += timeout
        return events

    def report(self, fd: int, event: int) -> None:
        """Fails when epoll would not report this."""
        assert fd in self.masks, f"{fd} is not registered"
        assert fd not in self.silent, f"{fd} had its event"
        assert event & (self.masks[fd] | ERR | HUP), f"{fd} does not wait for {event}"
        if self.masks[fd] & ONCE:
            self.silent.add(fd)

    def waits_for(self, fd: int) -> int:
        """IN and OUT, as far as the descriptor waits for them; 0 where it is not registered or silenced."""
        return 0 if fd in self.silent else self.masks.get(fd, 0) & (IN | OUT)

    def close(self) -> None:
        self.closed = True

    def fileno(self) -> int:
        """As epoll's; no descriptor has this number."""
        return -1


def quiet(times: int) -> Iterable[Events]:
    """Waits without an event."""
    return [[] for _ in range(times)]
