"""The link of a role with the mold that forked it: an end of file means stop, and follows from the mold's death too.

    mold  holds the write end of one pipe for each stage of roles and of one for each worker, and the other end of a
          channel with each process
    role  holds the read end; nothing is ever written into those of stages, so their only event is the end of file

A byte in its own pipe tells a worker that it leaves while the others go on. So it takes nothing that others can take,
finishes what it has, and passes idle connections on. An end of file without a byte is the death of the mold: then the
lifeline ends too, all workers leave, and nobody else would take what they share.

In the channel the mold speaks to one process, in messages that begin with one of the words below:

    DIE      it is about to be killed: it writes what it was doing to the log, and kills itself
    PREPARE  a reload changes values that running processes can take (change.py of supervision): it makes what these
             need, changes nothing, and answers PREPARE, with the reason if it cannot take them
    TAKE     all processes can: it takes the values that it has prepared, and answers TAKE when it has

The loops register the read end in their poller. But a worker may be stuck in the user's code when the end comes, so
that no loop runs, and a dead mold cannot end it. So in each role one thread waits for the end of file too, and ends
the process when the time to drain is over. Before that it logs what the process was doing, once. This thread hears the
channel too; a role that forks, and so has no other thread, hears it in its loop.
"""

from __future__ import annotations

import faulthandler
import logging
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from math import ceil, inf
from os import _exit, getpid, kill, read, write
from select import POLLIN, poll
from signal import SIGKILL, SIGUSR2
from struct import Struct
from time import monotonic
from typing import Final, TypeAlias

from poolctl.errors import PoolctlError
from poolctl.runtime.system import forked, threads

log = logging.getLogger("poolctl")

LEAVE_SECONDS = 0.02  # seconds between two calls for a worker that is to leave
STDERR = 2  # the descriptor
DIE, PREPARE, TAKE = 0, 1, 2  # the words of the channel
SAID: Final = Struct("<BQ")  # the beginning of a message: a word, and the number of the change
CHANGE_BYTES = 64 << 10  # bytes of the values of a change
REASON_BYTES = 1000  # bytes of the reason why a process cannot take them

# Takes values that have been prepared, and calls its argument when that is done, perhaps later and in another thread.
Take: TypeAlias = Callable[[Callable[[], None]], None]


@dataclass
class Life:
    """What a role gets when it starts. A reload may change ``drain`` later."""

    lifeline: int  # descriptor; readable, with the end of file, when it is time to drain and exit
    drain: float  # seconds from that end of file to the end of the process, whatever is still in flight
    ready: Callable[[], None]  # to be called once, when the role can serve
    stop: int = -1  # descriptor; readable when the stop begins: workers behind a front drain after the front has exited
    leave: int = -1  # descriptor; says when this worker is to leave while the others go on: `told_to_leave`
    place: int = -1  # the number of the worker whose place in a reuse-port group this one takes
    channel: int = -1  # descriptor; what the mold says to this process: see above
    _prepare: Callable[[bytes], Take] | None = field(default=None, repr=False, compare=False)
    _prepared: tuple[int, Take] | None = field(default=None, repr=False, compare=False)  # of the change of this number
    _leavers: list[Callable[[], None]] = field(default_factory=list, repr=False, compare=False)
    _witnesses: list[Callable[[], int]] = field(default_factory=list, repr=False, compare=False)
    _drainers: list[Callable[[], None]] = field(default_factory=list, repr=False, compare=False)
    _drains: list[bool] = field(default_factory=list, repr=False, compare=False)  # not empty: the drain has begun

    def change_by(self, prepare: Callable[[bytes], Take]) -> None:
        """Have this prepare the values of a change; it raises why it cannot. Called before the role runs."""
        self._prepare = prepare

    def drain_for(self, seconds: float) -> None:
        """Have a drain that begins from now on take at most so long."""
        self.drain = seconds

    def thread(self, work: Callable[[], None], name: str) -> threads.Started:
        """Start a thread of the role. If it raises, the process exits and the mold starts another one, so that a pool
        never shrinks unseen. Returns the thread."""

        def run() -> None:
            try:
                work()
            except BaseException:
                forked.leave()
                log.exception("a thread of the role failed: exiting, to be replaced")
                _exit(1)

        return threads.start(run, name, daemon=False)

    def when_leaving(self, call: Callable[[], None]) -> None:
        """Have this called while the worker is to leave, again and again until it has left, in the thread that
        `enforce` starts: for one that waits where no loop watches ``leave``. It must not wait: the thread watches the
        lifeline too."""
        self._leavers.append(call)

    def when_ended(self, describe: Callable[[], int]) -> None:
        """Have this called before the process is ended with unfinished work, in the thread that `enforce` starts: it
        logs the requests in flight, and returns how many it has found."""
        self._witnesses.append(describe)

    def when_draining(self, call: Callable[[], None]) -> None:
        """Have this called when the drain of this process begins, with the stop or because it leaves, in the thread
        that `enforce` starts; at once if it has begun. It may be called twice, and must not wait."""
        self._drainers.append(call)
        if self._drains:
            call()

    def enforce(self) -> None:
        """Exit when draining takes too long, even if every loop of this process is stuck. Called before the app is
        imported, because the import itself may never end."""
        stacks_on_signal()
        threads.watch(self._watch, "lifeline")

    def _watch(self) -> None:
        events, deadline, leaves, said = poll(), inf, False, ""
        for descriptor in {self.lifeline, self.stop, self.leave, self.channel} - {-1}:
            events.register(descriptor, POLLIN)
        while (left := deadline - monotonic()) > 0:
            wait = min(left, LEAVE_SECONDS) if leaves else left
            # not read(), but for the channel: an event loop that watches a pipe makes it non-blocking for all processes
            found = {descriptor for descriptor, _ in events.poll(None if wait == inf else ceil(wait * 1000))}
            if self.channel in found and self.hear():
                found.discard(self.channel)
            for descriptor in found:
                events.unregister(descriptor)
            if self.leave in found:
                leaves = told_to_leave(self.leave)
            if leaves or found & {self.lifeline, self.stop}:
                self._begin_drain()
            if self.lifeline in found:
                deadline = monotonic() + self.drain
            if leaves and deadline == inf:
                said = self._call_leavers(said)
        log.warning("still busy %g s after the stop: exiting with unfinished work", self.drain)
        self._describe()
        _exit(1)

    def hear(self, *, describes: bool = True) -> bool:
        """Do what the message says that has arrived in the channel. Returns False at its end: the mold is dead, and the
        lifeline has ended too. ``describes``: whether this process has requests in flight to log before it ends."""
        try:
            message = read(self.channel, SAID.size + CHANGE_BYTES)
        except ConnectionError:  # where the channel has no end of file (macOS)
            return False
        if len(message) < SAID.size:
            return False
        word, number = SAID.unpack_from(message)
        if word == DIE:
            if describes:
                self._describe()
            kill(getpid(), SIGKILL)
        elif word == PREPARE:
            self._make_ready(number, message[SAID.size :])
        elif self._prepared is not None and self._prepared[0] == number:
            (_, take), self._prepared = self._prepared, None
            take(lambda: self._say(TAKE, number))
        return True

    def _make_ready(self, number: int, change: bytes) -> None:
        """Prepare a change, whose values no other process can have yet."""
        why = b""
        try:
            if self._prepare is None:
                raise PoolctlError("this role takes no new values")
            self._prepared = number, self._prepare(change)
        except BaseException as error:  # noqa: BLE001  # a plugin may raise anything, which is answered
            forked.leave()
            why = described(error).encode("utf-8", "replace")[:REASON_BYTES]
        self._say(PREPARE, number, why)

    def _say(self, word: int, number: int, text: bytes = b"") -> None:
        with suppress(OSError):  # the mold is dead
            write(self.channel, SAID.pack(word, number) + text)

    def _begin_drain(self) -> None:
        if not self._drains:
            self._drains.append(True)
            for call in list(self._drainers):
                call()

    def _call_leavers(self, said: str) -> str:
        """``said``: the error that was logged last. Returns the one that is now."""
        for call in list(self._leavers):
            try:
                call()
            except OSError as error:  # out of file descriptors, which may be over at the next call
                if said != str(error):
                    said = str(error)
                    log.error("cannot leave yet: %s", error)
        return said

    def _describe(self) -> None:
        found = 0
        for describe in list(self._witnesses):
            try:
                found += describe()
            except BaseException:
                log.exception("cannot log what this process is doing")
        if self._witnesses and not found:
            log.warning("unfinished: no request was found in the Python frames; the stacks of all threads:")
            faulthandler.dump_traceback(STDERR, all_threads=True)


def described(error: BaseException) -> str:
    """Return why a process cannot take new values: the error's text, which may be that of a plugin."""
    try:
        text = str(error)
    except BaseException:  # noqa: BLE001  # its ``__str__`` is the plugin's code too
        text = ""
    name: str = type.__getattribute__(type(error), "__name__")  # the class may have a metaclass of the plugin's
    return text if isinstance(error, PoolctlError) else f"{name}: {text}" if text else name


def stacks_on_signal() -> None:
    """Have SIGUSR2 write the bare stacks of all threads to standard error, even while C code holds the interpreter."""
    if hasattr(faulthandler, "register"):
        faulthandler.unregister(SIGUSR2)  # an app may have registered it before the fork, which has reset the handler
        faulthandler.register(SIGUSR2, STDERR, all_threads=True)


def told_to_leave(descriptor: int) -> bool:
    """Return whether a worker is to leave while the others go on. Called when there is an event of ``Life.leave``,
    which may also be that the mold has died. Takes nothing out of the pipe, at which several look."""
    poller = poll()
    poller.register(descriptor, POLLIN)
    return any(event & POLLIN for _, event in poller.poll(0))
