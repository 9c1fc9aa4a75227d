"""size-aware: what it learns, and against a simulated pool what that does to the waits."""

from __future__ import annotations

import heapq
import random
from collections.abc import Callable, Mapping

import pytest

from poolctl.runtime.dispatch.size_aware import ID, LONG, MOST_ROUTES, OTHERS, SEEN, SHORT, SizeAware
from poolctl.runtime.queue_view import ClassLimits, QueueView
from poolctl.runtime.routing.queue import Queue
from poolctl.runtime.routing.waiting import Waiting
from poolctl.runtime.task import Peer, Task

PEER = Peer("192.0.2.7", "4000", "", "")


def task(target: str, arrived: float = 0.0, method: str = "GET") -> Task:
    return Task(PEER, arrived, line=f"{method} {target} HTTP/1.1".encode())


class Pool:
    """Workers, and a queue that does what the strategy says: a front without sockets. Times are simulated."""

    def __init__(self, strategy: SizeAware, workers: int) -> None:
        self.strategy = strategy
        self.queue = Queue()
        self.queue.slots = self.workers = workers
        self.busy: list[tuple[float, int, float, Task, str]] = []  # (end, number, began, task, class)
        self.waits: dict[str, list[float]] = {}
        self.number = 0
        self.looked = 0.0
        self.limits: Mapping[str, ClassLimits] = {}  # when the last task arrived
        strategy.begin(QueueView(self.queue))

    def run(
        self, rate: float, seconds: float, mix: Callable[[random.Random], tuple[str, float]], seed: int = 1
    ) -> None:
        """Poisson arrivals. ``mix``: draws (target, service time) of one."""
        draw = random.Random(seed)
        due, until = self.queue.now, self.queue.now + seconds
        while due < until:
            due += draw.expovariate(rate)
            while self.busy and self.busy[0][0] <= due:
                self._end()
            self.queue.now = due
            target, takes = mix(draw)
            self._arrive(task(target, due), takes)
        while self.busy:
            self._end()

    def _look(self) -> None:
        if self.queue.now - self.looked >= 0.1:
            self.looked = self.queue.now
            limits = self.strategy.limits()
            for kind in (SHORT, LONG):
                self.queue.open(kind, limits.get(kind, ClassLimits()))
            self.queue.share_out()

    def _arrive(self, new: Task, takes: float) -> None:
        self._look()
        self.limits = self.strategy.limits()
        lane = self.queue.lane(self.strategy.classify(new)) or self.queue.plain
        self.number += 1
        self.queue.add(Waiting(new, self.number, takes, (), -1, lane.index))
        self._start()

    def _start(self) -> None:
        while len(self.busy) < self.workers and (lane := self.queue.next_lane(len(self.busy))) is not None:
            entry = lane.head
            self.queue.began(lane, entry.task)
            self.queue.remove(entry)
            now = self.queue.now
            self.waits.setdefault(entry.task.path, []).append(now - entry.task.arrived)
            heapq.heappush(self.busy, (now + entry.item, entry.connection, now, entry.task, lane.kind))

    def _end(self) -> None:
        self.queue.now, _, began, done, kind = heapq.heappop(self.busy)
        self.queue.ended(self.queue.lane(kind) or self.queue.plain, done, self.queue.now - began)
        self.strategy.served(done, self.queue.now - began)
        self._look()
        self._start()

    def p99(self, path: str) -> float:
        waits = sorted(self.waits[path])
        return waits[int(len(waits) * 0.99)]


def mixed(share: float) -> Callable[[random.Random], tuple[str, float]]:
    return lambda draw: ("/slow", 0.1) if draw.random() < share else ("/fast", 0.002)


class Fifo(SizeAware):
    """The same pool, told nothing."""

    def classify(self, task: Task) -> str:
        return ""


def test_short_requests_do_not_wait_behind_long_ones() -> None:
    fifo, aware = Pool(Fifo(), 8), Pool(SizeAware(), 8)
    for pool in (fifo, aware):
        pool.run(700, 2, mixed(0.05))  # learns
        pool.waits.clear()
        pool.run(700, 30, mixed(0.05))
    assert aware.p99("/fast") < fifo.p99("/fast") / 5
    assert aware.p99("/slow") + 0.1 < 1.4 * (fifo.p99("/slow") + 0.1)


def test_it_finds_the_new_balance_within_five_seconds() -> None:
    pool = Pool(SizeAware(), 8)
    pool.run(700, 3, mixed(0.01))
    assert pool.strategy.limits()[SHORT].reserve == 2
    pool.run(250, 5, mixed(0.2))
    assert pool.strategy.limits()[SHORT].reserve == 1
    pool.waits.clear()
    pool.run(250, 20, mixed(0.2))
    assert pool.p99("/fast") < 0.01


@pytest.mark.parametrize(
    "mix",
    [
        lambda draw: (draw.choice(["/a", "/b", "/c"]), draw.expovariate(100)),
        lambda draw: ("/", 0.1 if draw.random() < 0.05 else 0.002),
        lambda draw: ("/a", 0.002) if draw.random() < 0.5 else ("/b", 0.004),
    ],
    ids=["all alike", "one route", "twice as long"],
)
def test_where_nothing_separates_there_is_one_class(mix: Callable[[random.Random], tuple[str, float]]) -> None:
    pool = Pool(SizeAware(), 8)
    for _ in range(5):
        pool.run(300, 2, mix)
        assert pool.strategy.limits() == {}
        assert {kind for _, kind, _, _ in pool.strategy.learned()} == {""}


def test_a_trifle_gets_no_worker_of_its_own() -> None:
    pool = Pool(SizeAware(), 4)
    pool.run(40, 5, lambda draw: ("/health", 0.0002) if draw.random() < 0.1 else ("/work", 0.05))
    assert pool.strategy.limits()[SHORT].reserve == 0


def test_when_long_ones_need_more_than_is_left_fewer_are_kept_from_them() -> None:
    pool = Pool(SizeAware(), 4)
    pool.run(200, 4, mixed(0.3))  # 6 workers' load of long ones, and 0.3 of short ones
    assert (pool.limits[SHORT].reserve, pool.limits[SHORT].spare) == (0, 0)


def test_long_ones_never_starve() -> None:
    pool = Pool(SizeAware(), 4)
    pool.run(300, 2, mixed(0.05))
    pool.waits.clear()
    pool.run(2600, 6, mixed(0.0002))  # short ones alone are 1.3 times what the pool can do
    assert max(pool.waits["/slow"]) < 5


def test_a_new_route_counts_as_long_until_it_is_measured() -> None:
    pool = Pool(SizeAware(), 8)
    pool.run(700, 2, mixed(0.05))
    new = task("/new", pool.queue.now)
    assert pool.strategy.classify(new) == LONG
    for _ in range(SEEN):
        pool.strategy.served(new, 0.002)
    pool.queue.now += 0.3
    pool.strategy.limits()
    assert pool.strategy.classify(new) == SHORT


def test_ids_are_folded() -> None:
    strategy = SizeAware()
    for target in (
        "/users/7",
        "/users/8?page=2",
        "/users/0d3adb33f",
        "/users/3f2504e0-4f89-11d3-9a0c-0305e82c3301",
        "/v1/things",
        "/a/b/c/d/e/f/g/h",
        "/users/" + "x" * 40,
    ):
        strategy.classify(task(target))
    strategy.classify(task("/users/7", method="DELETE"))
    names = {name for name, *_ in strategy.learned()}
    assert names == {"GET /users/*", "DELETE /users/*", "GET /v1/things", "GET /a/b/c/d/e/f/..."}
    assert not ID.fullmatch("v1")


def test_what_it_keeps_is_bounded_and_real_routes_stay() -> None:
    pool = Pool(SizeAware(), 8)
    pool.run(700, 2, mixed(0.05))
    for number in range(3 * MOST_ROUTES):
        pool.strategy.classify(task(f"/scan-{number}/x{'y' * (number % 300)}", pool.queue.now))
    names = [name for name, *_ in pool.strategy.learned()]
    assert len(names) <= MOST_ROUTES + 1
    assert {"GET /fast", "GET /slow", OTHERS} <= set(names)
    pool.queue.now += 100
    pool.strategy.classify(task("/after", pool.queue.now))
    assert "GET /after" in {name for name, *_ in pool.strategy.learned()}
    assert len(pool.strategy.learned()) < 10


def test_the_class_may_be_a_header() -> None:
    from poolctl.testing.simulation import Request

    strategy = SizeAware(header="X-Kind")
    assert strategy.inspects
    for kind in (b"report", b"page", b"page"):
        strategy.classify(Task(PEER, asked=Request("GET", b"/", [(b"x-kind", kind)]), line=b"GET / HTTP/1.1"))
    strategy.classify(Task(PEER, asked=Request("GET", b"/", []), line=b"GET / HTTP/1.1"))
    assert {name for name, *_ in strategy.learned()} == {"report", "page", ""}
