"""The queue in the front: lanes of classes, what is kept for them, and which task goes next."""

from __future__ import annotations

import random
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as draws

from poolctl.runtime.queue_view import ClassLimits, QueueView
from poolctl.runtime.routing.lane import STARVED_SECONDS, Lane
from poolctl.runtime.routing.overload import OverloadLimits
from poolctl.runtime.routing.queue import MOST_LANES, SHOWN_CHARACTERS, Queue, plain
from poolctl.runtime.routing.waiting import Waiting
from poolctl.runtime.task import Peer, Task


class Rig:
    """A queue and its workers: numbers of tasks with them, by class."""

    def __init__(self, workers: int, **classes: ClassLimits) -> None:
        self.queue = Queue()
        self.workers = workers
        self.queue.slots = workers
        for kind, limits in classes.items():
            self.queue.open(kind, limits)
        self.queue.share_out()
        self.number = 0
        self.began: list[Waiting] = []
        self.started: Counter[str] = Counter()

    def lane(self, kind: str) -> Lane:
        return self.queue.lane(kind) or self.queue.plain

    def arrive(self, kind: str, client: str = "10.0.0.1") -> None:
        self.number += 1
        task = Task(Peer(client, "1", "", ""), self.queue.now, kind=kind)
        self.queue.add(Waiting(task, self.number, kind, (), -1, self.lane(kind).index))
        self.start()

    def start(self) -> None:
        while (lane := self.queue.next_lane(len(self.began))) is not None and len(self.began) < self.workers:
            entry = lane.head
            self.queue.began(lane, entry.task)
            self.queue.remove(entry)
            self.began.append(entry)
            self.started[entry.task.kind] += 1

    def end(self, kind: str, seconds: float = 0.01) -> None:
        entry = next(each for each in self.began if each.task.kind == kind)
        self.began.remove(entry)
        self.queue.ended(self.lane(kind), entry.task, seconds)
        self.start()

    @property
    def busy(self) -> dict[str, int]:
        return dict(Counter(entry.task.kind for entry in self.began))


def test_without_classes_the_oldest_goes_first() -> None:
    rig = Rig(2)
    for _ in range(5):
        rig.arrive("")
    assert [entry.connection for entry in rig.began] == [1, 2]
    assert [entry.connection for entry in rig.queue] == [3, 4, 5]
    assert len(rig.queue) == 3
    assert not rig.queue.several


def test_workers_are_kept_for_a_class() -> None:
    rig = Rig(4, login=ClassLimits(reserve=1))
    for _ in range(6):
        rig.arrive("")
    assert rig.busy == {"": 3}
    rig.arrive("login")
    assert rig.busy == {"": 3, "login": 1}
    rig.end("login")
    assert rig.busy == {"": 3}  # it is kept again
    rig.end("")
    assert rig.busy == {"": 3}


def test_what_is_kept_is_free_or_busy_with_its_class() -> None:
    rig = Rig(4, login=ClassLimits(reserve=2))
    for _ in range(3):
        rig.arrive("login")
    rig.arrive("")
    rig.arrive("")
    assert rig.busy == {"login": 3, "": 1}
    rig.end("login")  # two are still busy with it, so the free one is anybody's
    assert rig.busy == {"login": 2, "": 2}


def test_one_worker_is_left_for_everybody() -> None:
    rig = Rig(2, one=ClassLimits(reserve=5), other=ClassLimits(reserve=5))
    rig.arrive("")
    assert rig.busy == {"": 1}
    rig = Rig(1, one=ClassLimits(reserve=1))
    rig.arrive("")
    assert rig.busy == {"": 1}


def test_a_class_has_so_many_at_most_while_others_pass() -> None:
    rig = Rig(4, chat=ClassLimits(most=2))
    for _ in range(5):
        rig.arrive("chat")
    rig.arrive("")
    assert rig.busy == {"chat": 2, "": 1}
    rig.end("chat")
    assert rig.busy == {"chat": 2, "": 1}


def test_a_higher_priority_goes_first_but_nobody_starves() -> None:
    rig = Rig(1, fast=ClassLimits(priority=1))
    rig.arrive("")
    rig.arrive("")
    rig.arrive("fast")
    rig.end("")
    assert rig.busy == {"fast": 1}
    rig.arrive("fast")
    rig.queue.now += STARVED_SECONDS + 0.1
    rig.end("fast")
    assert rig.busy == {"": 1}


def test_for_a_starving_task_others_wait_but_not_those_with_a_worker_of_their_own() -> None:
    rig = Rig(3, fast=ClassLimits(priority=1, reserve=1), slow=ClassLimits())
    rig.arrive("slow")
    rig.arrive("slow")
    rig.arrive("slow")
    rig.arrive("fast")
    rig.queue.now += STARVED_SECONDS + 0.1
    rig.arrive("fast")
    rig.end("slow")  # the starving one takes this worker, though a fast one waits
    assert rig.busy == {"slow": 2, "fast": 1}
    rig.end("fast")
    assert rig.busy == {"slow": 2, "fast": 1}


def test_what_is_spared_is_used_after_half_of_the_time_that_one_takes() -> None:
    rig = Rig(3, short=ClassLimits(reserve=1, spare=1), long=ClassLimits())
    rig.lane("long").service = 0.1
    rig.arrive("long")
    rig.arrive("long")
    assert rig.busy == {"long": 1}
    rig.queue.now += 0.04
    rig.start()
    assert rig.busy == {"long": 1}
    rig.queue.now += 0.02
    rig.start()
    assert rig.busy == {"long": 2}
    rig.arrive("long")
    rig.queue.now += 1
    rig.start()
    assert rig.busy == {"long": 2}  # the reserve is not spare


def test_a_class_that_nothing_is_kept_from_lies_ready_beyond_the_workers() -> None:
    rig = Rig(2, short=ClassLimits(reserve=1, priority=1))
    rig.queue.most = rig.workers = 4
    rig.queue.slots = 2
    rig.queue.share_out()
    for kind in ("short", "short", "", "short", "short", "short"):
        rig.arrive(kind)
    assert rig.busy == {"short": 4}
    rig.end("short")
    rig.end("short")
    assert rig.busy == {"short": 3}  # the last one; nothing else, as no worker is free
    rig.end("short")
    rig.end("short")
    assert rig.busy == {"": 1, "short": 1}


def test_equal_priorities_go_by_age() -> None:
    rig = Rig(1, one=ClassLimits(), other=ClassLimits())
    for kind in ("", "one", "other", "one", ""):
        rig.queue.now += 0.001
        rig.arrive(kind)
    order = []
    while rig.began:
        order.append(rig.began[0].connection)
        rig.end(rig.began[0].task.kind)
    assert order == [1, 2, 3, 4, 5]


def test_clients_take_turns() -> None:
    rig = Rig(1, api=ClassLimits(fair=True))
    rig.lane("api").service, rig.lane("api").served = 0.01, 1
    for _ in range(50):
        rig.arrive("api", "10.0.0.7")
    rig.arrive("api", "10.0.0.8")
    rig.end("api")
    rig.end("api")
    assert rig.began[0].task.client == "10.0.0.8"


def test_a_client_that_has_had_more_passes_its_turns() -> None:
    rig = Rig(1, api=ClassLimits(fair=True))
    rig.lane("api").service, rig.lane("api").served = 0.01, 1
    served: Counter[str] = Counter()
    for _ in range(200):
        rig.arrive("api", "heavy")
        rig.arrive("api", "light")
    for _ in range(200):
        client = rig.began[0].task.client
        seconds = 0.3 if client == "heavy" else 0.1
        served[client] += round(seconds * 10)
        rig.end("api", seconds)
    assert served["heavy"] == pytest.approx(served["light"], rel=0.1)  # tenths of a second


def test_ipv6_clients_are_networks() -> None:
    rig = Rig(1, api=ClassLimits(fair=True))
    rig.lane("api").service, rig.lane("api").served = 0.01, 1
    rig.arrive("api", "2001:db8::1")
    for number in range(9):
        rig.arrive("api", f"2001:db8::{number + 2:x}")
    rig.arrive("api", "2001:db8:0:1::1")
    rig.end("api")
    rig.end("api")
    assert rig.began[0].task.client == "2001:db8:0:1::1"


def test_the_surplus_is_the_newest_of_the_longest_line() -> None:
    rig = Rig(1, api=ClassLimits(fair=True), login=ClassLimits())
    rig.arrive("login")
    rig.arrive("login")
    for _ in range(3):
        rig.arrive("api", "10.0.0.7")
    rig.arrive("api", "10.0.0.8")
    surplus = rig.queue.take_surplus()
    assert (surplus.task.kind, surplus.task.client, surplus.connection) == ("api", "10.0.0.7", 5)
    assert rig.lane("api").refused == 1


def test_an_overload_is_that_of_a_class() -> None:
    rig = Rig(2, chat=ClassLimits(most=1), login=ClassLimits(reserve=1))
    rig.queue.bound_by(OverloadLimits(target=0.1))
    rig.arrive("chat")
    rig.arrive("chat")
    for _ in range(40):  # four seconds: while none ends, as long as that has lasted is what a chat takes
        rig.queue.now += 0.1
        assert rig.queue.take_late(rig.queue.now) == []
    rig.arrive("login")
    for _ in range(40):
        rig.arrive("login")
        rig.arrive("login")
        rig.queue.now += 0.1
        rig.end("login")
        late = rig.queue.take_late(rig.queue.now)
        assert {entry.task.kind for entry in late} <= {"login"}
    assert rig.lane("login").refused
    assert not rig.lane("chat").refused


def test_lanes_are_bounded() -> None:
    queue = Queue()
    for number in range(2 * MOST_LANES):
        queue.open(f"class {number}", ClassLimits(most=1), named=True)
    assert len(queue.lanes) == MOST_LANES
    assert queue.open("one more", ClassLimits(most=1)) is queue.plain
    assert queue.plain.limits == ClassLimits()


def test_a_lane_that_is_no_longer_named_is_used_again() -> None:
    rig = Rig(1)
    for number in range(MOST_LANES - 1):
        rig.queue.open(f"old {number}", ClassLimits(), named=number > 2)
    rig.arrive("old 0")
    rig.arrive("old 1")  # waits
    new = rig.queue.open("new", ClassLimits(most=1), named=True)
    assert new.kind == "new"
    assert rig.queue.lane("old 2") is None
    assert rig.queue.open("another", ClassLimits(), named=True) is rig.queue.plain
    rig.end("old 0")
    assert rig.busy == {"old 1": 1}
    assert rig.queue.open("another", ClassLimits(), named=True).kind == "another"


def test_in_an_overload_of_all_each_class_is_served() -> None:
    """Classes with the same priority, of which one takes fifty times as long, and one with less than both."""
    rig = Rig(2, fast=ClassLimits(), slow=ClassLimits(), late=ClassLimits(priority=-1))
    rig.queue.bound_by(OverloadLimits(target=0.1))
    takes = {"fast": 0.01, "slow": 0.5, "late": 0.02}
    ends: list[tuple[float, str]] = []
    served: Counter[str] = Counter()
    for tick in range(4000):  # 20 s
        rig.queue.now = tick * 0.005
        for end, kind in sorted(ends):
            if end <= rig.queue.now:
                ends.remove((end, kind))
                served[kind] += 1
                before = len(rig.began)
                rig.end(kind, takes[kind])
                ends += [(rig.queue.now + takes[each.task.kind], each.task.kind) for each in rig.began[before - 1 :]]
        before = len(rig.began)
        for kind in ("fast", "slow", "late"):
            if tick % 2 == 0:
                rig.arrive(kind)
        ends += [(rig.queue.now + takes[each.task.kind], each.task.kind) for each in rig.began[before:]]
        rig.queue.take_late(rig.queue.now)
    assert min(served.values()) >= 15, served
    assert served["fast"] > served["slow"]


def test_a_view_shows_the_queue_and_changes_nothing() -> None:
    rig = Rig(1, chat=ClassLimits())
    view = QueueView(rig.queue)
    rig.queue.now = 7.0
    rig.arrive("chat")
    rig.arrive("chat")
    assert (view.now, view.workers, view.busy("chat"), view.waiting("chat")) == (7.0, 1, 1, 1)
    assert (view.busy("nobody"), view.waiting("nobody")) == (0, 0)
    with pytest.raises(AttributeError):
        view.now = 3.0  # type: ignore[misc]
    with pytest.raises(AttributeError):
        del view._queue


KINDS = ("", "a", "b", "c")
LIMITS = draws.builds(
    ClassLimits,
    reserve=draws.integers(0, 4),
    most=draws.integers(1, 6),
    priority=draws.integers(-1, 1),
    fair=draws.booleans(),
    spare=draws.integers(0, 2),
)


def check_next(queue: Queue, sent: int) -> None:
    """The lane that is next is the one that a look at all of them finds."""
    found = queue.next_lane(sent)
    able = [lane for lane in queue.lanes if lane.waiting and queue.may_start(lane, sent)]
    starving = [
        lane
        for lane in queue.lanes
        if lane.waiting and lane.busy < lane.limits.most and queue.now - lane.hungry > lane.patience
    ]
    if starving and min(starving, key=lambda lane: lane.hungry) in able:
        assert found is not None
        assert found.hungry == min(lane.hungry for lane in starving)
    elif starving:
        assert found is None or (found in able and found.reserve + found.spare)
    elif not able:
        assert found is None
    else:
        assert found in able
        if queue.slots - sent > queue.owed:
            best = max(able, key=lambda lane: (lane.limits.priority, -lane.due))
            assert (found.limits.priority, found.due) == (best.limits.priority, best.due)


@given(
    workers=draws.integers(1, 8),
    limits=draws.lists(LIMITS, min_size=3, max_size=3),
    seed=draws.integers(0, 1 << 30),
)
def test_against_a_simple_model(workers: int, limits: list[ClassLimits], seed: int) -> None:
    """Whatever happens, no class has more than its most, what is kept stays, and an idle pool takes any task."""
    rig = Rig(workers, **dict(zip(KINDS[1:], limits, strict=True)))
    draw = random.Random(seed)
    arrived: Counter[str] = Counter()
    for _ in range(200):
        rig.queue.now += draw.random() / 20
        if draw.random() < 0.6:
            kind = draw.choice(KINDS)
            arrived[kind] += 1
            rig.arrive(kind, draw.choice("xyz"))
        elif rig.began:
            rig.end(draw.choice(rig.began).task.kind, draw.random() / 10)
        rig.start()
        check_next(rig.queue, len(rig.began))
        busy = Counter(rig.busy)
        assert len(rig.began) <= workers
        assert len(rig.queue) == sum(lane.waiting for lane in rig.queue.lanes) == len(list(rig.queue))
        assert {kind: arrived[kind] - rig.lane(kind).waiting for kind in KINDS} == {k: rig.started[k] for k in KINDS}
        for kind in KINDS[1:]:
            lane = rig.lane(kind)
            assert busy[kind] == lane.busy <= lane.limits.most
            others = sum(busy.values()) - busy[kind]
            assert others <= workers - min(lane.reserve, lane.limits.reserve)
            assert lane.owed == max(lane.reserve - lane.busy, 0)
        assert rig.queue.owed == sum(lane.owed for lane in rig.queue.lanes)
        if not rig.began and len(rig.queue):
            rig.queue.now += 1.0  # past what is spared
            rig.start()
            assert rig.began


def test_the_class_of_all_others_has_limits_and_figures_too() -> None:
    rig = Rig(4)
    assert rig.queue.open("", ClassLimits(reserve=1, most=2)) is rig.queue.plain
    rig.queue.open("x", ClassLimits())
    rig.queue.share_out()
    view = QueueView(rig.queue)
    for _ in range(4):
        rig.arrive("x")
    assert rig.busy == {"x": 3}  # one is kept
    for _ in range(3):
        rig.arrive("")
    assert (view.busy(""), view.waiting("")) == (1, 2)
    rig.end("x")
    rig.end("x")
    assert (view.busy(""), view.waiting("")) == (2, 1)  # at most two


def test_what_a_client_has_chosen_is_shown_so_that_no_terminal_obeys_it() -> None:
    shown = plain("/\x1b[31m\u202e\n\U0001f600" + "x" * 500)
    assert shown.isascii()
    assert shown.isprintable()
    assert len(shown) == SHOWN_CHARACTERS
