"""least-loaded with slow_start: a worker that is new comes to its share little by little."""

from __future__ import annotations

from collections import Counter

from poolctl.runtime.dispatch.least_loaded import LEAST_SHARE, LeastLoaded
from poolctl.runtime.inbox_view import InboxView
from poolctl.runtime.scoreboard import DONE, SENT
from poolctl.runtime.task import Peer, Task

PEER = Peer("192.0.2.7", "4000", "", "")


class Pool:
    """Workers that keep what they get, as connections are kept."""

    def __init__(self, strategy: LeastLoaded, loads: list[int]) -> None:
        self.strategy = strategy
        self.rows = [[load] + [0] * SENT for load in loads]
        self.views = tuple(InboxView(index, row, [[0] * (DONE + 1)]) for index, row in enumerate(self.rows))

    def arrive(self, now: float, count: int = 1) -> Counter[int]:
        """So many tasks at this time. Returns how many each inbox got."""
        got: Counter[int] = Counter()
        for _ in range(count):
            chosen = self.strategy.pick(Task(PEER, now), self.views)
            self.rows[chosen.index][SENT] += 1
            got[chosen.index] += 1
        return got


def test_without_it_a_new_worker_gets_all() -> None:
    pool = Pool(LeastLoaded(), [100, 100, 0])
    assert pool.strategy.hooks == frozenset()
    assert pool.arrive(1.0, 50) == {2: 50}


def test_a_new_worker_comes_to_its_share() -> None:
    pool = Pool(LeastLoaded(slow_start=10.0), [100, 100, 0])
    assert pool.strategy.hooks == {"joined", "left"}
    pool.strategy.joined(pool.views[2])
    first = pool.arrive(1.0, 100)
    assert 100 * LEAST_SHARE <= first[2] <= 200 * LEAST_SHARE
    half = pool.arrive(6.0, 100)  # half of the time has passed
    assert pool.views[2].load >= 0.4 * pool.views[0].load
    assert half[2] > half[0]
    pool.arrive(11.0, 200)
    assert max(view.load for view in pool.views) - min(view.load for view in pool.views) <= 1


def test_the_ramp_begins_with_the_first_task() -> None:
    pool = Pool(LeastLoaded(slow_start=10.0), [100, 0])
    pool.strategy.joined(pool.views[1])
    assert pool.arrive(1000.0, 30)[1] < 15


def test_where_all_are_new_all_get_the_same() -> None:
    pool = Pool(LeastLoaded(slow_start=10.0), [0, 0, 0, 0])
    for view in pool.views:
        pool.strategy.joined(view)
    assert set(pool.arrive(1.0, 40).values()) == {10}
    assert set(pool.arrive(20.0, 40).values()) == {10}


def test_a_worker_that_has_left_is_no_longer_new() -> None:
    strategy = LeastLoaded(slow_start=10.0)
    pool = Pool(strategy, [10, 0])
    strategy.joined(pool.views[1])
    strategy.left(pool.views[1])
    assert pool.arrive(1.0, 5) == {1: 5}


def test_time_that_goes_backwards_is_no_trouble() -> None:
    pool = Pool(LeastLoaded(slow_start=10.0), [5, 0])
    pool.strategy.joined(pool.views[1])
    pool.arrive(100.0, 3)
    assert sum(pool.arrive(50.0, 10).values()) == 10
