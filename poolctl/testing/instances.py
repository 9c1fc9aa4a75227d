"""What instances of a strategy share: attributes of the class, names of its module, default values of functions."""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Iterator, Mapping
from itertools import count
from types import FunctionType
from typing import Any

from poolctl.testing.checks import Make, tasks
from poolctl.testing.simulation import World
from poolctl.testing.violation import Violation
from poolctl.testing.watchdog import watched

CHANGEABLE = (list, dict, set, deque, count, int, float, str, type(None))
OWN = ("poolctl.runtime", "abc", "builtins")  # whose classes are not the author's


@watched
def alone(make: Make) -> None:
    """Two strategies share nothing: a front that restarting begins with a new one."""
    strategy = make()
    kind = type(strategy)
    before = {whose: _shown(value) for whose, value in _state(kind)}
    world = World(strategy, 3)
    for each in tasks(40):
        world.arrive(each)
        world.finish()
    world.leave(1)
    changed = [whose for whose, value in _state(kind) if before.get(whose) != _shown(value)]
    if changed:
        raise Violation(
            f"{changed[0]} was changed, so all instances share it",
            "keep it in the instance, by a field(default_factory=..., init=False) of the dataclass",
        )


def _state(kind: type[Any]) -> Iterator[tuple[str, Any]]:
    """All that is not an instance's: in words, and its value."""
    for each in kind.__mro__:
        if not each.__module__.startswith(OWN):
            yield from _of(f"{kind.__name__}.", " belongs to the class and", vars(each))
    if not kind.__module__.startswith(OWN) and kind.__module__ in sys.modules:
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
