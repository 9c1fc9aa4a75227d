"""Simulates a front and its workers as a strategy sees them, without sockets and processes: the counters are lists.

    arrive --> [strategy.pick] --> put --> finish --> [strategy.finished] --> waiting tasks are tried again
    leave, join, fill, drain: an inbox becomes unavailable, and available again

What waits is in the queue of a real front. A strategy with methods for classes is asked at each arrival and each look
(class_hooks.py), tasks start as their classes allow, and they arrive at the time of the simulation, whatever theirs is.
The strategy's answers are checked at each step; the message of a violation lists the steps that led to it. The file is
long because each event changes what is available and what waits.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Any, NamedTuple

from poolctl.runtime.dispatch import Dispatch
from poolctl.runtime.inbox_view import InboxView
from poolctl.runtime.routing.waiting import Waiting
from poolctl.runtime.scoreboard import DONE, SENT, TAKEN
from poolctl.runtime.task import Peer, Task
from poolctl.testing.class_hooks import ClassHooks
from poolctl.testing.violation import Violation
from poolctl.testing.watchdog import PATIENCE, Hang, with_timeout

HISTORY = 14  # steps that a message lists
CHOICE = 256  # the oldest waiting tasks that next may choose from
ALWAYS_DECIDE = "decide for every task: in unexpected cases choose the inbox with the least load"

WHEN_IT_RAISES = {  # by method: a fix
    "pick": ALWAYS_DECIDE,
    "classify": 'name a class for every task; "" in unexpected cases',
    "limits": "expect any number of workers: queue.workers is 0 until the first is ready",
    "served": "expect any task, late and in any order: that something is known of it is not certain",
}


@dataclass(eq=False)
class Request:
    """The part of a request that a front has read; see ``Task.asked``."""

    method: str
    target: bytes
    headers: list[tuple[bytes, bytes]]


def task(client: str, arrived: float = 0.0, asked: Request | None = None) -> Task:
    """Return a task of a client: "192.0.2.1", "2001:db8::1", or "" for a unix socket."""
    port = "40000" if client else ""
    line = b"" if asked is None else b"%b %b HTTP/1.1" % (asked.method.encode(), asked.target)
    return Task(Peer(client, port, "127.0.0.1", "80"), arrived, asked, line=line)


class InFlight(NamedTuple):
    task: Task
    inbox: int
    began: float
    lane: int = 0


class Simulation:
    """A strategy and ``count`` workers, each with its own inbox and ``capacity`` threads."""

    def __init__(self, strategy: Dispatch, count: int, capacity: int = 1) -> None:
        self.strategy = strategy
        self.hooks = strategy.hooks
        self.now = 100.0  # seconds
        self.rows = [[0] * (SENT + 1) for _ in range(count)]
        self.workers = [[[0] * (DONE + 1) for _ in range(capacity)] for _ in range(count)]
        self.views = [InboxView(index, self.rows[index], self.workers[index]) for index in range(count)]
        self.dead: set[int] = set()
        self.last = 0  # the index of the worker that died last
        self.full: set[int] = set()
        self.number = 0  # of the last task
        self.refused = 0  # tasks that the strategy has turned away
        self.in_flight: list[InFlight] = []
        self.dispatched = [0] * count  # tasks that each inbox has had
        self.history: deque[tuple[Any, ...]] = deque(maxlen=HISTORY)  # parts of sentences, joined only for a message
        self.violations: list[Violation] = []  # that were raised
        self.available = tuple(self.views)  # the inboxes that a task may go to now
        self.selects = "next" in self.hooks
        self.classes = ClassHooks(self.hooks, self._call, self.violation, self._seats, not strategy.pull)
        self.queue = self.classes.queue
        if self.classes.active:
            self.classes.begin(self.now)
        for view in self.views:
            self._notify("joined", view)

    def _update_available(self) -> None:
        """The inboxes of living workers that have room are available; if all are dead, that of the last to die."""
        dead = self.dead if len(self.dead) < len(self.views) else self.dead - {self.last}
        self.available = tuple(view for view in self.views if view.index not in dead | self.full)

    @property
    def idle(self) -> bool:
        """Whether no task is in flight."""
        return not self.in_flight

    @property
    def finishable(self) -> list[int]:
        """The positions of the tasks in flight that a living worker has."""
        return [number for number, each in enumerate(self.in_flight) if each.inbox not in self.dead]

    @property
    def waiting(self) -> list[Task]:
        """The tasks that wait, oldest first."""
        return [entry.task for entry in self.queue.oldest(self.queue.count)]

    def _seats(self) -> int:
        """Count the tasks that the living workers serve at once."""
        return sum(len(self.workers[view.index]) for view in self.views if view.index not in self.dead)

    # Events

    def arrive(self, task: Task) -> None:
        """A task arrives."""
        self.history.append(
            ("a task of ", task.client or "a unix socket", " arrives (", task.method or "a connection", ")")
        )
        lane = 0
        if self.classes.active:
            task = self.classes.arrive(task, self.now)
            lane = self.classes.lane(task.kind).index
            self.history[-1] += (f", of the class {task.kind!r}" if task.kind else "",)
            if self.classes.refuses(task):
                self.refused += 1
                self.history.append(("it is refused",))
                return
        self.number += 1
        entry = Waiting(task, self.number, None, (), -1, lane)
        if self.queue.count and self.classes.active:
            self.queue.add(entry)  # older tasks go first, or those of another class
            self._retry()
        elif not self._place(entry):
            self.queue.add(entry)
            self._let_select()
            self._check_not_stuck()

    def finish(self, number: int = 0, seconds: float = 0.01) -> None:
        """A task in flight finishes, ``seconds`` after the last event."""
        done = self.in_flight.pop(number)
        self.now += seconds
        self.history.append(("a task of inbox ", done.inbox, " finishes"))
        self._count_done(done.inbox)
        self._notify("finished", done.task, self.views[done.inbox], self.now - done.began)
        if self.classes.active:
            self.classes.ended(done.task, done.lane, self.now - done.began)
        self._retry()

    def leave(self, index: int) -> None:
        """The worker of an inbox dies, with all its tasks."""
        self.history.append(("the worker of inbox ", index, " dies"))
        self.dead.add(index)
        self.last = index
        self._update_available()
        for lost in [each for each in self.in_flight if each.inbox == index]:
            self.in_flight.remove(lost)
            self._count_done(index)
            self._notify("finished", lost.task, self.views[index], self.now - lost.began)
            if self.classes.active:
                self.classes.ended(lost.task, lost.lane, 0.0)
        self._notify("left", self.views[index])
        self._retry()

    def join(self, index: int) -> None:
        """The worker of an inbox is replaced."""
        self.history.append(("the worker of inbox ", index, " is replaced"))
        self.dead.discard(index)
        self._update_available()
        self._notify("joined", self.views[index])
        self._retry()

    def fill(self, index: int) -> None:
        """An inbox becomes full."""
        self.history.append(("inbox ", index, " becomes full"))
        self.full.add(index)
        self._update_available()

    def drain(self, index: int) -> None:
        """An inbox has room again."""
        self.history.append(("inbox ", index, " has room again"))
        self.full.discard(index)
        self._update_available()
        self._retry()

    # Calls of the strategy

    def _retry(self) -> None:
        if self.classes.active:
            self.classes.look(self.now)
        queue = self.queue
        if not queue.count:
            return
        if not self.selects:
            while (lane := queue.next_lane(len(self.in_flight))) is not None:
                entry = lane.head
                if not self._place(entry):
                    break
                queue.remove(entry)
        self._let_select()
        self._check_not_stuck()

    def _place(self, entry: Waiting) -> bool:
        task, available, queue = entry.task, self.available, self.queue
        if queue.several and not queue.may_start(queue.lanes[entry.lane], len(self.in_flight)):
            return False
        if len(self.in_flight) >= queue.most:
            available = tuple(view for view in available if view.load < view.capacity)
        if not available:
            return False
        chosen = self._call("pick", task, available)
        if chosen is None:
            return False
        for view in available:
            if chosen is view:
                break
        else:
            indices = ", ".join(str(view.index) for view in available)
            raise self.violation(
                f"pick returned {chosen!r}, but the available inboxes are {indices}",
                "choose one of the inboxes passed to pick; remember indices instead of inboxes, and check that they are"
                " available",
            )
        self._put(entry, chosen)
        return True

    def _put(self, entry: Waiting, view: InboxView) -> None:
        self.rows[view.index][SENT] += 1
        self.dispatched[view.index] += 1
        threads = self.workers[view.index]
        least = threads[0] if len(threads) == 1 else min(threads, key=lambda cells: cells[TAKEN] - cells[DONE])
        least[TAKEN] += 1
        self.in_flight.append(InFlight(entry.task, view.index, self.now, entry.lane))
        if self.classes.active:
            self.queue.began(self.queue.lanes[entry.lane], entry.task)

    def _count_done(self, index: int) -> None:
        threads = self.workers[index]
        busiest = threads[0] if len(threads) == 1 else max(threads, key=lambda cells: cells[TAKEN] - cells[DONE])
        busiest[DONE] += 1

    def _let_select(self) -> None:
        if not self.selects:
            return
        for view in self.available:
            while self.queue.count and view.load < view.capacity:
                entries = self._startable()
                waiting = tuple(entry.task for entry in entries)
                chosen = self._call("next", view, waiting) if waiting else None
                if chosen is None:
                    break
                entry = next((each for each in entries if each.task is chosen), None)
                if entry is None:
                    raise self.violation(
                        f"next returned {chosen!r}, which is not waiting", "choose one of the waiting tasks"
                    )
                self.queue.remove(entry)
                self._put(entry, view)

    def _startable(self) -> list[Waiting]:
        """Return the oldest tasks whose classes let them start."""
        queue, sent = self.queue, len(self.in_flight)
        found = queue.oldest(CHOICE)
        return [each for each in found if queue.may_start(queue.lanes[each.lane], sent)] if queue.several else found

    def _check_not_stuck(self) -> None:
        if self.queue.count and self.idle and self.available:
            method = "next" if self.selects else "pick"
            raise self.violation(
                f"a task waits forever: {method} left it waiting while every worker was idle", ALWAYS_DECIDE
            )

    def _notify(self, hook: str, *arguments: Any) -> None:
        if hook in self.hooks:
            self._call(hook, *arguments)

    def _call(self, method: str, *arguments: Any) -> Any:
        try:
            return with_timeout(getattr(self.strategy, method), *arguments)
        except Hang:
            fix = "every task waits for the call; do not loop endlessly, sleep, or wait for a lock"
            raise Hang(self.violation(f"{method} did not return within {PATIENCE:g} s", fix)) from None
        except (KeyboardInterrupt, Violation):
            raise
        except BaseException as error:  # SystemExit too: a server's guard catches it as well
            raise self.violation(
                f"{method} raised {type(error).__name__}: {error}", WHEN_IT_RAISES.get(method, "")
            ) from error

    def violation(self, what: str, fix: str = "") -> Violation:
        """Return a violation, with the steps that led to it."""
        sentences = ("".join(map(str, step)) for step in self.history)
        steps = "".join(f"\n  {number}. {step}" for number, step in enumerate(sentences, start=1))
        self.violations.append(Violation(f"{what}\nafter these last steps:{steps}" if steps else what, fix))
        return self.violations[-1]
