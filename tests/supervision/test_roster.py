"""The roster, with a mold of a few lines: every order, every refusal, and what happens when workers die meanwhile."""

from __future__ import annotations

from collections.abc import Callable
from math import inf
from typing import Any

import pytest

from poolctl.runtime.role import Role
from poolctl.supervision.child import Child
from poolctl.supervision.roster import (
    REPLACEMENT_DEATHS,
    REPLACEMENT_SECONDS,
    Order,
    PoolState,
    Roster,
)

FIXED = "its workers are not processes"


def nobody(_: object) -> None:
    """Never run: no process is forked here."""


class Rig:
    """A roster of ``numbers`` workers, of which ``size`` run, beside a front that it must not touch."""

    def __init__(self, size: int, numbers: int, fixed: str = "") -> None:
        self.now = 100.0
        self.pids = iter(range(1000, 10000))
        front = Role("front", "poolctl: front x", nobody, frozenset(), 0)
        roles = [Role(f"worker {n}", f"poolctl: worker x {n}", nobody, frozenset(), 1, (n,)) for n in range(numbers)]
        self.children = [Child(front), *map(Child, roles)]
        self.roster = Roster(self.children, size, fixed)
        self.orders = 0
        self.turn()

    @property
    def workers(self) -> list[Child]:
        return self.roster.workers

    @property
    def state(self) -> PoolState:
        return self.roster.state

    def turn(self, *, slow: tuple[int, ...] = ()) -> None:
        """A turn of the mold, in which everybody does at once what is asked, but for ``slow`` workers: those do not
        become ready, and do not leave."""
        for _ in range(3):
            self.roster.step(self.now)
            for number, child in enumerate(self.workers):
                if child.leaving and not child.told:
                    child.told = bool(child.pid)
                    if not child.pid:
                        child.has_left()
                if number in slow:
                    continue
                if child.pid and child.told:
                    self.dies(number)
                    child.has_left()
                if child.wanted and not child.pid and not child.leaving:
                    child.started(next(self.pids), self.now)
                if child.pid and not child.told:
                    child.ready = self.now

    def dies(self, number: int) -> None:
        child = self.workers[number]
        child.policy.delay(child.exited(self.now)[1])

    def order(self, do: str, **what: Any) -> str:
        """Give an order; why it is refused."""
        self.orders += 1
        self.roster.obey(Order(self.orders, do, reason="asked", **what))
        assert self.roster.order == self.orders
        return self.roster.refused

    def settle(self) -> None:
        """Turns until nothing is under way, with a bound."""
        for _ in range(20):
            self.turn()
            if self.state.settled:
                return
        raise AssertionError(self.state)

    def serving(self) -> list[int]:
        return [number for number, child in enumerate(self.workers) if child.serves]


Make = Callable[..., Rig]


def test_it_begins_with_the_lowest_numbers() -> None:
    rig = Rig(2, 5)
    assert rig.serving() == [0, 1]
    assert rig.state == PoolState(size=2, ready=2, most=4, replaces=True)
    assert rig.state.settled
    assert rig.roster.due == inf


def test_what_is_told_arrives_as_it_was_sent() -> None:
    state, order = Rig(2, 5).state, Order(3, "drain", worker=1, reason="x")
    assert PoolState.received(state.sent()) == state
    assert Order(**order.sent()) == order


@pytest.mark.parametrize("size", [1, 2, 3, 4])
def test_it_scales_and_again_changes_nothing(size: int) -> None:
    rig = Rig(2, 5)
    assert rig.order("scale", size=size) == ""
    rig.settle()
    pids = [child.pid for child in rig.workers]
    assert rig.serving() == list(range(size))
    assert rig.order("scale", size=size) == ""
    rig.settle()
    assert [child.pid for child in rig.workers] == pids


def test_nobody_leaves_before_its_number_is_needed_less() -> None:
    rig = Rig(2, 5)
    rig.order("scale", size=4)
    rig.turn(slow=(2, 3))
    assert (rig.state.ready, rig.state.size, rig.state.settled) == (2, 4, False)
    rig.settle()
    assert rig.serving() == [0, 1, 2, 3]


@pytest.mark.parametrize("size", [-1, 5])
def test_numbers_that_it_does_not_have(size: int) -> None:
    rig = Rig(2, 5)
    assert rig.order("scale", size=size) == "this generation has numbers for 1 to 4 workers"
    assert rig.state.size == 2


def test_of_too_many_those_leave_first_that_do_not_serve() -> None:
    rig = Rig(3, 7)
    rig.dies(0)
    rig.workers[0].due = inf  # its start is put off
    rig.order("scale", size=2)
    assert [child.wanted for child in rig.workers[:3]] == [False, True, True]
    rig.order("scale", size=1)
    assert [child.wanted for child in rig.workers[:3]] == [False, True, False]


def test_a_worker_that_leaves_slowly_is_not_waited_for_when_one_is_needed() -> None:
    rig = Rig(3, 7)
    rig.order("scale", size=2)
    rig.turn(slow=(2,))
    assert rig.state.leaving == 1
    rig.order("scale", size=3)
    rig.turn(slow=(2,))
    assert rig.serving() == [0, 1, 3]
    rig.settle()
    assert rig.serving() == [0, 1, 3]


def test_where_all_numbers_are_taken_one_that_leaves_is_filled_next() -> None:
    rig = Rig(2, 3)  # most: 2
    rig.order("scale", size=1)
    rig.turn(slow=(1,))
    rig.workers[2].drain("asked")  # nothing is free
    rig.order("scale", size=1)
    assert rig.state.most == 1
    rig.workers[2].resume()
    rig.order("scale", size=2)
    rig.turn(slow=(1,))
    assert rig.serving() == [0, 2]


def test_it_hires_again_who_does_not_know_yet() -> None:
    rig = Rig(2, 3)
    pid = rig.workers[1].pid
    rig.order("scale", size=1)
    rig.roster.workers[2].drained = True
    rig.roster._vacancy().hire()
    rig.roster.size = 2
    rig.settle()
    assert rig.workers[1].pid == pid


# recycle


def test_a_replacement_is_ready_before_the_old_worker_leaves() -> None:
    rig = Rig(2, 5)
    rig.order("recycle", worker=0)
    assert rig.state.recycling == 1
    rig.turn(slow=(2,))
    assert rig.serving() == [0, 1]
    assert rig.roster.due == rig.now + REPLACEMENT_SECONDS
    rig.turn(slow=(0,))
    assert rig.serving() == [1, 2]
    assert (rig.state.ready, rig.state.leaving, rig.state.settled) == (2, 1, False)
    assert rig.roster.due == inf
    rig.settle()
    assert rig.serving() == [1, 2]


def test_it_replaces_all_one_after_the_other() -> None:
    rig = Rig(3, 7)
    before = {child.pid for child in rig.workers}
    rig.order("recycle", worker=-1)
    assert rig.state.recycling == 3
    most = 0
    while not rig.state.settled:
        rig.turn()
        most = max(most, sum(bool(child.pid) for child in rig.workers))
    assert len(rig.serving()) == 3
    assert not before - {0} & {child.pid for child in rig.workers}
    assert most == 4


def test_who_is_queued_already_is_not_queued_twice() -> None:
    rig = Rig(2, 5)
    for _ in range(5):
        rig.order("recycle", worker=-1)
    assert rig.state.recycling == 2
    rig.turn(slow=(2,))
    rig.order("recycle", worker=0)
    assert rig.state.recycling == 2


def test_a_replacement_takes_the_place_of_its_predecessor_for_ever() -> None:
    rig = Rig(2, 3, "under reuse-port ...")
    for _ in range(2):  # 0 -> 2 -> 0
        number = next(n for n, child in enumerate(rig.workers) if child.wanted and child.place in (-1, 0) and n != 1)
        rig.order("recycle", worker=number)
        rig.settle()
    assert rig.serving() == [0, 1]
    assert rig.workers[0].place == 0


@pytest.mark.parametrize("how", ["dies", "hangs", "cannot be forked"])
def test_a_replacement_that_does_not_serve_is_given_up(how: str) -> None:
    rig = Rig(2, 5)
    rig.order("recycle", worker=-1)
    rig.turn(slow=(2,))
    if how == "dies":
        for _ in range(REPLACEMENT_DEATHS):
            rig.workers[2].started(1, rig.now)
            rig.dies(2)
        why = "died"
    elif how == "cannot be forked":
        for _ in range(REPLACEMENT_DEATHS):
            rig.workers[2].policy.delay(0.0)
            rig.roster.forked("cannot fork worker x 2: no room")
        why = "could not start: cannot fork worker x 2: no room"
    else:
        rig.now += REPLACEMENT_SECONDS
        rig.turn(slow=(2,))
        assert rig.state.refused == ""
        rig.now += 0.1
        why = "was not ready within 60 s"
    rig.roster.step(rig.now)
    assert rig.state.refused == f"the worker that was to replace worker x 0 {why}"
    assert rig.state.recycling == 0
    rig.roster.forked()
    assert rig.state.obstacle == ""
    rig.settle()
    assert rig.serving() == [0, 1]
    assert rig.order("recycle", worker=0) == ""  # the next order has nothing to do with it


def test_the_old_worker_dies_before_its_replacement_is_ready() -> None:
    rig = Rig(2, 5)
    rig.order("recycle", worker=0)
    rig.turn(slow=(2,))
    rig.dies(0)
    rig.settle()
    assert rig.serving() == [1, 2]


def test_the_replacement_dies_when_the_old_worker_leaves() -> None:
    rig = Rig(2, 5)
    rig.order("recycle", worker=0)
    rig.turn(slow=(0,))
    rig.dies(2)
    rig.settle()
    assert rig.serving() == [1, 2]


@pytest.mark.parametrize(("recycled", "left"), [(0, [0]), (1, [0])])
def test_scaling_down_while_a_replacement_starts(recycled: int, left: list[int]) -> None:
    rig = Rig(2, 5)
    rig.order("recycle", worker=recycled)
    rig.turn(slow=(2,))
    rig.order("scale", size=1)
    rig.turn(slow=(2,))
    assert rig.serving() == left
    rig.settle()
    assert len(rig.serving()) == 1


def test_scaling_up_while_a_replacement_starts() -> None:
    rig = Rig(2, 5)
    rig.order("recycle", worker=-1)
    rig.turn(slow=(2,))
    rig.order("scale", size=4)
    rig.settle()
    assert len(rig.serving()) == 4


def test_a_replaced_worker_whose_number_is_filled_again_leaves_first() -> None:
    """It has the highest number that is not free yet, so it is the one that is hired."""
    rig = Rig(3, 5)  # as after draining: few numbers are free
    rig.order("recycle", worker=2)
    rig.turn(slow=(2,))  # 3 serves, 2 leaves
    assert rig.serving() == [0, 1, 3]
    rig.workers[4].drained = True
    rig.roster.size = 4
    rig.roster._vacancy().hire()
    rig.turn(slow=(2,))
    assert rig.workers[2].leaving
    rig.settle()
    assert rig.serving() == [0, 1, 2, 3]


# drain and resume


def test_a_drained_number_stays_empty_until_resume() -> None:
    rig = Rig(3, 7)
    assert rig.order("drain", worker=1) == ""
    rig.settle()
    assert (rig.serving(), rig.state.drained, rig.state.size, rig.state.most) == ([0, 2], (1,), 2, 5)
    rig.order("scale", size=5)
    rig.settle()
    assert rig.serving() == [0, 2, 3, 4, 5]
    rig.order("recycle", worker=0)
    rig.settle()
    assert 1 not in rig.serving()
    assert rig.order("drain", worker=1) == ""  # again
    assert rig.order("resume", worker=1) == ""
    rig.settle()
    assert (1 in rig.serving(), rig.state.drained, rig.state.size) == (True, (), 6)


def test_resume_of_all() -> None:
    rig = Rig(3, 7)
    for number in (0, 2):
        rig.order("drain", worker=number)
        rig.settle()
    assert rig.serving() == [1]
    assert rig.order("resume", worker=-1) == ""
    rig.settle()
    assert rig.serving() == [0, 1, 2]


def test_resume_before_the_worker_has_left() -> None:
    rig = Rig(2, 5)
    rig.order("drain", worker=0)
    rig.turn(slow=(0,))
    rig.order("resume", worker=0)
    rig.turn(slow=(0,))
    assert len(rig.serving()) == 2
    rig.settle()
    assert len(rig.serving()) == 2


@pytest.mark.parametrize(
    ("order", "why"),
    [
        ({"do": "drain", "worker": 9}, "there is no worker 9; the workers are 0, 1"),
        ({"do": "drain", "worker": 4}, "there is no worker 4; the workers are 0, 1"),
        ({"do": "drain", "worker": -1}, "there is no worker -1; the workers are 0, 1"),
        ({"do": "recycle", "worker": 2}, "there is no worker 2; the workers are 0, 1"),
        ({"do": "resume", "worker": 0}, "there is no worker 0; the workers are 0, 1"),
    ],
)
def test_workers_that_do_not_exist(order: dict[str, Any], why: str) -> None:
    rig = Rig(2, 5)
    assert rig.order(**order) == why
    assert rig.state.settled


def test_the_last_worker_is_not_drained() -> None:
    rig = Rig(2, 5)
    rig.order("drain", worker=1)
    rig.settle()
    assert rig.order("drain", worker=0) == "worker 0 is the only one"
    assert rig.serving() == [0]


def test_the_last_worker_that_serves_is_not_drained() -> None:
    rig = Rig(2, 5)
    rig.dies(1)
    assert rig.order("drain", worker=0) == "no other worker is ready"
    assert rig.serving() == [0]


@pytest.mark.parametrize("number", [0, 2])
def test_neither_side_of_a_replacement_is_drained(number: int) -> None:
    rig = Rig(2, 5)
    rig.order("recycle", worker=0)
    rig.turn(slow=(2,))
    assert rig.order("drain", worker=number) == f"worker {number} is being recycled"


def test_a_worker_that_was_drained_before_its_turn_is_not_replaced() -> None:
    rig = Rig(3, 7)
    rig.order("recycle", worker=-1)
    rig.turn(slow=(3,))  # that of 0
    assert rig.order("drain", worker=2) == ""
    rig.settle()
    assert len(rig.serving()) == 2
    assert rig.state.drained == (2,)


# where the number is fixed


def test_a_fixed_number_refuses_everything() -> None:
    rig = Rig(2, 2, FIXED)
    assert rig.order("scale", size=1) == FIXED
    assert rig.order("drain", worker=0) == FIXED
    assert rig.order("recycle", worker=0) == FIXED
    assert rig.order("recycle", worker=-1) == FIXED
    assert (rig.state.most, rig.state.replaces, rig.state.fixed) == (2, False, FIXED)
    assert rig.serving() == [0, 1]


def test_a_fixed_number_with_one_to_spare_recycles() -> None:
    rig = Rig(2, 3, FIXED)
    assert rig.order("scale", size=3) == FIXED
    assert rig.order("recycle", worker=-1) == ""
    rig.settle()
    assert len(rig.serving()) == 2
    assert (rig.state.most, rig.state.replaces) == (2, True)


def test_a_pool_without_workers_of_its_own() -> None:
    """Threads of one process: the mold sees no worker."""
    rig = Rig(0, 0, FIXED)
    assert rig.state == PoolState(fixed=FIXED)
    assert rig.order("scale", size=2) == FIXED
    assert rig.order("recycle", worker=-1) == FIXED
