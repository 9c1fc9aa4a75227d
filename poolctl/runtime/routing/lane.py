"""The line of one class of tasks in the front: what waits, in which order, and how long a task takes. Pure."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from math import inf
from typing import Final

from poolctl.runtime.queue_view import ClassLimits
from poolctl.runtime.routing.overload import Overload, OverloadLimits
from poolctl.runtime.routing.turns_of_clients import TurnsOfClients
from poolctl.runtime.routing.waiting import Waiting, take_out
from poolctl.runtime.task import Task

LANE_SHARE: Final = 1 / 16  # of a new service time in the average of a lane
STARVED_TIMES: Final = 10  # service times of its class for which higher priorities pass it, and at least
STARVED_SECONDS: Final = 0.1  # so long: a class that waits gets a tenth of one worker, or ten starts a second
STUCK_SECONDS: Final = 2.0  # of a standstill that count as a service time, once others are known


class Lane:
    """The tasks of one class. ``busy``: those that workers have, or could take at once; ``service``: seconds that one
    takes, on average."""

    def __init__(self, index: int, kind: str, limits: ClassLimits) -> None:
        self.index = index
        self.named = False  # is it a class of the file, or one that the strategy gives limits?
        self.kind = kind
        self.limits = limits
        self.entries: deque[Waiting] = deque()
        self.turns: TurnsOfClients | None = None  # in place of entries, where clients take turns
        self.waiting = 0
        self.busy = 0
        self.reserve = self.spare = 0  # what there are workers for; see Queue.share_out
        self.owed = 0  # of the reserve, not busy with this class
        self.hoped = 0  # the same of reserve and spare together
        self.strict = False  # is something reserved for others?
        self.simple = True  # nothing is reserved for any class, and its clients take no turns
        self.overload: Overload | None = None
        self.service = 0.0
        self.served = 0  # tasks
        self.refused = 0  # tasks
        self.hungry = 0.0  # since when it has had no worker although tasks wait, or were refused
        self.denied = -inf  # when some were last refused because they had waited for too long
        self._moved = 0.0  # when a task last ended, or the first began

    def bound_by(self, limits: OverloadLimits | None) -> None:
        """Bound the time that tasks wait; None: no bound."""
        if limits is None:
            self.overload = None
        elif self.overload is None:
            self.overload = Overload(limits)
        else:
            self.overload.limits = limits

    # the line

    def add(self, entry: Waiting) -> None:
        """Put a task at the end of the line."""
        self.waiting += 1
        if self.turns is not None:
            self.turns.add(entry)
        else:
            self.entries.append(entry)

    def put_back(self, entry: Waiting) -> None:
        """Put a task at the head of the line."""
        self.waiting += 1
        if self.turns is not None:
            self.turns.put_back(entry)
        else:
            self.entries.appendleft(entry)

    @property
    def head(self) -> Waiting:
        """The task that goes next; there is one."""
        newest = self.overload is not None and self.overload.newest_first
        if self.turns is not None:
            return self.turns.head(newest, self.service)
        return self.entries[-1] if newest else self.entries[0]

    @property
    def oldest(self) -> float:
        """When the oldest task arrived; there is one."""
        return (self.entries[0] if self.turns is None else self.turns.oldest).task.arrived

    @property
    def due(self) -> float:
        """By when the oldest task is to have a worker; there is one. Without a bound of time, when it arrived."""
        return self.oldest if self.overload is None else self.oldest + self.overload.target

    def remove(self, entry: Waiting) -> None:
        """Take a task out of the line."""
        self.waiting -= 1
        if self.turns is not None:
            self.turns.remove(entry)
        else:
            take_out(entry, self.entries)
        if not self.waiting and self.overload is not None:
            self.overload.emptied()

    def __iter__(self) -> Iterator[Waiting]:
        """The tasks in the line, the oldest first."""
        return iter(self.entries if self.turns is None else self.turns)

    def first(self, count: int) -> list[Waiting]:
        """Return so many of the oldest tasks in the line, oldest first."""
        found: list[Waiting] = []
        for entry in self:
            if len(found) >= count:
                break
            found.append(entry)
        return found

    def take_turns(self, fair: bool) -> None:
        """Have clients take turns, or not."""
        if fair and self.turns is None:
            self.turns = TurnsOfClients()
            for entry in self.entries:
                self.turns.add(entry)
            self.entries.clear()
        elif not fair and self.turns is not None:
            self.entries.extend(self.turns)
            self.turns = None

    # time

    def began(self, task: Task, now: float) -> None:
        """A task goes to a worker."""
        if self.turns is not None:
            self.turns.charge(task, self.service)
        if not self.busy:
            self._moved = now
        self.hungry = now
        self.busy += 1

    def ended(self, task: Task, seconds: float, now: float) -> None:
        """A worker has had a task, for so many seconds; 0: unknown."""
        self.busy -= 1
        self._moved = now
        if seconds > 0:
            if self.turns is not None:
                self.turns.settle(task, seconds, self.service)
            self.service += (seconds - self.service) * max(LANE_SHARE, 1 / (self.served + 1))
            self.served += 1

    def expected(self, now: float) -> float:
        """Return how many seconds a task takes: the average; while none ends, as long as that has lasted."""
        if not self.busy:
            return self.service
        standstill = now - self._moved
        return max(self.service, min(standstill, STUCK_SECONDS) if self.served else standstill)

    @property
    def patience(self) -> float:
        """Seconds without a worker after which it goes before those of a higher priority."""
        return max(STARVED_SECONDS, STARVED_TIMES * self.service)
