"""Turns: the threads of one process run CPU-bound requests one after the other, as long as that delays no request.

    FREE   every thread takes a task as soon as there is one
      |      the process computes, several of its threads have a task, and the pause after a failure is over
      v
    DOUBT  as FREE, and the process measures how many cores it uses while two of its threads have a task
      |      no more than one, so they compute under the GIL (otherwise: FREE)
      v
    TURN   one thread, the holder, takes task after task; the others wait
      |      the holder sleeps a fifth of the time or more: its requests wait for something, and others could compute
      |      a request has used a core for LONG_CPU_SECONDS: in FREE shorter requests overtake it
      |      the front finds no task taken for LATE_SECONDS (see untaken): the holder is busy with a long one
      |      its stint is over: check how the process performs without turns
      v
    FREE

With the GIL only one thread of a process computes at a time, so more threads gain nothing for such work. They cost
time: each system call releases the GIL and wakes another thread, often on another core, where it waits behind another
process while this process stands still. Two processes with four threads each on two cores lost a seventh of the
throughput of two processes with one thread (``bench/threads.py``); with turns they lose a thirtieth.

A thread that waits for a turn has no task. Tasks stay in the inbox, where any thread finds them, and dispatch sees the
same load. Waiting threads wake only for a ring of the inbox's bell: ten wake-ups a second in Python, each of which
needs the GIL, would cost another tenth of the throughput. So the front, which has its own interpreter, watches for
tasks that are held up.

The scheduler says how long a thread slept: /proc/thread-self/schedstat has the nanoseconds that it ran and those that
it waited for a core. On a virtual machine the host takes time that is neither; so a thread that never went to sleep,
according to getrusage(2), has not slept. Without that file, without the GIL, or with one thread there are no turns. The
threads of a process share this object without a lock: if two decide at once they begin one turn, and the later thread
holds it.

The file is long because the rules that begin and end a turn share their measurements.
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
FREE_TASKS = 4  # tasks of a thread between two checks in FREE
PERIOD_SECONDS = 0.05  # the least seconds between two checks in FREE; seconds of the pause after the first failure
SETTLED_SECONDS = 0.1  # seconds after which a turn is judged though other threads have tasks
JUDGED_SECONDS = 0.02  # seconds of a turn for which the holder's share is measured
GAP_SECONDS = 0.5  # seconds after which a window is meaningless: there was nothing to do, or one long task
STINT_SECONDS = 5.0  # seconds of a turn; the next one is twice as long
# the most seconds of a turn: work that begins to compute without the GIL may go unnoticed for so long
LONGEST_SECONDS = 20.0
# seconds after which a turn has succeeded: if it fails later, the pause starts again from PERIOD_SECONDS
PROVEN_SECONDS = 1.0
# the most seconds from a failure to the next turn; the pause doubles with each early failure
LONGEST_PAUSE_SECONDS = 10.0
AWAKE_SHARE = 0.8  # share of the time that the holder has to run or to wait for a core
FEW_CORES, ALL_CORES = 0.1, 1.1  # a process that computes under the GIL uses between FEW_CORES and ALL_CORES cores
BESIDE_SECONDS = 0.1  # seconds of measuring how many cores the process uses while two threads have a task
SHORT_CPU_SECONDS = 0.0003  # CPU seconds per task; a shorter task ends before another thread is awake
LONG_CPU_SECONDS = 0.01  # CPU seconds per task; longer tasks share the core better, as the GIL changes hands every 5 ms
LATELY_SECONDS = 0.015  # seconds since a request began; less than LATE_SECONDS, after which the front rings


def turns(inbox: ProcessInbox) -> Turns | None:
    """Return the turns of the threads that take from this inbox; None if they do not compute under one GIL, or the
    kernel does not say how long they sleep."""
    if inbox.bell is None or not getattr(sys, "_is_gil_enabled", lambda: True)():
        return None
    try:
        scheduled()
    except (OSError, ValueError) as error:
        log.debug("no turns: %s", error)
        return None
    return Turns(inbox)


class Scheduled(NamedTuple):
    """The scheduler's figures of one thread. ``awake``: seconds that it has run or waited for a core; ``sleeps``: how
    often it went to sleep."""

    awake: float
    sleeps: int


Step = Callable[[], None] | None  # for each task of a stint: a function to call once the task has been taken


class Window(NamedTuple):
    """The last check of the holder: the time, the scheduler's figures, and how many tasks other threads had taken."""

    clock: float
    seen: Scheduled
    others: int


class Turns:
    """The turns of one process. ``thread``: returns the scheduler's figures of the calling thread; ``computed`` and
    ``own``: return the CPU seconds that the process and the calling thread have used."""

    def __init__(
        self,
        inbox: ProcessInbox,
        thread: Callable[[], Scheduled] | None = None,
        clock: Callable[[], float] = monotonic,
        computed: Callable[[], float] = process_time,
        own: Callable[[], float] = thread_time,
    ) -> None:
        assert inbox.bell is not None  # checked by ``turns``
        self._bell = inbox.bell
        self._inbox = inbox
        self._workers = inbox.workers
        self._thread = thread or scheduled
        self._clock = clock
        self._computed = computed
        self._own = own
        self.holder = 0  # ident of the thread that has the turn; 0: FREE
        self._turn = 0  # how many turns there have been
        self._began = 0.0
        self._used = 0.0  # in a turn: ``own`` before the last task
        self._tasks = 0  # taken by holders
        self._window: Window | None = None  # of the holder
        self._free = clock(), computed(), self._done()  # at the last check in FREE
        self._doubt = 0.0  # when DOUBT began; 0: it is not DOUBT
        self._beside = self._both = 0.0  # in doubt: seconds with two tasks or more, and ``computed`` in them
        self._due = 0.0  # the earliest time of the next turn
        self._complained = False  # it has been logged that the kernel does not say how long a thread slept
        self._pause = PERIOD_SECONDS  # seconds from the next failure to the next turn
        self._stint = STINT_SECONDS  # seconds of this turn, or of the next one
        self._line = allocate_lock()  # held by the one waiting thread that listens to the bell

    def stints(self) -> Iterator[Iterator[Step]]:
        """Yield to one thread, again and again, an iterator with a step for each task that it may take now. Waits while
        another thread has the turn."""
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
                    yield self._watched() if self._doubt else repeat(None, FREE_TASKS)
        finally:
            if self.holder == me:
                self._end(failed=False)

    def _consider(self, me: int) -> None:
        """In FREE or DOUBT, between two tasks: begin a turn, or not."""
        now = self._clock()
        if self._doubt:
            self._decide(me, now)
            return
        since, before, earlier = self._free
        if now - since < PERIOD_SECONDS or now < self._due:
            return
        computed, done = self._computed(), self._done()
        self._free = now, computed, done
        used, tasks = computed - before, done - earlier
        if now - since > GAP_SECONDS or not SHORT_CPU_SECONDS * tasks <= used <= LONG_CPU_SECONDS * tasks:
            return
        cores = used / (now - since)
        if cores >= ALL_CORES:
            self._stint = STINT_SECONDS
        elif self._others() and cores > FEW_CORES:
            self._beside = self._both = 0.0
            self._doubt = now

    def _watched(self) -> Iterator[Callable[[], None]]:
        """A stint of one task, measured from its taking to its end."""
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
        """In DOUBT: decide from the time in which two threads had a task. The whole time would say little: a few
        requests that compute without the GIL may use just one core, and turns would make some of them wait for
        nothing."""
        if self._beside < BESIDE_SECONDS:
            if now - self._doubt > GAP_SECONDS:  # threads rarely have tasks at the same time, so they need no turns
                self._due = now + GAP_SECONDS
                self._leave_doubt(now)
        elif self._both >= ALL_CORES * self._beside:
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
        """Put off the next turn, for twice as long each time unless ``anew``; and make it short."""
        self._pause = PERIOD_SECONDS if anew else min(self._pause * 2, LONGEST_PAUSE_SECONDS)
        self._due = now + self._pause
        self._stint = STINT_SECONDS

    def _turn_of(self, me: int) -> Iterator[None]:
        """The stint of the holder."""
        while self._goes_on(me):
            yield None

    def _goes_on(self, me: int) -> bool:
        """Whether the holder may take another task; called by it before each."""
        if self.holder == me:
            now, used = self._clock(), self._used
            self._used = self._own()
            if self._used - used > LONG_CPU_SECONDS:
                self._end(failed=True)
            elif self._window is None or now - self._window.clock >= JUDGED_SECONDS:
                self._judge(now)
            self._tasks += 1
        return self.holder == me

    def _judge(self, now: float) -> None:
        """Judge the turn at the end of a window; called by the holder."""
        try:
            seen = self._thread()
        except (OSError, ValueError) as error:  # an app may change its root directory, or use up all file descriptors
            if not self._complained:
                self._complained = True
                log.warning("threads do not take turns: %s", error)
            self._end(failed=True)
            return
        window, self._window = self._window, Window(now, seen, self._taken() - self._tasks)
        if window is None:
            return
        # Threads that were asleep on the inbox when the turn began take one more task, and the GIL with it.
        disturbed = self._others() or self._window.others != window.others
        if disturbed and now - self._began < SETTLED_SECONDS:
            return
        seconds, before = now - window.clock, window.seen
        slept = seen.sleeps != before.sleeps and seen.awake - before.awake < AWAKE_SHARE * seconds
        if slept and seconds < GAP_SECONDS:
            self._end(failed=self._inbox.waiting > 0)  # otherwise it slept because there was nothing to do
        elif now - self._began > self._stint:
            self._stint = min(self._stint * 2, LONGEST_SECONDS)
            self._end(failed=False)

    def _end(self, *, failed: bool) -> None:
        now = self._clock()
        if failed:
            self._postpone(now, anew=now - self._began > PROVEN_SECONDS)
        self._free = now, self._computed(), self._done()
        self.holder = 0
        self._bell.ring()  # if something raises before this, the front rings when it finds untaken tasks

    def _wait(self) -> None:
        """Wait until the turn of another thread is over."""
        with self._line:
            turn = self._turn
            while self.holder and self._turn == turn:
                self._bell.wait()
                # If the turn still lasts, the front rang. The holder may only be late because it had no core.
                if self.holder and self._turn == turn and self._late():
                    self._end(failed=True)

    def _done(self) -> int:
        return sum(row[DONE] for row in self._workers)

    def _taken(self) -> int:
        return sum(row[TAKEN] for row in self._workers)

    def _others(self) -> bool:
        """Whether other threads have a task; called between two tasks of this thread."""
        return any(row[TAKEN] != row[DONE] for row in self._workers)

    def _late(self) -> bool:
        """Whether no request has begun in the last LATELY_SECONDS."""
        recent = int((self._clock() - LATELY_SECONDS) * 1e9)
        return not any(row[SINCE] > recent for row in self._workers)


def scheduled() -> Scheduled:
    """Return the scheduler's figures of this thread (proc(5), /proc/pid/schedstat; getrusage(2), ru_nvcsw). Raises
    OSError or ValueError if the kernel does not provide them."""
    file = open_file(SCHEDULED, O_RDONLY | O_CLOEXEC)
    try:
        ran, waited, _ = read(file, 128).split()
    finally:
        close(file)
    return Scheduled((int(ran) + int(waited)) / 1e9, getrusage(RUSAGE_THREAD).ru_nvcsw)
