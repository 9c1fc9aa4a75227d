"""The short form of a test, which every run has, and the long one of `make faults`."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from itertools import cycle
from typing import Any

import pytest
from hypothesis import settings

EXAMPLES = 50  # of a test that does not say how many


def short(cases: Iterable[Any], always: Collection[Any]) -> list[Any]:
    """The cases of a test; those that are not to be run ``always`` are slow. A case of several values is a tuple."""
    return [each if each in always else pytest.param(*_values(each), marks=pytest.mark.slow) for each in cases]


def half(cases: Iterable[Any], which: int = 0) -> list[Any]:
    """Every second case, from the first or from the second one on: tests of one thing under every model that take
    different halves walk all models together."""
    return list(cases)[which::2]


def in_turn(cases: Iterable[Any], others: Iterable[Any]) -> list[tuple[Any, Any]]:
    """Each of the cases with one of the others, which take turns: a part of their product that has all of both."""
    return list(zip(cases, cycle(others), strict=False))


def drawn(examples: int) -> settings:
    """So many examples of a test in `make test`, and in `make fuzz` as many times more as that draws in general."""
    return settings(max_examples=examples * settings.default.max_examples // EXAMPLES)


def _values(case: Any) -> tuple[Any, ...]:
    return case if type(case) is tuple else (case,)
