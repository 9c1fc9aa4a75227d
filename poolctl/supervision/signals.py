"""Signals are written down when they arrive and obeyed when the loop comes to them.

    kernel -> C handler -> one byte, the signal's number, into a pipe -> Signals.wait() wakes -> Signals.take()

The pipe is the record: it outlasts any race between looking and sleeping, because a byte that is in it ends the next
sleep at once. The Python handlers do nothing. The supervisor and the mold each own one Signals; a process that was
just forked owns none (`inherit_nothing`): until that is done its signals are held back, for a byte that it wrote
would land in the pipe of its parent.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from math import ceil, inf
from select import POLLIN, poll
from signal import getsignal as handler_of
from signal import set_wakeup_fd
from signal import signal as set_handler
from types import FrameType, TracebackType
from typing import Any, Self

from poolctl.runtime.system import forked

Handler = Callable[[int, FrameType | None], Any] | int | signal.Handlers | None

# Signals that other servers know and this one does not yet: what each is for.
UNUSED = {
    signal.SIGHUP: "a reload is not available yet: restart the server to apply a changed file",
    signal.SIGUSR2: "an upgrade without a restart is not available yet",
    signal.SIGTTIN: "a pool cannot be resized yet while it runs: change pool.size and restart the server",
    signal.SIGTTOU: "a pool cannot be resized yet while it runs: change pool.size and restart the server",
}
SUPERVISED = (signal.SIGTERM, signal.SIGINT, signal.SIGCHLD, signal.SIGUSR1, *UNUSED)


def nothing(number: int, frame: FrameType | None) -> None:
    """Handle a signal that the C handler has written down, or that this process leaves to the supervisor.

    A handler, not SIG_IGN: an ignored signal stays ignored in every program that the user's app starts.
    """


def ignored_from_now_on(number: int, frame: FrameType | None) -> None:
    """Handle SIGTTOU: who writes to a terminal from the background, where it stops that, gets one for every attempt."""
    set_handler(signal.SIGTTOU, signal.SIG_IGN)


class Signals:
    """The recording handlers of one process, in place between `with` and its end."""

    def __init__(self, *numbers: signal.Signals) -> None:
        self.numbers = numbers
        self.reader, self.writer = os.pipe()
        forked.hold({self.reader, self.writer})
        os.set_blocking(self.reader, False)
        os.set_blocking(self.writer, False)
        self._handlers: dict[signal.Signals, Handler] = {}
        self._wakeup = -1

    def __enter__(self) -> Self:
        self._wakeup = set_wakeup_fd(self.writer, warn_on_full_buffer=False)
        for number in self.numbers:
            if number in UNUSED and handler_of(number) == signal.SIG_IGN:
                continue  # nohup, for instance, has decided
            handler = ignored_from_now_on if number == signal.SIGTTOU else nothing
            self._handlers[number] = set_handler(number, handler)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, self.numbers)  # a mask outlives exec: the caller's may hide them
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._handlers.items():
            set_handler(number, handler if handler is not None else signal.SIG_DFL)
        set_wakeup_fd(self._wakeup)
        self.close()

    def close(self) -> None:
        """Close the pipe, in a forked process that is not the one which records."""
        forked.release({self.reader, self.writer})
        os.close(self.reader)
        os.close(self.writer)

    def wait(self, descriptors: Iterable[int], seconds: float) -> set[int]:
        """Sleep until a signal, an event on one of `descriptors` or the time; answers the descriptors that have one."""
        poller = poll()  # no descriptor of its own, so none to leak into what is forked
        for descriptor in (self.reader, *descriptors):
            poller.register(descriptor, POLLIN)
        limit = None if seconds == inf else max(0, ceil(seconds * 1000))
        return {descriptor for descriptor, _ in poller.poll(limit)}

    def take(self) -> list[signal.Signals]:
        """What has arrived since the last time, in order."""
        try:
            record = os.read(self.reader, 65536)
        except BlockingIOError:
            return []
        return [signal.Signals(number) for number in record if number in self.numbers]


@contextmanager
def held_back() -> Iterator[None]:
    """Keep signals in the kernel: around a fork, until the child has let go of its parent's pipe."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, SUPERVISED)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def inherit_nothing() -> None:
    """In a forked process: record nothing; the supervisor alone decides when to end, whoever else gets the signal too.

    A terminal sends SIGINT to a whole process group, systemd sends SIGTERM to every process of a unit, and people send
    SIGHUP to every process of a name. The signals of terminals keep their meaning: a debugger in an app reads there.
    """
    set_wakeup_fd(-1)
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1, signal.SIGHUP, signal.SIGUSR2):
        if handler_of(number) != signal.SIG_IGN:
            set_handler(number, nothing)
    for number in (signal.SIGCHLD, signal.SIGTTIN, signal.SIGTTOU):
        set_handler(number, signal.SIG_DFL)


def on_reopen(reopen: Callable[[], None]) -> None:
    """In a role: SIGUSR1 opens the log's file again, and so does this call, for one may have come before it.

    The handler acts, unlike all others: roles have loops of every kind, and threads that sleep where no signal wakes
    them. It may run between any two bytecodes of the main thread, which is safe, for it replaces a descriptor in one
    step and writes are one step too.
    """

    def handler(number: int, frame: FrameType | None) -> None:
        reopen()

    forked.OWN_SIGNALS.add(handler)
    set_handler(signal.SIGUSR1, handler)
    reopen()


forked.OWN_SIGNALS.update((nothing, ignored_from_now_on))  # a child of the app ends by SIGTERM, as any program does
