"""Visitors stay, only those of a worker that left move, and the contract of strategies."""

from __future__ import annotations

from collections import Counter
from typing import ClassVar

from poolctl_sticky_cookie import StickyCookie

from poolctl.testing import DispatchContract
from poolctl.testing.simulation import Request, Simulation, task


class TestStickyCookie(DispatchContract):
    strategy = StickyCookie
    make = staticmethod(lambda: StickyCookie(name="sid"))
    affine: ClassVar[bool] = True


def owners(simulation: Simulation, count: int = 600) -> list[int]:
    found = []
    for number in range(count):
        asked = Request("GET", b"/", [(b"Cookie", b"a=b; sid=%d" % number)])
        simulation.arrive(task("192.0.2.1", asked=asked))
        found.append(simulation.in_flight[-1].inbox)
        simulation.finish()
    return found


def test_only_visitors_of_the_worker_that_left_move() -> None:
    simulation = Simulation(StickyCookie(name="sid"), 4)
    before = owners(simulation)
    assert min(Counter(before).values()) > 100
    simulation.leave(2)
    after = owners(simulation)
    assert [one for one in before if one != 2] == [other for one, other in zip(before, after, strict=True) if one != 2]
    simulation.join(2)
    assert owners(simulation) == before


def test_visitors_without_the_cookie_go_to_the_least_loaded() -> None:
    simulation = Simulation(StickyCookie(name="sid"), 3)
    for _ in range(6):
        simulation.arrive(task("192.0.2.1", asked=Request("GET", b"/", [])))
    assert simulation.dispatched == [2, 2, 2]
