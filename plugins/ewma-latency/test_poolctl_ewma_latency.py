"""Slow tasks count immediately, fast ones gradually, and the contract of strategies."""

from __future__ import annotations

from poolctl_ewma_latency import Average, EwmaLatency

from poolctl.testing import DispatchContract
from poolctl.testing.samples import tasks
from poolctl.testing.simulation import Simulation


class TestEwmaLatency(DispatchContract):
    strategy = EwmaLatency


def test_a_peak_counts_immediately_and_decays_gradually() -> None:
    average = Average(0.010, 0.0)
    average.observe(1.0, 0.1, decay=10)
    assert average.cost == 1.0
    average.observe(0.010, 0.2, decay=10)
    assert 0.98 < average.cost < 1.0
    assert 0.35 < average.at(10.2, decay=10) / average.cost < 0.38  # 1/e
    average.observe(0.010, 60.2, decay=10)
    assert average.cost < 0.013


def test_a_slow_worker_is_avoided_and_tried_again() -> None:
    simulation = Simulation(EwmaLatency(decay=5), 3)
    for each in tasks(300):
        simulation.arrive(each._replace(arrived=simulation.now))
        simulation.finish(0, 0.5 if simulation.in_flight[0].inbox == 1 else 0.01)
    assert simulation.dispatched[1] < 20
    before = simulation.dispatched[1]
    simulation.now += 60
    for each in tasks(10):
        simulation.arrive(each._replace(arrived=simulation.now))
        simulation.finish(0, 0.01)
    assert simulation.dispatched[1] > before
