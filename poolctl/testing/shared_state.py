"""Checks that instances of a strategy share no state: attributes of the class, globals of its module, and default
values of functions."""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Iterator, Mapping
from itertools import count
from types import FunctionType
from typing import Any

from poolctl.testing.checks import Make
from poolctl.testing.samples import tasks
from poolctl.testing.simulation import Simulation
from poolctl.testing.violation import Violation
from poolctl.testing.watchdog import watched

CHANGEABLE = (list, dict, set, deque, count, int, float, str, type(None))
NOT_AUTHORS = ("poolctl.runtime", "abc", "builtins")  # modules whose classes are not the author's


@watched
def check_shared_state(make: Make) -> None:
    """Raise Violation if using an instance changes shared state: a restarted front must begin with a fresh strategy."""
    strategy = make()
    kind = type(strategy)
    before = {whose: _shown(value) for whose, value in _state(kind)}
    simulation = Simulation(strategy, 3)
    for each in tasks(40):
        simulation.arrive(each)
        if not simulation.idle:
            simulation.finish()
    simulation.leave(1)
    changed = [whose for whose, value in _state(kind) if before.get(whose) != _shown(value)]
    if changed:
        raise Violation(
            f"{changed[0]} was changed, so all instances share it",
            "keep it in the instance: give the dataclass a field(default_factory=..., init=False)",
        )


def _state(kind: type[Any]) -> Iterator[tuple[str, Any]]:
    """Yield a description and the value of everything that is not an instance's own."""
    for each in kind.__mro__:
        if not each.__module__.startswith(NOT_AUTHORS):
            yield from _of(f"{kind.__name__}.", " belongs to the class and", vars(each))
    if not kind.__module__.startswith(NOT_AUTHORS) and kind.__module__ in sys.modules:
        yield from _of("", " belongs to the module and", vars(sys.modules[kind.__module__]))


def _of(prefix: str, suffix: str, names: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    for name, value in list(names.items()):
        if name.startswith(("__", "_abc_", "@")):
            continue
        if isinstance(value, CHANGEABLE):
            yield f"{prefix}{name}{suffix}", value
        if isinstance(value, FunctionType):
            for given in (*(value.__defaults__ or ()), *(value.__kwdefaults__ or {}).values()):
                if isinstance(given, list | dict | set | deque | count):
                    yield f"a default value of {prefix}{name}()", given


def _shown(value: Any) -> str:
    return repr(value)[:10_000]
