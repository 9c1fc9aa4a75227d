"""Averages over the last tasks, and the contract of strategies."""

from __future__ import annotations

from poolctl_least_time import LeastTime

from poolctl.testing import DispatchContract
from poolctl.testing.checks import tasks
from poolctl.testing.simulation import World


class TestLeastTime(DispatchContract):
    strategy = LeastTime


def test_shares_follow_speed() -> None:
    world = World(LeastTime(), 2)
    for each in tasks(200):
        world.arrive(each)
        while len(world.under_way) > 4:
            world.finish(0, 0.04 if world.under_way[0].inbox == 1 else 0.01)
    assert world.given[0] > world.given[1]


def test_the_window_bounds_what_counts() -> None:
    strategy = LeastTime(window=10)
    world = World(strategy, 1)
    (task,) = tasks(1)
    for seconds in [9.0] * 100 + [1.0] * 60:
        strategy.finished(task, world.views[0], seconds)
    assert 1.0 <= strategy._averages[0][0] < 1.05
