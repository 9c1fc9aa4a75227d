"""The queue of a front as a strategy sees it, and what a strategy may say about a class of tasks."""

from __future__ import annotations

from typing import Any, Final, NamedTuple, NoReturn, Protocol

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


class QueueFigures(Protocol):
    """What a view needs of the queue."""

    now: float
    slots: int

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

    def busy(self, kind: str) -> int:
        """Tasks of a class (``Dispatch.classify``) that workers have, or could take at once."""
        return self._queue.busy_with(kind)

    def waiting(self, kind: str) -> int:
        """Tasks of a class that wait in the front."""
        return self._queue.waiting_of(kind)
