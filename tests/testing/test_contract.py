"""The contract finds the mistake in each of the classic wrong strategies, and correct ones pass."""

from __future__ import annotations

import os
import random
import signal
import sys
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

import pytest

from poolctl.plugin import Dispatch, InboxView, Task
from poolctl.runtime.dispatch.least_loaded import LeastLoaded
from poolctl.runtime.dispatch.power_of_choices import PowerOfChoices
from poolctl.runtime.dispatch.random import Random
from poolctl.runtime.dispatch.round_robin import RoundRobin
from poolctl.runtime.dispatch.shared_queue import SharedQueue
from poolctl.runtime.dispatch.size_aware import SizeAware
from poolctl.testing import (
    DispatchContract,
    Violation,
    checks,
    decision_time,
    purity,
    shared_state,
    simulation,
    watchdog,
)
from poolctl.testing.classes import check_classes, check_refusals, check_starvation
from poolctl.testing.contract import names
from poolctl.testing.histories import check_histories
from poolctl.testing.other_process import check_other_process

sys.path.insert(0, str(Path(__file__).parent / "wrong"))
import strategies as wrong  # from a folder in sys.path, like an author's

FOUND: list[tuple[type[Dispatch], Callable[..., None], str]] = [
    (wrong.KeepsAnIndex, check_histories, "pick raised IndexError"),
    (wrong.DividesByZero, check_histories, "modulo by zero"),
    (wrong.RemembersEverybody, checks.check_memory, "KiB after 6000"),
    (wrong.RemembersTenants, checks.check_memory, "KiB after 6000"),
    (wrong.RemembersCookies, checks.check_memory, "KiB after 6000"),
    (wrong.RemembersPaths, checks.check_memory, "KiB after 6000"),
    (wrong.RemembersQueries, checks.check_memory, "KiB after 6000"),
    (wrong.RemembersRawHeaders, checks.check_memory, "KiB after 6000"),
    (wrong.StaleLoads, checks.check_fairness, "got 600 of 600 equal tasks"),
    (wrong.NotOnOffer, check_histories, "but the available inboxes are"),
    (wrong.ParsesAddresses, check_histories, "pick raised ValueError: invalid literal for int"),
    (wrong.WantsAHeader, check_histories, "pick raised AttributeError: 'NoneType'"),
    (wrong.NeverTheFirst, checks.check_fairness, "inbox 0 got none"),
    (wrong.WaitsForEver, check_histories, "while every worker was idle"),
    (wrong.ChangesTheOffer, check_histories, "'tuple' object has no attribute 'sort'"),
    (wrong.WritesToInboxes, check_histories, "an inbox view is read-only"),
    (wrong.SharedByTheClass, shared_state.check_shared_state, "SharedByTheClass.seen belongs to the class"),
    (wrong.Sleeps, purity.check_purity, "it does more than decide: time.sleep"),
    (wrong.ReadsTheClock, purity.check_purity, "it does more than decide: time.monotonic"),
    (wrong.OpensAFile, purity.check_purity, "it does more than decide: open /proc/loadavg"),
    (wrong.Locked, purity.check_purity, "it did not decide within"),
    (wrong.ComparesAllWithAll, decision_time.check_decision_time, "a decision among "),
    (wrong.CountsItself, check_histories, "finished raised AssertionError"),
    (wrong.NewestFirst, checks.check_fairness, "a task waited while 300 later ones were taken"),
    (wrong.RemembersInTheModule, checks.check_memory, "more objects after 15000 clients"),
    (wrong.RemembersInTheModule, shared_state.check_shared_state, "SEEN belongs to the module and was changed"),
    (wrong.CachesWithoutABound, checks.check_memory, "more objects after 15000 clients"),
    (wrong.CountsInADefault, shared_state.check_shared_state, "a default value of counted() was changed"),
    (wrong.Leaves, check_histories, "pick raised SystemExit: no workers"),
    (wrong.Loops, check_histories, "pick did not return within 0.2 s"),
    (wrong.DrawsTooMany, check_histories, "pick raised ValueError: Sample larger than population"),
    (wrong.Prints, purity.check_purity, "it prints or logs for each task: goes to"),
    (wrong.StartsThreads, purity.check_purity, "it does more than decide: threading.Thread.start"),
    (wrong.HashesTexts, check_other_process, "clients reach another inbox in another process"),
    (wrong.ClassesByNumber, check_classes, "classify returned 1, which is not a string"),
    (wrong.ClassForEachClient, check_classes, "classify names more than 255 classes: 256 after"),
    (wrong.ClassForEachPath, check_classes, "classify names more than 255 classes: 256 after"),
    (wrong.ClassForEachTenant, check_classes, "classify names more than 255 classes: 256 after"),
    (wrong.LimitsByClock, purity.check_purity, "it does more than decide: time.time"),
    (wrong.ListsLimits, check_histories, "limits returned an object of type list, which is not a mapping"),
    (wrong.LimitsByNumber, check_histories, "limits returned an object of type int, which is no ClassLimits,"),
    (
        wrong.OwesWorkers,
        check_classes,
        "reserve=-2, which is less than 0, for the class 'report' while queue.workers is 0",
    ),
    (wrong.StopsAClass, check_starvation, "most=0, which is less than 1, for the class 'report'"),
    (
        wrong.StopsAClassOfFew,
        check_classes,
        "most=0, which is less than 1, for the class 'report' while queue.workers is 1",
    ),
    (wrong.DividesByWorkers, check_histories, "limits raised ZeroDivisionError"),
    (wrong.ReportsLast, check_starvation, "no task of the class 'report' was started in 20 s"),
    (wrong.WaitsForASecond, check_starvation, "a task waits forever: next left it waiting while every worker was idle"),
    (wrong.RefusesByNumber, check_refusals, "refuses returned 0, which is neither True nor False"),
    (wrong.RefusesEverything, check_refusals, "it refused each of 100 tasks, although nothing waited"),
    (wrong.NeverRecovers, check_refusals, "it refused each of 100 tasks after an overload, although nothing waited"),
    (wrong.ExpectsTheLast, check_starvation, "served raised KeyError"),
    (wrong.LearnsPairs, check_classes, "learned returned ('GET /', 0.1), where poolctl status shows"),
    (wrong.LearnsNothing, check_classes, "learned returned None, where poolctl status shows"),
    (wrong.RemembersRoutes, checks.check_memory, "KiB after 6000"),
    (wrong.RemembersMethods, checks.check_memory, "KiB after 6000"),
    (wrong.RemembersNames, checks.check_memory, "KiB after 6000"),
    (wrong.RemembersBelow, checks.check_memory, "KiB after 6000"),
    (wrong.ComparesAllRoutes, decision_time.check_decision_time, "limits takes "),
    (wrong.SearchesAllRoutes, decision_time.check_decision_time, "a decision among "),
]


def run(check: Callable[..., None], strategy: type[Dispatch]) -> None:
    if check is checks.check_fairness:
        checks.check_fairness(strategy, DispatchContract.fairness)
    else:
        check(strategy)


@pytest.mark.parametrize(("strategy", "check", "said"), FOUND, ids=lambda value: getattr(value, "__name__", ""))
def test_the_contract_finds_the_mistake(
    strategy: type[Dispatch], check: Callable[..., None], said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if check is checks.check_memory:  # fewer clients find the same; these strategies have no limit to reach
        monkeypatch.setattr(checks, "MANY", 3_000 if "KiB" in said else 15_000)
    if check is decision_time.check_decision_time:
        monkeypatch.setattr(decision_time, "TRIES", 1)
    if strategy is wrong.Locked:
        monkeypatch.setattr(purity, "PATIENCE", 1.0)
    if strategy is wrong.Loops:
        monkeypatch.setattr(watchdog, "PATIENCE", 0.2)
        monkeypatch.setattr(simulation, "PATIENCE", 0.2)
    with pytest.raises(Violation) as caught:
        run(check, strategy)
    assert said in str(caught.value)
    assert caught.value.fix or check is check_histories


def test_a_check_of_many_slow_decisions_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watchdog, "CHECK_PATIENCE", 0.5)
    with pytest.raises(Violation, match=r"so slow that the check did not finish within 0\.5 s"):
        checks.check_memory(wrong.Sleeps)  # 140,000 times a part of a second


def test_the_contract_finds_clients_that_move() -> None:
    with pytest.raises(Violation, match=r"clients moved when one of 6 inboxes left"):
        checks.check_affinity(wrong.Reshuffles, 0.5)


def test_a_violation_lists_the_steps_that_led_to_it() -> None:
    with pytest.raises(Violation) as caught:
        check_histories(wrong.WaitsForEver)
    assert caught.value.what.endswith("\n  1. a task of 192.0.2.1 arrives (a connection)")


def test_every_wrong_strategy_is_found() -> None:
    found = {strategy.__name__ for strategy, _, _ in FOUND} | {"Reshuffles"}
    own = [each for each in vars(wrong).values() if isinstance(each, type) and each.__module__ == wrong.__name__]
    assert found == {each.__name__ for each in own}


class DrawsItsOwn(Dispatch):
    """Correct, but never the same twice: hypothesis does not control its random numbers."""

    def __init__(self) -> None:
        self.random = random.SystemRandom()

    def pick(self, task: Task, inboxes: tuple[InboxView, ...]) -> InboxView:
        return min(self.random.sample(inboxes, min(2, len(inboxes))), key=lambda inbox: inbox.load)


def test_a_strategy_may_draw_its_own_random_numbers() -> None:
    check_histories(DrawsItsOwn)


def test_the_alarm_of_a_test_runner_is_restored() -> None:
    rung: list[int] = []
    before = signal.signal(signal.SIGALRM, lambda number, frame: rung.append(number))
    signal.setitimer(signal.ITIMER_REAL, 60)
    try:
        checks.check_fairness(LeastLoaded, 3.0)
        assert 0 < signal.getitimer(signal.ITIMER_REAL)[0] <= 60
        os.kill(os.getpid(), signal.SIGALRM)
        assert rung
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


class Speed(Enum):
    SLOW = "slow"
    FAST = "fast"


@dataclass
class HasOptions(Dispatch):
    """Has options of types that JSON lacks."""

    speed: Speed = Speed.FAST
    only: frozenset[int] = frozenset()

    def pick(self, task: Task, inboxes: tuple[InboxView, ...]) -> InboxView:
        return min(inboxes, key=lambda inbox: inbox.load)


class TestHasOptions(DispatchContract):
    strategy = HasOptions
    make = staticmethod(lambda: HasOptions(Speed.SLOW, frozenset((1, 2))))


class BuiltIn(DispatchContract):
    @pytest.mark.slow  # the matrix serves them
    def test_live(self) -> None:  # a function of its own: the mark of that of the contract would be for all strategies
        super().test_live()


class TestLeastLoaded(BuiltIn):
    strategy = LeastLoaded
    use = "least-loaded"


class TestRoundRobin(BuiltIn):
    strategy = RoundRobin
    use = "round-robin"


class TestPowerOfChoices(BuiltIn):
    strategy = PowerOfChoices
    make = staticmethod(lambda: PowerOfChoices(choices=3))
    use = "power-of-choices"


class TestRandom(BuiltIn):
    strategy = Random
    use = "random"


class TestSharedQueue(BuiltIn):
    strategy = SharedQueue
    use = "shared-queue"


class TestSizeAware(BuiltIn):
    strategy = SizeAware
    use = "size-aware"


class TestSizeAwareByHeader(BuiltIn):
    strategy = SizeAware
    make = staticmethod(lambda: SizeAware(header="X-Kind"))
    use = "size-aware"


def test_the_contract_has_a_test_for_each_promise() -> None:
    assert list(names()) == [
        "histories",
        "fairness",
        "affinity",
        "memory",
        "decision_time",
        "classes",
        "starvation",
        "refusals",
        "shared_state",
        "purity",
        "live",
    ]
