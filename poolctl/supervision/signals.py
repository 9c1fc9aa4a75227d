"""Signals are recorded when they arrive, and handled when the loop gets to them.

    kernel -> C handler -> one byte, the signal's number, into a pipe -> Signals.wait() wakes -> Signals.take()

The pipe is the record. It survives any race between checking and sleeping, because a byte in it ends the next sleep
immediately. The Python handlers do nothing. The supervisor and the mold own one Signals each; a process that was just
forked owns none (`inherit_nothing`). Until that is done its signals are blocked, because a byte that it wrote would end
up in its parent's pipe.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from math import ceil, inf
from select import POLLIN, poll
from signal import getsignal as handler_of
from signal import set_wakeup_fd
from signal import signal as set_handler
from types import FrameType, TracebackType
from typing import Any, Self

from poolctl.runtime.system import forked

Handler = Callable[[int, FrameType | None], Any] | int | signal.Handlers | None

# Signals that other servers handle and this one does not yet, with what the log says about each.
UNUSED = {
    signal.SIGTTOU: "the terminal sent it, because this process writes to it in the background",
}
CHANGING = (signal.SIGHUP, signal.SIGUSR2, signal.SIGTTIN)  # each begins a change of the server
ENDING_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT)
SUPERVISED = (*ENDING_SIGNALS, signal.SIGCHLD, signal.SIGUSR1, *CHANGING, *UNUSED)


def nothing(number: int, frame: FrameType | None) -> None:
    """Handle a signal that the C handler has recorded, or that this process leaves to the supervisor.

    A handler instead of SIG_IGN, because an ignored signal stays ignored in every program that the user's app starts.
    """


def ignore_from_now_on(number: int, frame: FrameType | None) -> None:
    """Handle SIGTTOU. A background process gets one for every attempt to write to a terminal that forbids it (stty
    tostop), and would try for ever; any other comes from an operator."""
    for descriptor in (1, 2):
        with suppress(OSError):  # not a terminal
            if os.tcgetpgrp(descriptor) != os.getpgrp():
                set_handler(signal.SIGTTOU, signal.SIG_IGN)


def write_in_the_background() -> None:
    """Do not let a terminal that forbids it (stty tostop) stop this process for its first line."""
    if handler_of(signal.SIGTTOU) == signal.SIG_DFL:
        set_handler(signal.SIGTTOU, ignore_from_now_on)


class Signals:
    """The recording handlers of one process, installed for the duration of a `with` block. ``last``: the process ends
    after it, and ignores these signals from then on: they must neither kill it before it has its exit status, nor stop
    it (SIGTTIN, SIGTTOU)."""

    def __init__(self, *numbers: signal.Signals, last: bool = False) -> None:
        self.numbers = numbers
        self._last = last
        self.reader, self.writer = os.pipe()
        forked.hold({self.reader, self.writer})
        os.set_blocking(self.reader, False)
        os.set_blocking(self.writer, False)
        self._handlers: dict[signal.Signals, Handler] = {}
        self._wakeup = -1

    def __enter__(self) -> Self:
        self._wakeup = set_wakeup_fd(self.writer, warn_on_full_buffer=False)
        for number in self.numbers:
            if number in (*CHANGING, *UNUSED) and handler_of(number) == signal.SIG_IGN:
                continue  # the caller ignores it on purpose, for instance nohup
            handler = ignore_from_now_on if number == signal.SIGTTOU else nothing
            self._handlers[number] = set_handler(number, handler)
        signal.pthread_sigmask(
            signal.SIG_UNBLOCK, self.numbers
        )  # masks survive exec, so the caller may have blocked them
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._handlers.items():
            ignored = self._last and number != signal.SIGCHLD  # which harms nobody
            before = handler if handler is not None else signal.SIG_DFL
            set_handler(number, signal.SIG_IGN if ignored else before)
        set_wakeup_fd(self._wakeup)
        self.close()

    def close(self) -> None:
        """Close the pipe; called directly in a forked process, which does not record."""
        forked.release({self.reader, self.writer})
        os.close(self.reader)
        os.close(self.writer)

    def wait(self, descriptors: Iterable[int], seconds: float, others: Mapping[int, int] | None = None) -> set[int]:
        """Sleep until a signal, until one of `descriptors` can be read, or for so many seconds. ``others``: further
        descriptors, with the events of poll(2) for each. Returns the descriptors with an event."""
        poller = poll()  # has no descriptor of its own, so none leaks into forked processes
        for descriptor in (self.reader, *descriptors):
            poller.register(descriptor, POLLIN)
        for descriptor, events in (others or {}).items():
            poller.register(descriptor, events)
        limit = None if seconds == inf else max(0, ceil(seconds * 1000))
        return {descriptor for descriptor, _ in poller.poll(limit)}

    def take(self) -> list[signal.Signals]:
        """Return the signals that have arrived since the last call, in order."""
        try:
            record = os.read(self.reader, 65536)
        except BlockingIOError:
            return []
        return [signal.Signals(number) for number in record if number in self.numbers]


@contextmanager
def held_back() -> Iterator[None]:
    """Block signals around a fork, until the child has detached from its parent's pipe."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, SUPERVISED)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def inherit_nothing() -> None:
    """In a forked process: record nothing, because the supervisor alone decides when to stop.

    Others get the same signals: a terminal sends SIGINT and SIGQUIT to the whole process group, systemd sends SIGTERM
    to every process of a unit, and operators send SIGHUP to every process of a name. SIGTTIN and SIGTTOU are ignored:
    their default would stop the process, and with it its clients, and after a handler the terminal would be tried for
    ever. An app that reads from the terminal in the background gets an error (EIO).
    """
    set_wakeup_fd(-1)
    for number in (*ENDING_SIGNALS, signal.SIGUSR1, signal.SIGHUP, signal.SIGUSR2):
        if handler_of(number) != signal.SIG_IGN:
            set_handler(number, nothing)
    set_handler(signal.SIGCHLD, signal.SIG_DFL)
    for number in (signal.SIGTTIN, signal.SIGTTOU):
        set_handler(number, signal.SIG_IGN)


def on_reopen(reopen: Callable[[], None]) -> None:
    """In a role: make SIGUSR1 reopen the log file, and reopen it now, because a signal may already have been missed.

    Unlike all others this handler acts itself: roles run loops of every kind, and threads that no signal wakes. It may
    run between any two bytecodes of the main thread, which is safe, because it replaces a descriptor in one step, and
    each write is one step too.
    """

    def handler(number: int, frame: FrameType | None) -> None:
        reopen()

    forked.OWN_SIGNALS.add(handler)
    set_handler(signal.SIGUSR1, handler)
    reopen()


# Children of the app get the default handlers back, so that SIGTERM ends them.
forked.OWN_SIGNALS.update((nothing, ignore_from_now_on))
