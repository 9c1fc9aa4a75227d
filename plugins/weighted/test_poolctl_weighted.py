"""Shares that are exact over a period, and the contract of strategies."""

from __future__ import annotations

from collections import Counter
from typing import ClassVar

from hypothesis import given
from hypothesis import strategies as st
from poolctl_weighted import Weighted

from poolctl.testing import DispatchContract
from poolctl.testing.samples import tasks
from poolctl.testing.simulation import Simulation

TASK = tasks(1)[0]


class TestWeighted(DispatchContract):
    strategy = Weighted
    make = staticmethod(lambda: Weighted(weights=(3, 2, 1)))
    fairness: ClassVar[float] = 3.5  # heavy inboxes get more: 3 of 9


def order(weights: tuple[int, ...], count: int) -> str:
    simulation = Simulation(Weighted(weights), len(weights))
    return "".join("abcdefgh"[simulation.strategy.pick(TASK, simulation.available).index] for _ in range(count))  # type: ignore[union-attr]  # never none


def test_the_order_is_that_of_nginx() -> None:
    assert order((5, 1, 1), 14) == "aabacaa" * 2  # the example of its change log
    assert order((1, 1, 1), 6) == "abcabc"


@given(st.lists(st.integers(1, 9), min_size=1, max_size=8).map(tuple), st.integers(1, 3))
def test_shares_are_exact_over_a_period(weights: tuple[int, ...], periods: int) -> None:
    counts = Counter(order(weights, sum(weights) * periods))
    assert [counts[letter] for letter in "abcdefgh"[: len(weights)]] == [weight * periods for weight in weights]
