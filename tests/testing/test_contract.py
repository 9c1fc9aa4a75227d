"""The contract finds the mistake in each of the classic wrong strategies, and lets the right ones pass."""

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
from poolctl.testing import DispatchContract, Violation, checks, purity, shared, watch, world
from poolctl.testing.contract import names
from poolctl.testing.histories import any_history
from poolctl.testing.other_process import steady

sys.path.insert(0, str(Path(__file__).parent / "wrong"))
import strategies as wrong  # beside these tests, as an author has them

FOUND: list[tuple[type[Dispatch], Callable[..., None], str]] = [
    (wrong.KeepsAnIndex, any_history, "pick raised IndexError"),
    (wrong.DividesByZero, any_history, "modulo by zero"),
    (wrong.RemembersEverybody, checks.bounded, "KiB after 140000"),
    (wrong.RemembersTenants, checks.bounded, "KiB after 30000"),
    (wrong.RemembersCookies, checks.bounded, "KiB after 30000"),
    (wrong.RemembersPaths, checks.bounded, "KiB after 30000"),
    (wrong.RemembersQueries, checks.bounded, "KiB after 30000"),
    (wrong.RemembersRawHeaders, checks.bounded, "KiB after 30000"),
    (wrong.StaleLoads, checks.fair, "got 600 of 600 equal tasks"),
    (wrong.NotOnOffer, any_history, "and on offer are the inboxes"),
    (wrong.ParsesAddresses, any_history, "pick raised ValueError: invalid literal for int"),
    (wrong.WantsAHeader, any_history, "pick raised AttributeError: 'NoneType'"),
    (wrong.NeverTheFirst, checks.fair, "inbox 0 got none"),
    (wrong.WaitsForEver, any_history, "although no worker has anything to do"),
    (wrong.ChangesTheOffer, any_history, "'tuple' object has no attribute 'sort'"),
    (wrong.WritesToInboxes, any_history, "cannot be changed by who looks at it"),
    (wrong.SharedByTheClass, shared.alone, "SharedByTheClass.seen belongs to the class"),
    (wrong.Sleeps, purity.pure, "it does more than decide: time.sleep"),
    (wrong.ReadsTheClock, purity.pure, "it does more than decide: time.monotonic"),
    (wrong.OpensAFile, purity.pure, "it does more than decide: open /proc/loadavg"),
    (wrong.Locked, purity.pure, "it has not decided after"),
    (wrong.ComparesAllWithAll, checks.quick, "a decision among "),
    (wrong.CountsItself, any_history, "finished raised AssertionError"),
    (wrong.NewestFirst, checks.fair, "a task has waited while 300 that came later were taken"),
    (wrong.RemembersInTheModule, checks.bounded, "objects more after 15000 clients"),
    (wrong.RemembersInTheModule, shared.alone, "SEEN belongs to the module and was changed"),
    (wrong.CachesWithoutABound, checks.bounded, "objects more after 15000 clients"),
    (wrong.CountsInADefault, shared.alone, "a default value of counted() was changed"),
    (wrong.Leaves, any_history, "pick raised SystemExit: no workers"),
    (wrong.Loops, any_history, "pick has not come back after 0.2 s"),
    (wrong.DrawsTooMany, any_history, "pick raised ValueError: Sample larger than population"),
    (wrong.Prints, purity.pure, "it prints or logs, for each task: goes to"),
    (wrong.StartsThreads, purity.pure, "it does more than decide: threading.Thread.start"),
    (wrong.HashesTexts, steady, "clients meet another inbox in another process"),
]


def run(check: Callable[..., None], strategy: type[Dispatch]) -> None:
    if check is checks.fair:
        checks.fair(strategy, DispatchContract.fairness)
    else:
        check(strategy)


@pytest.mark.parametrize(("strategy", "check", "said"), FOUND, ids=lambda value: getattr(value, "__name__", ""))
def test_it_finds(
    strategy: type[Dispatch], check: Callable[..., None], said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if (
        check is checks.bounded and "140000" not in said
    ):  # one sees as many as others do; nobody here has a bound to reach
        monkeypatch.setattr(checks, "MANY", 15_000)
    if check is checks.quick:
        monkeypatch.setattr(checks, "TRIES", 1)
    if strategy is wrong.Locked:
        monkeypatch.setattr(purity, "PATIENCE", 1.0)
    if strategy is wrong.Loops:
        monkeypatch.setattr(watch, "PATIENCE", 0.2)
        monkeypatch.setattr(world, "PATIENCE", 0.2)
    with pytest.raises(Violation) as caught:
        run(check, strategy)
    assert said in str(caught.value)
    assert caught.value.mend or check is any_history


def test_a_check_of_many_slow_decisions_comes_to_an_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch, "WHOLE", 0.5)
    with pytest.raises(Violation, match=r"so slow that the check is not over after 0\.5 s"):
        checks.bounded(wrong.Sleeps)  # 140,000 times a part of a second


def test_it_finds_clients_that_move() -> None:
    with pytest.raises(Violation, match=r"clients moved when one of 6 inboxes left"):
        checks.together(wrong.Reshuffles, 0.5)


def test_a_violation_tells_the_steps_that_led_to_it() -> None:
    with pytest.raises(Violation) as caught:
        any_history(wrong.WaitsForEver)
    assert caught.value.what.endswith("\n  1. a task of 192.0.2.1 comes (a connection)")


def test_every_wrong_strategy_is_found() -> None:
    found = {strategy.__name__ for strategy, _, _ in FOUND} | {"Reshuffles"}
    own = [each for each in vars(wrong).values() if isinstance(each, type) and each.__module__ == wrong.__name__]
    assert found == {each.__name__ for each in own}


class DrawsItsOwn(Dispatch):
    """Right, and never the same again: hypothesis does not see its numbers."""

    def __init__(self) -> None:
        self.random = random.SystemRandom()

    def pick(self, task: Task, inboxes: tuple[InboxView, ...]) -> InboxView:
        return min(self.random.sample(inboxes, min(2, len(inboxes))), key=lambda inbox: inbox.load)


def test_a_strategy_may_draw_numbers_of_its_own() -> None:
    any_history(DrawsItsOwn)


def test_what_a_test_runner_has_set_for_the_alarm_is_put_back() -> None:
    rung: list[int] = []
    before = signal.signal(signal.SIGALRM, lambda number, frame: rung.append(number))
    signal.setitimer(signal.ITIMER_REAL, 60)
    try:
        checks.fair(LeastLoaded, 3.0)
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
    """Options that JSON does not know by itself."""

    speed: Speed = Speed.FAST
    only: frozenset[int] = frozenset()

    def pick(self, task: Task, inboxes: tuple[InboxView, ...]) -> InboxView:
        return min(inboxes, key=lambda inbox: inbox.load)


class TestHasOptions(DispatchContract):
    strategy = HasOptions
    make = staticmethod(lambda: HasOptions(Speed.SLOW, frozenset((1, 2))))


class TestLeastLoaded(DispatchContract):
    strategy = LeastLoaded
    use = "least-loaded"


class TestRoundRobin(DispatchContract):
    strategy = RoundRobin
    use = "round-robin"


class TestPowerOfChoices(DispatchContract):
    strategy = PowerOfChoices
    make = staticmethod(lambda: PowerOfChoices(choices=3))
    use = "power-of-choices"


class TestRandom(DispatchContract):
    strategy = Random
    use = "random"


def test_the_contract_has_a_test_for_each_promise() -> None:
    assert list(names()) == ["any_history", "fairness", "affinity", "memory", "budget", "instances", "purity", "live"]
