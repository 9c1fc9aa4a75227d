"""The short form of a test, which every run has, and the long one of `make faults`."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Any

import pytest


def short(cases: Iterable[Any], always: Collection[Any]) -> list[Any]:
    """The cases of a test; those that are not to be run ``always`` are slow. A case of several values is a tuple."""
    return [each if each in always else pytest.param(*_values(each), marks=pytest.mark.slow) for each in cases]


def _values(case: Any) -> tuple[Any, ...]:
    return case if type(case) is tuple else (case,)
