"""Calls the methods of a strategy that are about classes, as a front does, and judges what they return.

    a task arrives --> [served] of those that have ended --> [limits], if it is time --> [classify] --> [refuses]
    a task ends    --> its lane has one less; [served] hears of it with the next arrival, or the next look
    a look         --> every 0.1 s: [served], [limits]; every second: [learned]

The queue is that of a real front: a lane for each class, and what may start. A strategy that has none of these methods
is never called from here, and its queue is one lane without limits.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import inf
from typing import Any, Final

from poolctl.runtime.queue_view import ClassLimits, QueueView, is_learned, read_limits
from poolctl.runtime.routing.lane import Lane
from poolctl.runtime.routing.queue import Queue
from poolctl.runtime.task import Task
from poolctl.testing.violation import Violation

CLASS_HOOKS: Final = frozenset(("begin", "classify", "limits", "refuses", "served", "learned"))
LOOK_SECONDS: Final = 0.1  # between two looks at the queue
NOTE_SECONDS: Final = 1.0  # between two notes for the status


class ClassHooks:
    """``call``: calls a method of the strategy by name; ``violation``: makes one, of what and a fix; ``workers``:
    counts the tasks that the workers serve at once; ``pushes``: whether the strategy chooses workers that are busy.

    ``queue``  what waits, and what may start
    ``kind``   the class that the strategy named last, which may be one too many for the queue
    """

    def __init__(
        self,
        hooks: frozenset[str],
        call: Callable[..., Any],
        violation: Callable[[str, str], Violation],
        workers: Callable[[], int],
        pushes: bool,
    ) -> None:
        self._hooks = hooks & CLASS_HOOKS
        self._call = call
        self._violation = violation
        self._workers = workers
        self._pushes = pushes
        self.active = bool(self._hooks)
        self.queue = Queue()
        self.kind = ""
        self._limited: Mapping[str, ClassLimits] = {}
        self._unheard: list[tuple[Task, float]] = []
        self._looked = self._noted = -inf

    def begin(self, now: float) -> None:
        """The front begins; no worker is ready yet."""
        self.queue.now = now
        if "begin" in self._hooks:
            self._call("begin", QueueView(self.queue))
        self._hear_limits()

    def arrive(self, task: Task, now: float) -> Task:
        """Return a task that has arrived, with the time and its class."""
        self.look(now)
        self._tell_served()
        task = task._replace(arrived=now)
        if "classify" not in self._hooks:
            return task
        self.kind = kind = self._call("classify", task)
        if type(kind) is not str:
            raise self._violation(
                f"classify returned {kind!r}, which is not a string",
                'return the name of a class for every task, such as "long"; "" is the class of all others',
            )
        return task._replace(kind=self.lane(kind).kind)

    def lane(self, kind: str) -> Lane:
        """Return the lane of a class, as the front would."""
        return self.queue.lane(kind) or self.queue.open(kind, ClassLimits())

    def refuses(self, task: Task) -> bool:
        """Return whether the strategy turns a task away."""
        if "refuses" not in self._hooks:
            return False
        verdict = self._call("refuses", task)
        if type(verdict) is not bool:
            raise self._violation(
                f"refuses returned {verdict!r}, which is neither True nor False",
                "return True to turn the task away, and False to accept it; bool(...) makes one of a number",
            )
        return verdict

    def ended(self, task: Task, lane: int, seconds: float) -> None:
        """A worker has had a task for so many seconds; 0: the worker has died."""
        self.queue.ended(self.queue.lanes[lane], task, seconds)
        if seconds > 0 and "served" in self._hooks:
            self._unheard.append((task, seconds))

    def look(self, now: float) -> None:
        """Note the time; count the workers and ask for the limits, if it is time for that."""
        queue = self.queue
        queue.now = now
        if now - self._looked < LOOK_SECONDS:
            return
        self._looked = now
        queue.slots = self._workers() or queue.slots
        if self._pushes and queue.slots:
            queue.most = queue.slots  # a worker that is busy gets nothing more
        self._tell_served()
        self._hear_limits()
        if "learned" in self._hooks and now - self._noted >= NOTE_SECONDS:
            self._noted = now
            self._hear_learned()

    def _tell_served(self) -> None:
        unheard, self._unheard = self._unheard, []
        for task, seconds in unheard:
            self._call("served", task, seconds)

    def _hear_limits(self) -> None:
        if "limits" in self._hooks:
            limits, wrong = read_limits(self._call("limits"))
            if wrong:
                raise self._violation(
                    f"limits returned {wrong} while queue.workers is {self.queue.slots}",
                    "return a dict from names of classes to ClassLimits, whose reserve and spare are at least 0, and"
                    " most at least 1, with any number of workers: it is 0 until the first is ready; {} is no limits",
                )
            for kind in self._limited.keys() - limits.keys():
                self.queue.open(kind, ClassLimits())
            for kind, each in limits.items():
                self.queue.open(kind, each)
            self._limited = limits
        self.queue.share_out()

    def _hear_learned(self) -> None:
        rows = self._call("learned")
        try:
            wrong = [row for row in rows if not is_learned(row)]
        except TypeError:
            wrong = [rows]
        if wrong:
            raise self._violation(
                f"learned returned {wrong[0]!r}, where poolctl status shows a route, its class, the seconds that one"
                " takes and how many there are in a second",
                "return tuples of (str, str, float, float), with finite numbers; () if there is nothing to show",
            )
