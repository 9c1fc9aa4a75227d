"""Turns: threads of one process whose requests compute run one after the other, as long as that delays no request.

    FREE   every thread takes a task as soon as there is one
      |      the process computes, several of its threads have a task, and the pause after a failure is over
      v
    DOUBT  the same, and it is measured how many cores the process uses while two of its threads have a task
      |      no more than one, so they compute under the GIL (else: FREE)
      v
    TURN   one thread, the holder, takes task after task; the others wait
      |      the holder sleeps a fifth of the time or more: its requests wait for something, and others could compute
      |      a request has used a core for LONG: in FREE shorter ones get ahead of it
      |      the front finds that no task has been taken for LATE (see untaken): the holder is at a long one
      |      its stint is over: see how the process does without turns
      v
    FREE

With the GIL one thread of a process computes at a time, so others gain such work nothing. They cost it time: each
system call releases the GIL and wakes one of them, often on another core, where it waits behind another process while
this one stands still. With two processes of four threads on two cores that was a seventh of the throughput of two
processes of one (``bench/threads.py``); in turns it is a thirtieth.

A thread that waits for a turn has no task. Tasks stay in the inbox, where any thread finds them, and the load that
dispatch sees is the same. Waiting threads wake for a ring of the inbox's bell alone: ten wake-ups a second in Python,
each of which needs the GIL, cost a tenth of the throughput again. So it is the front, which has another interpreter,
that looks after tasks held up.

How long a thread slept is what the scheduler says: /proc/thread-self/schedstat has the nanoseconds that it ran and
those that it waited for a core. On a virtual machine the host takes time that is neither; so a thread that never went
to sleep, as getrusage(2) counts that, has not slept. Without that file, without the GIL, or with one thread there are
no turns. The threads of a process share this object without a lock: two that decide at once begin one turn, which the
later one holds.
"""

from __future__ import annotations

import logging
import sys
from _thread import allocate_lock, get_ident
from collections.abc import Callable, Iterator
from itertools import repeat
from os import O_CLOEXEC, O_RDONLY, close, read
from os import open as open_file
from resource import RUSAGE_THREAD, getrusage
from time import monotonic, process_time, thread_time
from typing import NamedTuple

from poolctl.runtime.channels.inbox import ProcessInbox
from poolctl.runtime.scoreboard import DONE, SINCE, TAKEN

log = logging.getLogger("poolctl")
SCHEDULED = "/proc/thread-self/schedstat"
FREELY = 4  # tasks of a thread between two looks in FREE
PERIOD = 0.05  # seconds of a look in FREE; of the pause after the first failure
SETTLED = 0.1  # seconds after which a turn is judged though other threads have tasks
JUDGED = 0.02  # seconds of a turn for which the holder's share is measured
GAP = 0.5  # seconds of a window that says nothing, since there was nothing to do, or one long task
STINT = 5.0  # seconds of a turn; the next one is twice as long
LONGEST = 20.0  # seconds of a turn, at most: so long may work that has begun to compute without the GIL go unnoticed
PROVEN = 1.0  # seconds after which a turn has done well: should it fail then, the pause starts again
REST = 10.0  # seconds after a failure to the next turn, at most; the pause doubles with each early failure
AWAKE = 0.8  # share of the time that the holder has to run or to wait for a core
FEW, ALL = 0.1, 1.1  # cores that a process uses which computes under the GIL
BESIDE = 0.1  # seconds for which it is measured what the process uses while two threads have a task
SHORT = 0.0003  # seconds of a core for each task: what costs less is done before another thread is awake
LONG = 0.01  # the same: what costs more shares its core better, as the GIL changes hands every 5 ms
LATELY = 0.015  # seconds since a request began: less than LATE, at which the front rings


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


class Scheduled(NamedTuple):
    """Of one thread. ``awake``: seconds that it has run or waited for a core; ``sleeps``: how often it went to
    sleep."""

    awake: float
    sleeps: int


Step = Callable[[], None] | None  # before each task of a stint: what to call when it has been taken


class Window(NamedTuple):
    """When the holder was last looked at: the clock, what the scheduler said, and how many tasks others had taken."""

    clock: float
    seen: Scheduled
    others: int


class Turns:
    """Of one process. ``thread``: what the scheduler says of the calling one; ``computed`` and ``own``: seconds of a
    core that the process and the calling thread have used."""

    def __init__(
        self,
        inbox: ProcessInbox,
        thread: Callable[[], Scheduled] | None = None,
        clock: Callable[[], float] = monotonic,
        computed: Callable[[], float] = process_time,
        own: Callable[[], float] = thread_time,
    ) -> None:
        assert inbox.bell is not None  # asked by ``turns``
        self._bell = inbox.bell
        self._inbox = inbox
        self._workers = inbox.workers
        self._thread = thread or scheduled
        self._clock = clock
        self._computed = computed
        self._own = own
        self.holder = 0  # the thread whose turn it is; 0: FREE
        self._turn = 0  # how many there have been
        self._began = 0.0
        self._used = 0.0  # in a turn: ``own`` before the last task
        self._tasks = 0  # of the holders
        self._window: Window | None = None  # of the holder
        self._free = clock(), computed(), self._done()  # in FREE, when it was last looked at
        self._doubt = 0.0  # since when; 0: none
        self._beside = self._both = 0.0  # in doubt: seconds with two tasks or more, and ``computed`` in them
        self._due = 0.0  # no turn before
        self._complained = False  # it has been logged that the kernel does not say how long a thread slept
        self._pause = PERIOD  # after a failure
        self._stint = STINT  # of the next turn, or of this one
        self._line = allocate_lock()  # of the waiting threads one listens to the bell; the others wait for this

    def stints(self) -> Iterator[Iterator[Step]]:
        """For one thread: an iterator with a step for each task that it may take now, again and again. Waits while
        another has a turn."""
        me = get_ident()
        try:
            while True:
                if self.holder not in (0, me):
                    self._wait()
                    continue
                if not self.holder:
                    self._consider(me)
                if self.holder == me:
                    yield self._turn_of(me)
                else:
                    yield self._watched() if self._doubt else repeat(None, FREELY)
        finally:
            if self.holder == me:
                self._end(failed=False)

    def _consider(self, me: int) -> None:
        """FREE, or in doubt, between two tasks: begin a turn?"""
        now = self._clock()
        if self._doubt:
            self._decide(me, now)
            return
        since, before, earlier = self._free
        if now - since < PERIOD or now < self._due:
            return
        computed, done = self._computed(), self._done()
        self._free = now, computed, done
        used, tasks = computed - before, done - earlier
        if now - since > GAP or not SHORT * tasks <= used <= LONG * tasks:
            return
        cores = used / (now - since)
        if cores >= ALL:
            self._stint = STINT
        elif self._others() and cores > FEW:
            self._beside = self._both = 0.0
            self._doubt = now

    def _watched(self) -> Iterator[Callable[[], None]]:
        """A stint of one task, from its taking to its end."""
        taken: list[tuple[float, float]] = []

        def take() -> None:
            if self._others():
                taken.append((self._clock(), self._computed()))

        yield take
        if taken and self._others():
            ((clock, computed),) = taken
            self._both += self._computed() - computed
            self._beside += self._clock() - clock

    def _decide(self, me: int, now: float) -> None:
        """In doubt. Of the whole time it would say little: requests that compute without the GIL may be so few that
        they use a core, and some of them wait for no reason when they take turns."""
        if self._beside < BESIDE:
            if now - self._doubt > GAP:  # threads seldom have a task at the same time, so they need no turns
                self._due = now + GAP
                self._leave_doubt(now)
        elif self._both >= ALL * self._beside:
            self._postpone(now)
            self._leave_doubt(now)
        elif self._others():
            self._doubt = 0.0
            self._bell.silence()
            self._turn += 1
            self._began, self._used, self._window = now, self._own(), None
            self.holder = me

    def _leave_doubt(self, now: float) -> None:
        self._free = now, self._computed(), self._done()
        self._doubt = 0.0

    def _postpone(self, now: float, *, anew: bool = False) -> None:
        """The next turn is later each time, unless this begins ``anew``; and it is short."""
        self._pause = PERIOD if anew else min(self._pause * 2, REST)
        self._due = now + self._pause
        self._stint = STINT

    def _turn_of(self, me: int) -> Iterator[None]:
        """The stint of the holder."""
        while self._goes_on(me):
            yield None

    def _goes_on(self, me: int) -> bool:
        """The holder, before each task."""
        if self.holder == me:
            now, used = self._clock(), self._used
            self._used = self._own()
            if self._used - used > LONG:
                self._end(failed=True)
            elif self._window is None or now - self._window.clock >= JUDGED:
                self._judge(now)
            self._tasks += 1
        return self.holder == me

    def _judge(self, now: float) -> None:
        """The holder, at the end of a window."""
        try:
            seen = self._thread()
        except (OSError, ValueError) as error:  # an app may change its root, or use up all descriptors
            if not self._complained:
                self._complained = True
                log.warning("threads do not take turns: %s", error)
            self._end(failed=True)
            return
        window, self._window = self._window, Window(now, seen, self._taken() - self._tasks)
        if window is None:
            return
        # Threads that slept on the inbox when the turn began take one task more, and the GIL with it.
        disturbed = self._others() or self._window.others != window.others
        if disturbed and now - self._began < SETTLED:
            return
        seconds, before = now - window.clock, window.seen
        slept = seen.sleeps != before.sleeps and seen.awake - before.awake < AWAKE * seconds
        if slept and seconds < GAP:
            self._end(failed=self._inbox.waiting > 0)  # else it slept because there was nothing to do
        elif now - self._began > self._stint:
            self._stint = min(self._stint * 2, LONGEST)
            self._end(failed=False)

    def _end(self, *, failed: bool) -> None:
        now = self._clock()
        if failed:
            self._postpone(now, anew=now - self._began > PROVEN)
        self._free = now, self._computed(), self._done()
        self.holder = 0
        self._bell.ring()  # whatever raises before, the front rings when it finds tasks that nobody takes

    def _wait(self) -> None:
        """Until the turn of another thread is over."""
        with self._line:
            turn = self._turn
            while self.holder and self._turn == turn:
                self._bell.wait()
                # If the turn lasts it was the front that rang. The holder may have been late for want of a core.
                if self.holder and self._turn == turn and self._late():
                    self._end(failed=True)

    def _done(self) -> int:
        return sum(row[DONE] for row in self._workers)

    def _taken(self) -> int:
        return sum(row[TAKEN] for row in self._workers)

    def _others(self) -> bool:
        """Between two tasks of this thread: whether other threads have one."""
        return any(row[TAKEN] != row[DONE] for row in self._workers)

    def _late(self) -> bool:
        """Whether no request has begun lately."""
        recent = int((self._clock() - LATELY) * 1e9)
        return not any(row[SINCE] > recent for row in self._workers)


def scheduled() -> Scheduled:
    """Of this thread (proc(5), /proc/pid/schedstat; getrusage(2), ru_nvcsw). Raises OSError or ValueError where the
    kernel does not say."""
    file = open_file(SCHEDULED, O_RDONLY | O_CLOEXEC)
    try:
        ran, waited, _ = read(file, 128).split()
    finally:
        close(file)
    return Scheduled((int(ran) + int(waited)) / 1e9, getrusage(RUSAGE_THREAD).ru_nvcsw)
