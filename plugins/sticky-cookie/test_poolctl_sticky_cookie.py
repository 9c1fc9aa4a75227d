"""A visitor stays, only those of a worker that left move, and the contract of strategies."""

from __future__ import annotations

from collections import Counter
from typing import ClassVar

from poolctl_sticky_cookie import StickyCookie

from poolctl.testing import DispatchContract
from poolctl.testing.simulation import Request, World, task


class TestStickyCookie(DispatchContract):
    strategy = StickyCookie
    make = staticmethod(lambda: StickyCookie(name="sid"))
    affine: ClassVar[bool] = True


def owners(world: World, count: int = 600) -> list[int]:
    found = []
    for number in range(count):
        asked = Request("GET", b"/", [(b"Cookie", b"a=b; sid=%d" % number)])
        world.arrive(task("192.0.2.1", asked=asked))
        found.append(world.under_way[-1].inbox)
        world.finish()
    return found


def test_only_those_of_the_one_that_left_move() -> None:
    world = World(StickyCookie(name="sid"), 4)
    before = owners(world)
    assert min(Counter(before).values()) > 100
    world.leave(2)
    after = owners(world)
    assert [one for one in before if one != 2] == [other for one, other in zip(before, after, strict=True) if one != 2]
    world.join(2)
    assert owners(world) == before


def test_who_has_no_cookie_goes_to_the_least_loaded() -> None:
    world = World(StickyCookie(name="sid"), 3)
    for _ in range(6):
        world.arrive(task("192.0.2.1", asked=Request("GET", b"/", [])))
    assert world.given == [2, 2, 2]
