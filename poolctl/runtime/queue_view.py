"""The queue of a front as a strategy sees it, and what a strategy may say about a class of tasks."""

from __future__ import annotations

from collections.abc import Mapping
from math import inf
from typing import Any, Final, NamedTuple, NoReturn, Protocol, TypeGuard

NO_LIMIT: Final = 1 << 60  # tasks at once


class ClassLimits(NamedTuple):
    """What a class of tasks gets.

    ``reserve``   workers that are kept for it: others leave so many free, or busy with this class
    ``spare``     further workers that are kept for it, until a task of another class has been waiting for half the time
                  that one of its class takes
    ``most``      tasks of it that workers may have at once
    ``priority``  classes with a higher one go first, among those that may start
    ``fair``      whether its clients take turns (deficit round robin) instead of one queue for all
    """

    reserve: int = 0
    most: int = NO_LIMIT
    priority: int = 0
    fair: bool = False
    spare: int = 0


LEAST_LIMITS: Final = {"reserve": 0, "most": 1, "spare": 0}  # of the fields that have a least value


def read_limits(said: object) -> tuple[dict[str, ClassLimits], str]:
    """Return what ``Dispatch.limits`` has returned as a dict, and what is wrong with it; "" if nothing is. A mapping of
    the author's runs its code."""
    if not isinstance(said, Mapping):
        return {}, f"{_kind_of(said)}, which is not a mapping of classes to ClassLimits"
    found = dict(said.items())
    for kind, limits in found.items():
        if type(kind) is not str:
            return {}, f"{_kind_of(kind)} as the name of a class, which is not a str"
        if wrong := _wrong_with(limits):
            return {}, f"{wrong} for the class {kind[:60]!r}"
    return found, ""


def _wrong_with(limits: object) -> str:
    if type(limits) is not ClassLimits:
        return f"{_kind_of(limits)}, which is no ClassLimits,"
    for name, value in zip(limits._fields, limits, strict=True):
        wanted = bool if name == "fair" else int
        if type(value) is not wanted:
            return f"{name} as {_kind_of(value)}, which is no {wanted.__name__},"
        if name in LEAST_LIMITS and value < LEAST_LIMITS[name]:
            return f"{name}={value}, which is less than {LEAST_LIMITS[name]},"
    return ""


def is_learned(row: object) -> TypeGuard[tuple[str, str, float, float]]:
    """Return whether this is a row of ``Dispatch.learned``, with finite numbers."""
    if type(row) is not tuple or len(row) != 4:
        return False
    if not all(type(text) is str for text in row[:2]):
        return False
    return all(type(number) in (int, float) and -inf < number < inf for number in row[2:])


def _kind_of(thing: object) -> str:
    """Its type in words; its class may have a metaclass of the author's."""
    return f"an object of type {type.__getattribute__(type(thing), '__name__')}"


class QueueFigures(Protocol):
    """What a view needs of the queue."""

    now: float
    slots: int
    weight: int

    def busy_with(self, kind: str) -> int:
        """Return how many tasks of a class workers have."""

    def waiting_of(self, kind: str) -> int:
        """Return how many tasks of a class wait."""


class QueueView:
    """The figures of one front's queue, read at each access."""

    __slots__ = ("_queue",)

    _queue: QueueFigures

    def __init__(self, queue: QueueFigures) -> None:
        object.__setattr__(self, "_queue", queue)

    def __setattr__(self, name: str, value: Any) -> NoReturn:
        raise AttributeError(f"a queue view is read-only: {name}")

    def __delattr__(self, name: str) -> NoReturn:
        raise AttributeError(f"a queue view is read-only: {name}")

    @property
    def now(self) -> float:
        """The time, in seconds of the clock of ``Task.arrived``."""
        return self._queue.now

    @property
    def workers(self) -> int:
        """Tasks that the workers serve at once; 0 while that is unknown."""
        return self._queue.slots

    @property
    def weight(self) -> int:
        """Tasks that each one stands for that is put into a class now: 1, or more with ``Dispatch.samples``."""
        return self._queue.weight

    def busy(self, kind: str) -> int:
        """Tasks of a class (``Dispatch.classify``) that workers have, or could take at once."""
        return self._queue.busy_with(kind)

    def waiting(self, kind: str) -> int:
        """Tasks of a class that wait in the front."""
        return self._queue.waiting_of(kind)
