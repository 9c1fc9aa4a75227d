"""A front and its workers as far as a strategy sees them, without sockets and processes: the figures are in lists.

    arrive --> [strategy.pick] --> put --> finish --> [strategy.finished] --> those who wait try again
    leave, join, fill, drain: an inbox goes off the offer and comes back to it

What the strategy answers is judged at each step; the steps that led to a violation are in its message.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Any, NamedTuple

from poolctl.runtime.dispatch import Dispatch
from poolctl.runtime.inbox_view import InboxView
from poolctl.runtime.scoreboard import DONE, SENT, TAKEN
from poolctl.runtime.task import Peer, Task
from poolctl.testing.violation import Violation
from poolctl.testing.watchdog import PATIENCE, Hang, in_time

REMEMBERED = 14  # steps that a message tells
HANG = "answer for every task: what is not foreseen can go to the inbox with the least load"


@dataclass(eq=False)
class Request:
    """What a front has read of a request; see ``Task.asked``."""

    method: str
    target: bytes
    headers: list[tuple[bytes, bytes]]


def task(client: str, arrived: float = 0.0, asked: Request | None = None) -> Task:
    """A task of a client: "192.0.2.1", "2001:db8::1", or "" for one of a unix socket."""
    port = "40000" if client else ""
    return Task(Peer(client, port, "127.0.0.1", "80"), arrived, asked)


class UnderWay(NamedTuple):
    task: Task
    inbox: int
    began: float


class World:
    """``count`` workers, each with an inbox of its own, and a strategy."""

    def __init__(self, strategy: Dispatch, count: int, capacity: int = 1) -> None:
        self.strategy = strategy
        self.hooks = strategy.hooks
        self.now = 100.0  # seconds
        self.rows = [[0] * (SENT + 1) for _ in range(count)]
        self.workers = [[[0] * (DONE + 1) for _ in range(capacity)] for _ in range(count)]
        self.views = [InboxView(index, self.rows[index], self.workers[index]) for index in range(count)]
        self.away: set[int] = set()
        self.last = 0  # who left last
        self.full: set[int] = set()
        self.waiting: deque[Task] = deque()
        self.under_way: list[UnderWay] = []
        self.given = [0] * count  # tasks that each inbox has had
        self.history: deque[tuple[Any, ...]] = deque(maxlen=REMEMBERED)  # what to join when a message tells of it
        self.found: list[Violation] = []  # all that was raised
        self.offer = tuple(self.views)  # the inboxes that a task may go to now
        self.chooses = "next" in self.hooks
        for view in self.views:
            self._tell("joined", view)

    def _offer(self) -> None:
        """Those of living workers that have room; when all are dead that of the last."""
        away = self.away if len(self.away) < len(self.views) else self.away - {self.last}
        self.offer = tuple(view for view in self.views if view.index not in away | self.full)

    @property
    def idle(self) -> bool:
        """Whether nobody has anything to do."""
        return not self.under_way

    @property
    def able(self) -> list[int]:
        """The numbers of the tasks under way that a living worker has."""
        return [number for number, each in enumerate(self.under_way) if each.inbox not in self.away]

    # what happens

    def arrive(self, task: Task) -> None:
        """A task comes."""
        self.history.append(
            ("a task of ", task.client or "a unix socket", " comes (", task.method or "a connection", ")")
        )
        if not self._place(task):
            self.waiting.append(task)
            self._let_choose()
            self._not_stuck()

    def finish(self, number: int = 0, seconds: float = 0.01) -> None:
        """One of the tasks that are under way is done."""
        done = self.under_way.pop(number)
        self.now += seconds
        self.history.append(("a task of inbox ", done.inbox, " is done"))
        self._count_done(done.inbox)
        self._tell("finished", done.task, self.views[done.inbox], self.now - done.began)
        self._retry()

    def leave(self, index: int) -> None:
        """The worker of an inbox dies, with all that it has in hand."""
        self.history.append(("the worker of inbox ", index, " dies"))
        self.away.add(index)
        self.last = index
        self._offer()
        for lost in [each for each in self.under_way if each.inbox == index]:
            self.under_way.remove(lost)
            self._count_done(index)
            self._tell("finished", lost.task, self.views[index], self.now - lost.began)
        self._tell("left", self.views[index])
        self._retry()

    def join(self, index: int) -> None:
        """It has a successor."""
        self.history.append(("the worker of inbox ", index, " has a successor"))
        self.away.discard(index)
        self._offer()
        self._tell("joined", self.views[index])
        self._retry()

    def fill(self, index: int) -> None:
        """An inbox has no room."""
        self.history.append(("inbox ", index, " is full"))
        self.full.add(index)
        self._offer()

    def drain(self, index: int) -> None:
        """It has room again."""
        self.history.append(("inbox ", index, " has room again"))
        self.full.discard(index)
        self._offer()
        self._retry()

    # what the strategy makes of it

    def _retry(self) -> None:
        if not self.waiting:
            return
        if not self.chooses:
            while self.waiting and self._place(self.waiting[0]):
                self.waiting.popleft()
        self._let_choose()
        self._not_stuck()

    def _place(self, task: Task) -> bool:
        offer = self.offer
        if not offer:
            return False
        chosen = self._ask("pick", task, offer)
        if chosen is None:
            return False
        for view in offer:
            if chosen is view:
                break
        else:
            among = ", ".join(str(view.index) for view in offer)
            raise self.violation(
                f"pick answered {chosen!r}, and on offer are the inboxes {among}",
                "choose among the inboxes that are given; keep indices, not inboxes, and look whether they are there",
            )
        self._put(task, chosen)
        return True

    def _put(self, task: Task, view: InboxView) -> None:
        self.rows[view.index][SENT] += 1
        self.given[view.index] += 1
        threads = self.workers[view.index]
        least = threads[0] if len(threads) == 1 else min(threads, key=lambda cells: cells[TAKEN] - cells[DONE])
        least[TAKEN] += 1
        self.under_way.append(UnderWay(task, view.index, self.now))

    def _count_done(self, index: int) -> None:
        threads = self.workers[index]
        busiest = threads[0] if len(threads) == 1 else max(threads, key=lambda cells: cells[TAKEN] - cells[DONE])
        busiest[DONE] += 1

    def _let_choose(self) -> None:
        if not self.chooses:
            return
        for view in self.offer:
            while self.waiting and view.load < view.capacity:
                waiting = tuple(self.waiting)[:256]
                chosen = self._ask("next", view, waiting)
                if chosen is None:
                    break
                if not any(chosen is each for each in waiting):
                    raise self.violation(
                        f"next answered {chosen!r}, which does not wait", "choose among those that wait"
                    )
                self.waiting = deque(each for each in self.waiting if each is not chosen)
                self._put(chosen, view)

    def _not_stuck(self) -> None:
        if self.waiting and self.idle and self.offer:
            raise self.violation(
                "it lets a task wait although no worker has anything to do, so it waits for ever", HANG
            )

    def _tell(self, hook: str, *arguments: Any) -> None:
        if hook in self.hooks:
            self._ask(hook, *arguments)

    def _ask(self, method: str, *arguments: Any) -> Any:
        try:
            return in_time(getattr(self.strategy, method), *arguments)
        except Hang:
            mend = "every task waits for it: neither loop without an end, nor sleep, nor wait for a lock"
            raise Hang(self.violation(f"{method} has not come back after {PATIENCE:g} s", mend)) from None
        except (KeyboardInterrupt, Violation):
            raise
        except BaseException as error:  # SystemExit too: the guard of a server catches it as well
            raise self.violation(
                f"{method} raised {type(error).__name__}: {error}", HANG if method == "pick" else ""
            ) from error

    def violation(self, what: str, mend: str = "") -> Violation:
        """With the steps that led to it."""
        told = ("".join(map(str, step)) for step in self.history)
        steps = "".join(f"\n  {number}. {step}" for number, step in enumerate(told, start=1))
        self.found.append(Violation(f"{what}\nafter these steps, the last of them:{steps}" if steps else what, mend))
        return self.found[-1]
