"""Strategies on real inboxes: what they choose is what their words say, for every kind of inbox."""

from __future__ import annotations

import contextlib
import random
from collections import Counter
from collections.abc import Callable, Iterator
from time import monotonic_ns

import pytest
from hypothesis import given
from hypothesis import strategies as st

from poolctl.runtime.channels.inbox import Inbox, ProcessInbox, RingingInbox, ThreadInbox
from poolctl.runtime.dispatch import Dispatch
from poolctl.runtime.dispatch.client import Client
from poolctl.runtime.dispatch.cpu import Cpu
from poolctl.runtime.dispatch.kernel_hash import KernelHash
from poolctl.runtime.dispatch.leader import Leader
from poolctl.runtime.dispatch.least_loaded import LeastLoaded
from poolctl.runtime.dispatch.power_of_choices import PowerOfChoices
from poolctl.runtime.dispatch.random import Random
from poolctl.runtime.dispatch.round_robin import RoundRobin
from poolctl.runtime.dispatch.shared_queue import SharedQueue
from poolctl.runtime.scoreboard import BEAT, DONE, LAG, Scoreboard
from poolctl.runtime.task import Peer, Task

TASK = Task(Peer("127.0.0.1", "4711", "127.0.0.1", "80"))
KINDS = [ThreadInbox, ProcessInbox, RingingInbox]
LOADS = st.lists(st.integers(0, 6), min_size=1, max_size=9)
ROOM = 3  # threads of a worker, where it has several
CHI_SQUARE = 21.1075  # 3 degrees of freedom, p = 0.0001


@pytest.fixture(autouse=True)
def seeded() -> Iterator[None]:
    """Draws are the same in each run."""
    before = random.getstate()
    random.seed(7)
    yield
    random.setstate(before)


@contextlib.contextmanager
def inboxes(
    loads: list[int], kind: type[Inbox] = ThreadInbox, each: int = 1, *, beats: bool = False
) -> Iterator[list[Inbox]]:
    """One inbox for each load, with so many tasks in it, and ``each`` worker threads that take from it. ``beats``: they
    are event loops."""
    board = Scoreboard(len(loads), len(loads) * each)
    rows = [[board.worker(index * each + number) for number in range(each)] for index in range(len(loads))]
    made = [kind(index, board.inbox(index), rows[index], beats=beats) for index in range(len(loads))]
    try:
        for inbox, load in zip(made, loads, strict=True):
            for _ in range(load):
                assert inbox.put(b"x")
        yield made
    finally:
        for inbox in made:
            for end in ("reader", "writer"):
                if hasattr(inbox, end):
                    getattr(inbox, end).close()


def picks(dispatch: Dispatch, offered: list[Inbox], count: int) -> list[int]:
    views = tuple(inbox.view for inbox in offered)
    found = [dispatch.pick(TASK, views) for _ in range(count)]
    return [inbox.index for inbox in found if inbox is not None]


def say_late(inbox: Inbox, milliseconds: int) -> None:
    """Write what its loop would, and beat an hour from now, so that no time adds to it."""
    row = inbox.workers[0]
    row[BEAT], row[LAG] = monotonic_ns() + 3600 * 10**9, milliseconds * 10**6


def chi_square(met: list[int], of: int) -> float:
    expected = len(met) / of
    counts = Counter(met)
    return sum((counts[index] - expected) ** 2 / expected for index in range(of))


@pytest.mark.parametrize("kind", KINDS)
def test_the_load_is_what_was_put_and_is_not_done(kind: type[Inbox]) -> None:
    with inboxes([3, 0, 1], kind) as made:
        assert [inbox.load for inbox in made] == [3, 0, 1]
        made[0].workers[0][DONE] += 2
        assert [inbox.load for inbox in made] == [1, 0, 1]


class TestRoundRobin:
    @given(LOADS)
    def test_each_in_its_turn_whatever_it_has_to_do(self, loads: list[int]) -> None:
        with inboxes(loads) as made:
            assert picks(RoundRobin(), made, 3 * len(loads)) == [*range(len(loads))] * 3

    def test_one_that_is_not_on_offer_does_not_shift_the_turns(self) -> None:
        with inboxes([0] * 4) as made:
            dispatch = RoundRobin()
            assert picks(dispatch, made, 2) == [0, 1]
            assert picks(dispatch, [made[0], made[1], made[3]], 1) == [3]
            assert picks(dispatch, made, 4) == [0, 1, 2, 3]
            assert picks(dispatch, made[:1], 2) == [0, 0]
            assert picks(dispatch, made, 1) == [1]


class TestRandom:
    def test_each_is_as_likely_as_the_other(self) -> None:
        with inboxes([9, 0, 0, 3]) as made:
            assert chi_square(picks(Random(), made, 4000), 4) < CHI_SQUARE

    def test_only_what_is_on_offer(self) -> None:
        with inboxes([0] * 4) as made:
            assert set(picks(Random(), made[1:3], 100)) == {1, 2}


class TestLeastLoaded:
    @given(LOADS)
    def test_nobody_has_less_to_do(self, loads: list[int]) -> None:
        with inboxes(loads) as made:
            chosen = LeastLoaded().pick(TASK, tuple(inbox.view for inbox in made))
            assert chosen is not None
            assert chosen.load == min(loads)

    @given(LOADS)
    def test_tasks_fill_the_valleys(self, loads: list[int]) -> None:
        with inboxes(loads) as made:
            dispatch = LeastLoaded()
            for _ in range(sum(max(loads) - load for load in loads)):
                chosen = dispatch.pick(TASK, tuple(inbox.view for inbox in made))
                assert chosen is not None
                made[chosen.index].put(b"x")
            assert {inbox.load for inbox in made} == {max(loads)}

    def test_equals_have_their_turns(self) -> None:
        with inboxes([0, 1, 0, 0]) as made:
            assert picks(LeastLoaded(), made, 6) == [0, 2, 3, 0, 2, 3]

    @given(LOADS, st.lists(st.sets(st.integers(0, 8), max_size=8), min_size=1, max_size=8))
    def test_the_next_of_those_with_the_fewest_tasks_whichever_are_on_offer(
        self, loads: list[int], away: list[set[int]]
    ) -> None:
        """Against a search of all of them."""
        with inboxes(loads) as made:
            dispatch, last = LeastLoaded(), -1
            for gone in away:
                offer = tuple(inbox.view for inbox in made if inbox.index not in gone) or (made[0].view,)
                fewest = min(view.load for view in offer)
                equals = [view.index for view in offer if view.load == fewest]
                expected = next((index for index in equals if index > last), equals[0])
                chosen = dispatch.pick(TASK, offer)
                assert chosen.index == expected
                made[expected].put(b"x")
                last = expected

    @given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 90)), min_size=1, max_size=9))
    def test_loops_that_are_clearly_later_than_others_are_avoided(self, figures: list[tuple[int, int]]) -> None:
        """Against a search of all of them; each is (tasks, milliseconds of lag)."""
        with inboxes([load for load, _ in figures], beats=True) as made:
            for inbox, (_, lag) in zip(made, figures, strict=True):
                say_late(inbox, lag)
            most = max(20, 2 * min(lag for _, lag in figures))
            fewest = min(load for load, lag in figures if lag <= most)
            expected = [index for index, each in enumerate(figures) if each[0] == fewest and each[1] <= most]
            assert picks(LeastLoaded(), made, 2 * len(expected)) == expected * 2

    def test_one_that_is_blocked_is_avoided_though_it_says_nothing(self) -> None:
        with inboxes([0, 3, 4], beats=True) as made:
            for inbox in made:
                say_late(inbox, 0)
            made[0].workers[0][BEAT] = monotonic_ns() - 60 * 10**9
            assert picks(LeastLoaded(), made, 2) == [1, 1]

    def test_workers_that_are_no_loops_are_never_late(self) -> None:
        with inboxes([0, 3]) as made:
            made[0].workers[0][BEAT] = 1
            assert [inbox.view.lag for inbox in made] == [0.0, 0.0]
            assert picks(LeastLoaded(), made, 2) == [0, 0]

    @pytest.mark.parametrize("kind", KINDS)
    def test_what_is_done_counts_no_more(self, kind: type[Inbox]) -> None:
        with inboxes([2, 1], kind) as made:
            dispatch = LeastLoaded()
            assert picks(dispatch, made, 2) == [1, 1]
            made[0].workers[0][DONE] += 2
            assert picks(dispatch, made, 2) == [0, 0]


class TestPowerOfChoices:
    @given(LOADS, st.integers(1, 12))
    def test_of_those_drawn_the_least_loaded(self, loads: list[int], choices: int) -> None:
        """At most len - choices of the others can have less to do."""
        with inboxes(loads) as made:
            chosen = PowerOfChoices(choices).pick(TASK, tuple(inbox.view for inbox in made))
            assert chosen is not None
            assert sum(load < chosen.load for load in loads) <= max(len(loads) - choices, 0)

    def test_two_choices_never_take_the_fullest(self) -> None:
        with inboxes([0, 0, 5, 1]) as made:
            assert set(picks(PowerOfChoices(), made, 400)) == {0, 1, 3}

    def test_one_choice_is_a_plain_draw(self) -> None:
        with inboxes([9, 0, 0, 3]) as made:
            assert chi_square(picks(PowerOfChoices(1), made, 4000), 4) < CHI_SQUARE


class TestSharedQueue:
    def test_it_pulls(self) -> None:
        assert SharedQueue.pull

    @given(st.lists(st.integers(0, ROOM + 1), min_size=2, max_size=9))
    def test_nobody_who_has_room_has_less_to_do(self, loads: list[int]) -> None:
        with inboxes(loads, each=ROOM) as made:
            chosen = SharedQueue().pick(TASK, tuple(inbox.view for inbox in made))
            if min(loads) >= ROOM:
                assert chosen is None  # it waits in the front
            else:
                assert chosen is not None
                assert chosen.load == min(loads)

    @given(st.lists(st.integers(0, ROOM), min_size=2, max_size=9))
    def test_tasks_fill_the_valleys_and_then_wait(self, loads: list[int]) -> None:
        with inboxes(loads, each=ROOM) as made:
            dispatch, views = SharedQueue(), tuple(inbox.view for inbox in made)
            for _ in range(sum(ROOM - load for load in loads)):
                chosen = dispatch.pick(TASK, views)
                assert chosen is not None
                assert chosen.load == min(view.load for view in views)
                made[chosen.index].put(b"x")
            assert dispatch.pick(TASK, views) is None

    def test_of_equals_the_one_whose_last_task_is_the_longest_ago(self) -> None:
        with inboxes([1, 0, 1, 1], each=9) as made:
            dispatch, views = SharedQueue(), tuple(inbox.view for inbox in made)
            met = []
            for _ in range(8):
                chosen = dispatch.pick(TASK, views)
                assert chosen is not None
                made[chosen.index].put(b"x")
                met.append(chosen.index)
            assert met == [1, 0, 2, 3, 1, 0, 2, 3]

    def test_one_that_was_away_has_its_turn_first(self) -> None:
        with inboxes([0] * 3, each=9) as made:
            dispatch, views = SharedQueue(), tuple(inbox.view for inbox in made)
            assert [dispatch.pick(TASK, views) for _ in range(2)] == [views[0], views[1]]
            assert [dispatch.pick(TASK, views[:2]) for _ in range(3)] == [views[0], views[1], views[0]]
            assert [dispatch.pick(TASK, views) for _ in range(3)] == [views[2], views[1], views[0]]


@pytest.mark.parametrize("part", [KernelHash, Client, Cpu])
def test_no_front_asks_the_kernel(part: Callable[[], Dispatch]) -> None:
    with inboxes([0]) as made, pytest.raises(TypeError, match="executed by the kernel"):
        part().pick(TASK, tuple(inbox.view for inbox in made))


def test_no_front_asks_the_leader() -> None:
    with inboxes([0]) as made, pytest.raises(TypeError, match="no front calls"):
        Leader().pick(TASK, tuple(inbox.view for inbox in made))
