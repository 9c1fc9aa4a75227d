"""The contract finds the mistake in each of the classic wrong strategies, and lets the right ones pass."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from poolctl.plugin import Dispatch
from poolctl.runtime.dispatch.least_loaded import LeastLoaded
from poolctl.runtime.dispatch.power_of_choices import PowerOfChoices
from poolctl.runtime.dispatch.random import Random
from poolctl.runtime.dispatch.round_robin import RoundRobin
from poolctl.testing import DispatchContract, Violation, checks, purity
from poolctl.testing.contract import names
from poolctl.testing.machine import any_history

sys.path.insert(0, str(Path(__file__).parent / "wrong"))
import strategies as wrong  # beside these tests, as an author has them

FOUND: list[tuple[type[Dispatch], Callable[..., None], str]] = [
    (wrong.KeepsAnIndex, any_history, "pick raised IndexError"),
    (wrong.DividesByZero, any_history, "modulo by zero"),
    (wrong.RemembersEverybody, checks.bounded, "KiB after 140000"),
    (wrong.StaleLoads, checks.fair, "got 600 of 600 equal tasks"),
    (wrong.NotOnOffer, any_history, "and on offer are the inboxes"),
    (wrong.ParsesAddresses, any_history, "pick raised ValueError: invalid literal for int"),
    (wrong.WantsAHeader, any_history, "pick raised AttributeError: 'NoneType'"),
    (wrong.NeverTheFirst, checks.fair, "inbox 0 got none"),
    (wrong.WaitsForEver, any_history, "although no worker has anything to do"),
    (wrong.ChangesTheOffer, any_history, "'tuple' object has no attribute 'sort'"),
    (wrong.WritesToInboxes, any_history, "cannot be changed by who looks at it"),
    (wrong.SharedByTheClass, checks.alone, "SharedByTheClass.seen belongs to the class"),
    (wrong.Sleeps, purity.pure, "it does more than decide: time.sleep"),
    (wrong.ReadsTheClock, purity.pure, "it does more than decide: time.monotonic"),
    (wrong.OpensAFile, purity.pure, "it does more than decide: open /proc/loadavg"),
    (wrong.Locked, purity.pure, "it has not decided after"),
    (wrong.ComparesAllWithAll, checks.quick, "a decision among 256 inboxes takes"),
    (wrong.CountsItself, any_history, "finished raised AssertionError"),
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
    monkeypatch.setattr(purity, "PATIENCE", 1.0)
    with pytest.raises(Violation) as caught:
        run(check, strategy)
    assert said in str(caught.value)
    assert caught.value.mend or check is any_history


def test_it_finds_clients_that_move() -> None:
    with pytest.raises(Violation, match=r"clients moved when one of 6 inboxes left"):
        checks.together(wrong.Reshuffles, 0.5)


def test_a_violation_tells_the_steps_that_led_to_it() -> None:
    with pytest.raises(Violation) as caught:
        any_history(wrong.WaitsForEver)
    assert caught.value.what.endswith("\n  2. a task of 192.0.2.1 comes (a connection)")


def test_every_wrong_strategy_is_found() -> None:
    found = {strategy.__name__ for strategy, _, _ in FOUND} | {"Reshuffles"}
    own = [each for each in vars(wrong).values() if isinstance(each, type) and each.__module__ == wrong.__name__]
    assert found == {each.__name__ for each in own}


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
