"""Turns: threads of one process whose requests compute run one after the other, as long as that delays no request.

    FREE   every thread takes a task as soon as there is one
      |      the process computes, several of its threads have a task, and the pause after a failure is over
      v
    TURN   one thread, the holder, takes task after task; the others wait
      |      the holder sleeps a fifth of the time or more: its requests wait for something, and others could compute
      |      the front finds a task that nobody has taken for LATE (see untaken): the holder is busy with a long one
      |      STINT is over: see how the process does without turns
      v
    FREE

With the GIL one thread of a process computes at a time, so others gain such work nothing. They cost it time: each
system call releases the GIL and wakes one of them, often on another core, where it waits behind another process while
this one stands still. With two processes of four threads on two cores that was a seventh of the throughput of two
processes of one (``bench/threads.py``); in turns it is what one thread has.

A thread that waits for a turn has no task. Tasks stay in the inbox, where any thread finds them, and the load that
dispatch sees is the same. Waiting threads wake for a ring of the inbox's bell alone: ten wake-ups a second in Python,
each of which needs the GIL, cost a tenth of the throughput again. So it is the front, which has another interpreter,
that looks after tasks held up.

How long a thread slept is what the scheduler says: /proc/thread-self/schedstat has the nanoseconds that it ran and
those that it waited for a core. Without that file, without the GIL, or with one thread there are no turns. The threads
of a process share this object without a lock: two that decide at once begin one turn, which the later one holds.
"""

from __future__ import annotations

import logging
import sys
from _thread import allocate_lock, get_ident
from collections.abc import Callable, Iterator
from itertools import repeat
from os import O_CLOEXEC, O_RDONLY, close, read
from os import open as open_file
from time import monotonic, process_time

from poolctl.runtime.inbox import ProcessInbox
from poolctl.runtime.scoreboard import DONE, SINCE, TAKEN, TURN

log = logging.getLogger("poolctl")
SCHEDULED = "/proc/thread-self/schedstat"
LOOK = 8  # tasks of the holder between two looks at how it goes
FREELY = 16  # tasks of a thread between two such looks in FREE
WINDOW = 0.05  # seconds for which a share is measured
GAP = 0.5  # seconds of a window that says nothing, since there was nothing to do, or one long task
STINT = 5.0  # seconds of a turn
LONG = 15_000_000  # nanoseconds of a request that delays others
PROVEN = 1.0  # seconds of a turn whose failure says little
REST = 10.0  # seconds after a failure to the next turn, at most; the pause doubles with each early failure
AWAKE = 0.8  # share of the time that the holder has to run or to wait for a core
FEW, ALL = 0.1, 1.1  # cores that a process uses which computes under the GIL
SHORT = 0.0003  # seconds of a core for each task: what costs less is done before another thread is awake


def turns(inbox: ProcessInbox) -> Turns | None:
    """For the threads of one process that take from this inbox; None where they do not share a core, or where it
    cannot be known how they do."""
    if inbox.bell is None or not getattr(sys, "_is_gil_enabled", lambda: True)():
        return None
    try:
        scheduled()
    except (OSError, ValueError) as error:
        log.debug("no turns: %s", error)
        return None
    return Turns(inbox)


class Turns:
    """Of one process. ``awake``: seconds that the calling thread has run or waited for a core; ``computed``: seconds of
    a core that the process has used."""

    def __init__(
        self,
        inbox: ProcessInbox,
        awake: Callable[[], float] | None = None,
        clock: Callable[[], float] = monotonic,
        computed: Callable[[], float] = process_time,
    ) -> None:
        assert inbox.bell is not None  # asked by ``turns``
        self._bell = inbox.bell
        self._row = inbox.row
        self._workers = inbox.workers
        self._awake = awake or scheduled
        self._clock = clock
        self._computed = computed
        self._row[TURN] = 0  # a predecessor that was killed may have left one
        self._holder = 0  # the thread whose turn it is; 0: FREE
        self._turn = 0  # how many there have been
        self._tasks = 0  # of all holders
        self._began = 0.0
        self._window: tuple[float, float] | None = None  # in a turn: clock and ``awake`` when it was opened
        self._free = clock(), computed(), self._done()  # in FREE, when it was last looked at
        self._due = 0.0  # no turn before
        self._pause = WINDOW  # after a failure
        self._line = allocate_lock()  # of the waiting threads one listens to the bell; the others wait for this

    def stints(self) -> Iterator[Iterator[bool]]:
        """For one thread: an iterator with a step for each task that it may take now, again and again. Waits while
        another has a turn."""
        me = get_ident()
        try:
            while True:
                if self._holder not in (0, me):
                    self._wait()
                    continue
                if not self._holder:
                    self._consider(me)
                yield iter(lambda: self._goes_on(me), False) if self._holder == me else repeat(True, FREELY)
        finally:
            if self._holder == me:
                self._end(failed=False)

    def _consider(self, me: int) -> None:
        """FREE, between two tasks: begin a turn?"""
        now = self._clock()
        since, before, earlier = self._free
        if now - since < WINDOW or now < self._due:
            return
        computed, done = self._computed(), self._done()
        self._free = now, computed, done
        if now - since > GAP or computed - before < SHORT * (done - earlier):
            return
        others = any(row[TAKEN] != row[DONE] for row in self._workers)  # this thread has no task now
        if others and FEW < (computed - before) / (now - since) < ALL:
            self._bell.silence()
            self._turn += 1
            self._began, self._window = now, None
            self._holder = me
            self._row[TURN] = 1

    def _goes_on(self, me: int) -> bool:
        """The holder, before each task."""
        if self._holder == me:
            self._tasks += 1
            if not self._tasks % LOOK:
                self._look()
        return self._holder == me

    def _look(self) -> None:
        now = self._clock()
        if self._window is None:  # the tasks that others had when the turn began are done by now
            self._window = now, self._awake()
            return
        since, before = self._window
        if now - since < WINDOW:
            return
        awake = self._awake()
        self._window = now, awake
        if now - since < GAP and awake - before < AWAKE * (now - since):
            self._end(failed=True)
        elif now - self._began > STINT:
            self._end(failed=False)

    def _end(self, *, failed: bool) -> None:
        now = self._clock()
        if failed:
            proven = now - self._began > PROVEN
            self._pause = WINDOW if proven else min(self._pause * 2, REST)
            self._due = now + self._pause
        self._free = now, self._computed(), self._done()
        self._holder = 0
        self._bell.ring()
        self._row[TURN] = 0  # last: whatever raises before, the front goes on ringing

    def _wait(self) -> None:
        """Until the turn of another thread is over."""
        with self._line:
            turn = self._turn
            while self._holder and self._turn == turn:
                self._bell.wait()
                # If the turn lasts it was the front that rang. The holder may have been late for want of a core.
                if self._holder and self._turn == turn and self._late():
                    self._end(failed=True)

    def _done(self) -> int:
        return sum(row[DONE] for row in self._workers)

    def _late(self) -> bool:
        """Whether no request has begun lately."""
        recent = int(self._clock() * 1e9) - LONG
        return not any(row[SINCE] > recent for row in self._workers)


def scheduled() -> float:
    """Seconds that this thread has run or waited for a core (proc(5), /proc/pid/schedstat). Raises OSError or
    ValueError where the kernel does not say."""
    file = open_file(SCHEDULED, O_RDONLY | O_CLOEXEC)
    try:
        ran, waited, _ = read(file, 128).split()
    finally:
        close(file)
    return (int(ran) + int(waited)) / 1e9
