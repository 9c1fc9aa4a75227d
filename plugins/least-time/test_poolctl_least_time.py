"""Averages over recent tasks, and the contract of strategies."""

from __future__ import annotations

from poolctl_least_time import LeastTime

from poolctl.testing import DispatchContract
from poolctl.testing.samples import tasks
from poolctl.testing.simulation import Simulation


class TestLeastTime(DispatchContract):
    strategy = LeastTime


def test_shares_follow_speed() -> None:
    simulation = Simulation(LeastTime(), 2)
    for each in tasks(200):
        simulation.arrive(each)
        while len(simulation.in_flight) > 4:
            simulation.finish(0, 0.04 if simulation.in_flight[0].inbox == 1 else 0.01)
    assert simulation.dispatched[0] > simulation.dispatched[1]


def test_the_window_bounds_what_counts() -> None:
    strategy = LeastTime(window=10)
    simulation = Simulation(strategy, 1)
    (task,) = tasks(1)
    for seconds in [9.0] * 100 + [1.0] * 60:
        strategy.finished(task, simulation.views[0], seconds)
    assert 1.0 <= strategy._averages[0][0] < 1.05
