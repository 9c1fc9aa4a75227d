"""Few keys move, loads are bounded, and the contract of strategies."""

from __future__ import annotations

from typing import ClassVar

import pytest
from poolctl_consistent_hash import ConsistentHash

from poolctl.testing import DispatchContract
from poolctl.testing.samples import tasks
from poolctl.testing.simulation import Request, Simulation, task


class TestByClient(DispatchContract):
    strategy = ConsistentHash
    affine: ClassVar[bool] = True
    slack: ClassVar[float] = 0.5  # more clients may move, because the ring is not perfectly even


class TestByHeader(TestByClient):
    make = staticmethod(lambda: ConsistentHash(by="header", name="X-Session"))


class TestByPath(TestByClient):
    make = staticmethod(lambda: ConsistentHash(by="path"))


def met(simulation: Simulation, of: Request) -> int:
    """Return the inbox that a task goes to, where it stays."""
    simulation.arrive(task("192.0.2.1", asked=of))
    return simulation.in_flight[-1].inbox


def test_a_hot_key_overflows() -> None:
    simulation = Simulation(ConsistentHash(by="path", slack=0.25), 4)
    for _ in range(100):
        met(simulation, Request("GET", b"/hot", []))
    assert max(simulation.dispatched) <= 1.25 * 100 / 4 + 1


def test_keys_return_to_a_successor() -> None:
    simulation = Simulation(ConsistentHash(), 5)

    def owners() -> list[int]:
        found = []
        for each in tasks(200):
            simulation.arrive(each)
            found.append(simulation.in_flight[-1].inbox)
            simulation.finish()
        return found

    before = owners()
    simulation.leave(3)
    assert 3 not in owners()
    simulation.join(3)
    assert owners() == before


def test_thousands_of_workers_join_before_the_test_times_out() -> None:
    """Sorting the ring for each of them would take minutes."""
    simulation = Simulation(ConsistentHash(), 3000)
    simulation.arrive(task("192.0.2.1"))


def test_a_header_needs_a_name() -> None:
    with pytest.raises(ValueError, match="by: header needs the name of the header"):
        ConsistentHash(by="header")
