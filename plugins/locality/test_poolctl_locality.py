"""Local workers first, unless they are busy, and the contract of strategies."""

from __future__ import annotations

import os
from typing import Any, NamedTuple

import pytest
from poolctl_locality import Locality

from poolctl.testing import DispatchContract
from poolctl.testing.simulation import Simulation


class TestLocality(DispatchContract):
    strategy = Locality


class OnCpu(NamedTuple):
    """The part of a task that this strategy reads."""

    cpu: int


@pytest.mark.parametrize("cpu", range(6))
def test_a_task_goes_to_a_local_worker(cpu: int) -> None:
    simulation = Simulation(Locality(cpus=3), 6)
    task: Any = OnCpu(cpu)
    met = set()
    for _ in range(2):
        chosen = simulation.strategy.pick(task, simulation.available)
        assert chosen is not None
        met.add(chosen.index)
        simulation.rows[chosen.index][0] += 1
    assert met == {cpu % 3, cpu % 3 + 3}


@pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="the system has no CPU affinity")
def test_workers_belong_to_the_cpus_that_the_process_may_use() -> None:
    before = os.sched_getaffinity(0)
    last = max(before)
    os.sched_setaffinity(0, {last})
    try:
        strategy = Locality()
    finally:
        os.sched_setaffinity(0, before)
    simulation = Simulation(strategy, 2)
    task: Any = OnCpu(last)
    simulation.rows[0][0] = 1
    assert (
        strategy.pick(task, simulation.available) is simulation.views[1]
    )  # both are at home there, and it has less to do
    task = OnCpu(last + 1)  # where no worker is at home
    assert strategy.pick(task, simulation.available) is simulation.views[1]


def test_a_busy_local_worker_is_passed_over() -> None:
    simulation = Simulation(Locality(cpus=2, slack=2), 2)
    task: Any = OnCpu(0)
    simulation.rows[0][0] = 3
    chosen = simulation.strategy.pick(task, simulation.available)
    assert chosen is simulation.views[1]


def test_no_local_worker_is_available() -> None:
    simulation = Simulation(Locality(cpus=2), 2)
    task: Any = OnCpu(1)
    assert simulation.strategy.pick(task, simulation.views[:1]) is simulation.views[0]  # type: ignore[arg-type]  # a list will do here
