"""Turns of the threads of one process: when one begins, when it ends, and who waits meanwhile.

Time, the processor's and that of the scheduler are the test's; the inbox, its bell and the waiting threads are real.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from select import poll
from time import sleep
from typing import Any

import pytest
from harness.machine import PATIENCE
from harness.server import wait_until

from poolctl.runtime.channels.inbox import ProcessInbox
from poolctl.runtime.ownership.half_sync_half_reactive.turns import (
    GAP_SECONDS,
    JUDGED_SECONDS,
    LONG_CPU_SECONDS,
    LONGEST_PAUSE_SECONDS,
    LONGEST_SECONDS,
    PERIOD_SECONDS,
    PROVEN_SECONDS,
    SETTLED_SECONDS,
    STINT_SECONDS,
    Scheduled,
    Turns,
    scheduled,
    turns,
)
from poolctl.runtime.ownership.half_sync_half_reactive.untaken import LATE_SECONDS, TakingTurns
from poolctl.runtime.scoreboard import DONE, SENT, SINCE, TAKEN, Scoreboard
from poolctl.runtime.system.poller import IN

TASK = 0.005  # seconds of each
OVER = object()  # a stint


class Threads:
    """A process of ``count`` threads, of which this one is the first; the others only have a task, or none."""

    def __init__(self, count: int = 4) -> None:
        board = Scoreboard(1, count)
        self.rows = [board.worker(number) for number in range(count)]
        self.inbox = ProcessInbox(0, board.inbox(0), self.rows, threads=True)
        self.time, self.used, self.up, self.sleeps = 100.0, 0.0, 0.0, 0
        self.lie = 0  # tasks in the inbox
        self.watched = 0  # tasks whose beginning and end were looked at
        self.hidden = False  # the kernel does not say how long a thread was awake
        self.turns = Turns(self.inbox, self.rest, lambda: self.time, lambda: self.used, lambda: self.used)
        self.stints = self.turns.stints()
        self.stint: Iterator[Any] = iter(())

    @property
    def turn(self) -> bool:
        return self.turns.holder != 0

    def rest(self) -> Scheduled:
        if self.hidden:
            raise FileNotFoundError(2, "No such file or directory", "/proc/thread-self/schedstat")
        return Scheduled(self.up, self.sleeps)

    def others(self, count: int = 1) -> None:
        """So many other threads have a task."""
        for number, row in enumerate(self.rows[1:]):
            row[TAKEN] = row[DONE] + (number < count)
        self.inbox.row[SENT] = self.lie + sum(row[TAKEN] for row in self.rows)

    def work(
        self,
        tasks: int,
        *,
        cores: float = 1.0,
        awake: float = 1.0,
        stolen: float = 0.0,
        each: float = TASK,
        idle: float = 0.0,
    ) -> None:
        """This thread serves so many. ``cores``: that the process uses; ``awake``: share of its time for which this
        thread runs, or waits for a core; ``stolen``: that which the machine's host takes. It sleeps for the rest.
        ``idle``: seconds before each task in which nobody has one."""
        for _ in range(tasks):
            while (taken := next(self.stint, OVER)) is OVER:
                self.stint = next(self.stints)
            self.time += idle
            if taken is not None:
                self.watched += 1
                taken()
            self.inbox.row[SENT] += 1
            self.rows[0][TAKEN] += 1
            self.time += each
            self.used += cores * each
            self.up += (awake - stolen) * each
            self.sleeps += awake < 1
            self.rows[0][DONE] += 1

    def begin(self) -> None:
        """Compute until there is a turn."""
        self.others()
        for _ in range(100_000):
            if self.turn:
                return
            self.work(1)
        pytest.fail("no turn begins")

    def put(self) -> None:
        """A task that stays in the inbox."""
        assert self.inbox.put(b"a task")
        self.lie += 1

    def close(self) -> None:
        self.inbox.writer.close()
        self.inbox.reader.close()


@pytest.fixture
def process() -> Iterator[Threads]:
    made = Threads()
    yield made
    made.close()


@pytest.fixture
def waiter(process: Threads) -> Iterator[Callable[[], threading.Event]]:
    """Starts another thread of the process; the event that it answers is set when that thread may take a task."""
    started: list[threading.Thread] = []

    def start() -> threading.Event:
        may = threading.Event()

        def run() -> None:
            stints = process.turns.stints()
            next(next(stints))
            may.set()

        started.append(threading.Thread(target=run))
        started[-1].start()
        return may

    yield start
    process.stints.close()  # type: ignore[attr-defined]  # a generator
    for thread in started:
        thread.join(PATIENCE)
        assert not thread.is_alive()


def test_threads_that_compute_take_turns(process: Threads) -> None:
    assert not process.turn
    process.begin()
    process.work(100)
    assert process.turn


@pytest.mark.parametrize(
    ("others", "cores", "each"),
    [
        (0, 1.0, TASK),  # nobody else has anything to do
        (3, 0.05, TASK),  # requests wait for something
        (3, 1.9, TASK),  # they compute without the GIL
        (3, 1.0, 0.0001),  # they are over before another thread is awake
        (3, 1.0, GAP_SECONDS),  # one long request each: what was used in so long a time says nothing
    ],
)
def test_others_do_not(process: Threads, others: int, cores: float, each: float) -> None:
    process.others(others)
    process.work(2000, cores=cores, each=each)
    assert not process.turn


def test_threads_that_compute_without_the_gil_take_none_though_they_use_one_core(process: Threads) -> None:
    """There are not enough requests for more; those that come at the same time are served at the same time."""
    process.others(3)
    for _ in range(2000):
        process.work(1, cores=1.9, idle=TASK)
        assert not process.turn


def test_threads_that_seldom_have_tasks_at_the_same_time_take_none(process: Threads) -> None:
    for number in range(2000):
        process.others(number % 10 == 0)
        process.work(1, cores=0.5)
        assert not process.turn


def test_threads_are_not_watched_for_long_when_nothing_is_to_be_seen(process: Threads) -> None:
    process.others()
    while not process.watched:
        process.work(1)
    process.others(0)
    process.work(int(2 * GAP_SECONDS / TASK))
    before = process.watched
    process.work(100)
    assert process.watched == before


def test_a_turn_ends_when_its_requests_wait(process: Threads) -> None:
    process.begin()
    began = process.time
    while process.turn:
        process.work(1, awake=0.5)
    assert process.time - began < SETTLED_SECONDS + JUDGED_SECONDS + 3 * TASK


def test_time_that_the_host_takes_is_no_sleep(process: Threads) -> None:
    process.begin()
    began = process.time
    while process.turn:
        process.work(1, stolen=0.5)
    assert process.time - began >= STINT_SECONDS


def test_a_turn_ends_with_a_long_request(process: Threads) -> None:
    """Without turns shorter ones get ahead of it: the GIL changes hands."""
    process.begin()
    process.work(50)
    process.work(1, each=2 * LONG_CPU_SECONDS)
    process.work(1)
    assert not process.turn


def test_long_requests_begin_none(process: Threads) -> None:
    process.others(3)
    process.work(2000, each=1.1 * LONG_CPU_SECONDS)
    assert not process.turn


def test_a_turn_ends_where_the_kernel_does_not_tell_any_more(
    process: Threads, caplog: pytest.LogCaptureFixture
) -> None:
    """An app may change its root, so that there is no /proc."""
    process.begin()
    process.hidden = True
    process.work(20_000)
    assert not process.turn
    assert len(caplog.records) == 1
    assert "threads do not take turns: [Errno 2] No such file or directory" in caplog.text
    process.hidden = False
    process.begin()


def test_after_a_failure_the_next_turn_is_later_each_time(process: Threads) -> None:
    pauses = []
    process.put()
    for _ in range(30):
        ended = process.time
        process.begin()
        pauses.append(process.time - ended)
        while process.turn:
            process.work(1, awake=0.5)
    assert pauses[8] > 4 * pauses[2]
    assert LONGEST_PAUSE_SECONDS <= max(pauses) < LONGEST_PAUSE_SECONDS + 10 * PERIOD_SECONDS  # and no later than that


def test_with_little_to_do_a_turn_ends_and_the_next_is_no_later(process: Threads) -> None:
    for _ in range(30):
        ended = process.time
        process.begin()
        assert process.time - ended < 5 * PERIOD_SECONDS
        while process.turn:
            process.work(1, awake=0.5)


def test_after_a_turn_that_did_well_for_a_while_the_next_is_soon_again(process: Threads) -> None:
    for _ in range(8):
        fail(process)
    process.begin()
    process.work(int(2 * PROVEN_SECONDS / TASK))
    fail(process)
    ended = process.time
    process.begin()
    assert process.time - ended < 5 * PERIOD_SECONDS


def stint(process: Threads) -> float:
    """Seconds of a turn in which nothing happens."""
    process.begin()
    began = process.time
    while process.turn:
        process.work(1)
    return process.time - began


def test_a_turn_that_does_well_is_followed_by_a_longer_one_soon(process: Threads) -> None:
    stints = []
    for _ in range(5):
        stints.append(stint(process))
        ended = process.time
        process.begin()
        assert process.time - ended < 5 * PERIOD_SECONDS
    assert stints == pytest.approx(
        [STINT_SECONDS, 2 * STINT_SECONDS, LONGEST_SECONDS, LONGEST_SECONDS, LONGEST_SECONDS], abs=3 * JUDGED_SECONDS
    )


def fail(process: Threads) -> None:
    process.begin()
    process.put()
    while process.turn:
        process.work(1, awake=0.5)


def work_without_the_gil(process: Threads) -> None:
    process.work(100, cores=1.9)


@pytest.mark.parametrize("happens", [fail, work_without_the_gil])
def test_stints_are_short_again_when_work_has_changed(process: Threads, happens: Callable[[Threads], None]) -> None:
    stint(process)
    stint(process)
    happens(process)
    assert stint(process) == pytest.approx(STINT_SECONDS, abs=3 * JUDGED_SECONDS)


def test_a_turn_outlasts_a_time_in_which_nobody_asks(process: Threads) -> None:
    process.begin()
    process.work(50)
    process.time += 100 * GAP_SECONDS  # asleep on the inbox
    process.work(50)
    assert process.turn


def test_others_wait_until_a_turn_is_over(process: Threads, waiter: Callable[[], threading.Event]) -> None:
    process.begin()
    waiting = [waiter() for _ in range(3)]
    wait_until(process.turns._line.locked, "one that listens to the bell")
    process.work(100)
    assert not any(may.is_set() for may in waiting)
    while process.turn:
        process.work(1)
    assert all(may.wait(PATIENCE) for may in waiting)


def test_a_thread_that_leaves_ends_its_turn(process: Threads, waiter: Callable[[], threading.Event]) -> None:
    process.begin()
    may = waiter()
    process.stints.close()  # type: ignore[attr-defined]  # a generator
    assert may.wait(PATIENCE)
    assert not process.turn


def test_the_front_ends_a_turn_whose_holder_is_at_a_long_request(
    process: Threads, waiter: Callable[[], threading.Event]
) -> None:
    front = TakingTurns([process.inbox])
    process.begin()
    may = waiter()
    process.put()
    process.rows[0][SINCE] = int(process.time * 1e9)
    front.look(process.time)
    process.time += LATE_SECONDS * 1.5
    assert not may.is_set()
    front.look(process.time)
    assert may.wait(PATIENCE)
    assert not process.turn


def test_a_ring_that_comes_too_late_ends_nothing(process: Threads, waiter: Callable[[], threading.Event]) -> None:
    assert process.inbox.bell is not None
    process.inbox.bell.ring()  # in the last turn, when nobody listened any more
    process.begin()
    may = waiter()
    wait_until(process.turns._line.locked, "one that listens to the bell")
    process.rows[0][SINCE] = int(process.time * 1e9)
    process.inbox.bell.ring()  # but the holder has begun another request since
    wait_until(lambda: not readable(process.inbox), "the ring to be heard")
    assert process.turn
    assert not may.is_set()


def readable(inbox: ProcessInbox) -> bool:
    assert inbox.bell is not None
    look = poll()
    look.register(inbox.bell.fd, IN)
    return bool(look.poll(0))


def test_a_turn_may_begin_when_all_has_been_sent(process: Threads) -> None:
    """Nothing comes any more that would wake the front, so it goes on looking by itself."""
    front = TakingTurns([process.inbox])
    process.others(1)
    process.put()
    front.look(process.time)
    assert not front.quiet
    process.begin()
    process.time += 2 * LATE_SECONDS
    front.look(process.time)  # more have been taken
    process.time += 2 * LATE_SECONDS
    assert not readable(process.inbox)
    front.look(process.time)
    assert readable(process.inbox)


def test_the_front_is_quiet_when_all_is_taken(process: Threads) -> None:
    front = TakingTurns([process.inbox])
    process.others(3)
    front.look(process.time)
    assert front.quiet


def test_one_thread_has_nobody_to_take_turns_with() -> None:
    board = Scoreboard(1, 1)
    inbox = ProcessInbox(0, board.inbox(0), [board.worker(0)])
    assert turns(inbox) is None
    inbox.writer.close()
    inbox.reader.close()


def test_a_thread_that_sleeps_is_not_awake() -> None:
    before = scheduled()
    total = 0
    while scheduled().awake - before.awake < 0.01:
        total += 1
    assert total > 0
    sleep(0.001)  # what is counted is that this thread went to sleep
    assert scheduled().sleeps > before.sleeps
