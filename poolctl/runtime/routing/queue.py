"""The queue in the front: a lane for each class of tasks, and which task goes next.

    task -- its class --> lane "/login"    | task task          reserve: 1 -- kept free for it
                          lane "/v1/chat"  | task task task     most: 6   --- at most so many with workers
                          lane ""          | task task task     all others

A task may start while its lane has fewer than ``most`` tasks with workers, and while it leaves free what is reserved
for other lanes and not used by them. Among the lanes that may start, the one with the highest priority goes first, of
equal ones that whose oldest task is due first (``Lane.due``). A lane in which tasks wait, and that has had no worker
for too long (``Lane.patience``), goes before all others, so a priority delays, and never starves.

Which worker is free does not matter: to keep two workers for a class means to let all others together have two less.
So a shared inbox will do, and no worker is bound to a class.

Without classes there is one lane, without limits. Pure: no clock, no sockets. The file is long because each method
counts the same tasks.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from poolctl.runtime.queue_view import NO_LIMIT, ClassLimits
from poolctl.runtime.routing.lane import STARVED_SECONDS, Lane
from poolctl.runtime.routing.overload import OverloadLimits
from poolctl.runtime.routing.ranking import Ranking
from poolctl.runtime.routing.waiting import Waiting
from poolctl.runtime.task import Task

PART_OF_SERVICE: Final = 0.5  # of its time that a task waits for what is spared for others
MOST_LANES: Final = 256
FORGIVEN_SECONDS: Final = 1.0  # without a refusal, after which a class begins to wait anew
SHOWN_CHARACTERS: Final = 100  # of the name of a class or a route
SHOWN_LANES: Final = 110  # in the status: those of the file, and some of a strategy


class Queue:
    """All lanes of one front. ``count``: tasks that wait; ``slots``: tasks that the workers serve at once; ``most``:
    tasks that workers have or could take at once, where nothing is reserved for others."""

    def __init__(self) -> None:
        self.plain = Lane(0, "", ClassLimits())
        self.lanes: list[Lane] = [self.plain]
        self.several = False  # are there classes?
        self.count = 0
        self.slots = 0
        self.most = NO_LIMIT
        self.reserved = self.owed = self.hoped = 0  # of all lanes
        self.now = 0.0
        self.weight = 1  # tasks that each one stands for whose class is asked for
        self.limits: OverloadLimits | None = None
        self._kinds = {self.plain.kind: self.plain}
        self._ranking = Ranking()  # of the lanes in which tasks wait, where there are several

    def bound_by(self, limits: OverloadLimits | None) -> None:
        """Bound the time that tasks of each lane wait; None: no bound."""
        self.limits = limits
        for lane in self.lanes:
            lane.bound_by(limits)

    # classes

    def lane(self, kind: str) -> Lane | None:
        """Return the lane of a class, that of "" being the plain one; None if it has none yet."""
        return self._kinds.get(kind)

    def open(self, kind: str, limits: ClassLimits, *, named: bool = False) -> Lane:
        """Return the lane of a class, with these limits from now on; that of all others if MOST_LANES are in use. Call
        ``share_out`` when all have theirs. ``named``: it is kept although nothing is in it."""
        lane = self._kinds.get(kind) or self._new(kind, limits)
        if lane is None:
            return self.plain
        lane.named = named
        lane.limits = limits
        lane.take_turns(limits.fair)
        if not self.several:
            self.several = True
            self._ranking.move(self.plain)
        self._ranking.move(lane)
        return lane

    def limit(self, before: Mapping[str, ClassLimits], now: Mapping[str, ClassLimits]) -> None:
        """Give classes these limits, and take away those that they had before."""
        for kind in before:
            if kind not in now:
                self.open(kind, ClassLimits())
        for kind, limits in now.items():
            self.open(kind, limits, named=True)

    def _new(self, kind: str, limits: ClassLimits) -> Lane | None:
        """Return a lane for a class that has none, perhaps that of one which has gone; None if all are in use."""
        index = len(self.lanes)
        if index >= MOST_LANES:
            unused = [lane for lane in self.lanes[1:] if not (lane.named or lane.waiting or lane.busy)]
            if not unused:
                return None
            index = unused[0].index
            del self._kinds[unused[0].kind]
        lane = self._kinds[kind] = Lane(index, kind, limits)
        lane.bound_by(self.limits)
        self.lanes[index : index + 1] = [lane]
        return lane

    def share_out(self) -> None:
        """Reserve workers as the limits of all lanes say, as far as there are workers: one remains for everybody."""
        left = max(self.slots - 1, 0)
        for lane in self.lanes:
            lane.reserve = min(lane.limits.reserve, left)
            left -= lane.reserve
        for lane in self.lanes:
            lane.spare = min(lane.limits.spare, left)
            left -= lane.spare
        total = self.reserved = sum(lane.reserve + lane.spare for lane in self.lanes)
        self.owed = self.hoped = 0
        for lane in self.lanes:
            lane.strict = total > lane.reserve + lane.spare
            lane.simple = not total and lane.turns is None
            lane.owed = lane.hoped = 0
            self._settle(lane)
            if lane.waiting:
                self._ranking.move(lane)

    def _settle(self, lane: Lane) -> None:
        """Count what is reserved for a lane and not used, after its tasks with workers have changed."""
        if lane.reserve + lane.spare:
            owed = max(lane.reserve - lane.busy, 0)
            hoped = max(lane.reserve + lane.spare - lane.busy, 0)
            self.owed += owed - lane.owed
            self.hoped += hoped - lane.hoped
            lane.owed, lane.hoped = owed, hoped

    def began(self, lane: Lane, task: Task) -> None:
        """A task of this lane goes to a worker."""
        lane.began(task, self.now)
        if not lane.simple or lane.waiting:
            self._changed(lane)

    def ended(self, lane: Lane, task: Task, seconds: float) -> None:
        """A worker has had a task of this lane, for so many seconds; 0: unknown, or another worker gets it."""
        lane.ended(task, seconds, self.now)
        if not lane.simple or lane.waiting:
            self._changed(lane)

    def _changed(self, lane: Lane) -> None:
        self._settle(lane)
        if lane.waiting and self.several:
            self._ranking.move(lane)

    def may_start(self, lane: Lane, sent: int) -> bool:
        """Return whether a task of this lane may go to a worker. ``sent``: tasks that workers have or could take."""
        if lane.busy >= lane.limits.most:
            return False
        if not lane.strict:
            return sent < self.most
        free = self.slots - sent
        if free > self.hoped - lane.hoped:
            return True
        return bool(
            lane.waiting and free > self.owed - lane.owed and self.now - lane.oldest > lane.service * PART_OF_SERVICE
        )

    # the lines

    def __len__(self) -> int:
        return self.count

    def __iter__(self) -> Iterator[Waiting]:
        """All tasks that wait, the oldest of each lane first."""
        for lane in self.lanes:
            yield from lane

    def oldest(self, count: int) -> list[Waiting]:
        """Return so many of the oldest tasks, oldest first."""
        found: list[Waiting] = []
        for lane in self._waiting_lanes():
            found += lane.first(count)
        if self.several:
            found.sort(key=_arrived)
        return found[:count]

    def add(self, entry: Waiting) -> None:
        """Put a task at the end of its lane."""
        lane = self.lanes[entry.lane]
        lane.add(entry)
        self.count += 1
        if lane.waiting == 1:
            if self.now - lane.denied > FORGIVEN_SECONDS:  # else it is as hungry as before its tasks were refused
                lane.hungry = self.now
            if self.several:
                self._ranking.move(lane)

    def put_back(self, entries: Iterable[Waiting]) -> None:
        """Put tasks, oldest first, at the head of their lanes."""
        back = list(entries)
        back.reverse()
        for entry in back:
            lane = self.lanes[entry.lane]
            lane.put_back(entry)
            self.count += 1
            if self.several:
                self._ranking.move(lane)

    def remove(self, entry: Waiting) -> None:
        """Take a task out of its lane."""
        lane = self.lanes[entry.lane]
        lane.remove(entry)
        self.count -= 1
        if self.several:
            self._ranking.move(lane)

    def next_lane(self, sent: int) -> Lane | None:
        """Return the lane whose task goes next; None if no task may start. ``sent``: as in ``may_start``."""
        if not self.several:
            return self.plain if self.plain.waiting and sent < self.most else None
        ranking, lanes = self._ranking, self.lanes
        for hungry, index in ranking.hungry:
            if self.now - hungry <= STARVED_SECONDS:
                break
            lane = lanes[index]
            if self.now - hungry > lane.patience:  # until it has a worker, only those go with one of their own
                return lane if self.may_start(lane, sent) else self._claimant(sent, starving=True)
        free = self.slots - sent
        if free <= self.owed and self.reserved:
            return self._claimant(sent)
        for _, _, index in ranking.ranked:
            lane = lanes[index]
            if self.may_start(lane, sent):
                return lane
            if self.hoped == self.owed and not lane.hoped:  # those behind it may start as little, but for claimants
                return self._claimant(sent)
        return None

    def _claimant(self, sent: int, *, starving: bool = False) -> Lane | None:
        """Return a lane for which a worker is kept and that may start; None if none of them has a task. ``starving``:
        another one waits for a worker, so a task must not lie ready before it."""
        for lane in self._ranking.claims.values():
            if (lane.hoped or not starving) and self.may_start(lane, sent):
                return lane
        return None

    def _waiting_lanes(self) -> list[Lane]:
        if not self.several:
            return [self.plain] if self.plain.waiting else []
        return list(self._ranking.waiting.values())

    def take_late(self, now: float) -> list[Waiting]:
        """Remove and return the tasks that have waited for too long in an overloaded lane."""
        late: list[Waiting] = []
        for lane in self._waiting_lanes():
            overload = lane.overload
            if overload is None:
                continue
            if self.several:
                overload.service = lane.expected(now)
            least = overload.look(now, lane.oldest)
            if lane.oldest < least:
                found = [entry for entry in lane if entry.task.arrived < least]
                for entry in found:
                    self.remove(entry)
                lane.refused += len(found)
                lane.denied = now
                late += found
        return late

    def pause(self, now: float) -> None:
        """What waits says nothing about the load."""
        for lane in self._waiting_lanes():
            if lane.overload is not None:
                lane.overload.pause(now)

    def take_surplus(self) -> Waiting:
        """Remove and return the task that is refused when one too many waits: the newest of the longest line, and where
        clients take turns, of the client with the most. So a flood costs only its own class, or client. Some task must
        wait."""
        longest = max(self._waiting_lanes(), key=_waiting)
        surplus = longest.turns.newest_of_most() if longest.turns is not None else longest.entries[-1]
        self.remove(surplus)
        longest.refused += 1
        return surplus

    def notes(self) -> list[dict[str, Any]]:
        """Return what each class has, for people: its limits, tasks, and seconds."""
        return [
            {
                "class": plain(lane.kind),
                "reserve": lane.reserve,
                "most": None if lane.limits.most == NO_LIMIT else lane.limits.most,
                "busy": lane.busy,
                "waiting": lane.waiting,
                "oldest": round(self.now - lane.oldest, 3) if lane.waiting else 0.0,
                "served": lane.served,
                "refused": lane.refused,
                "seconds": round(lane.service, 6),
            }
            for lane in self.lanes[:SHOWN_LANES]
            if lane.served or lane.waiting or lane.busy or lane.refused or lane.limits != ClassLimits()
        ]

    # for strategies

    def busy_with(self, kind: str) -> int:
        """Return how many tasks of a class workers have."""
        lane = self._kinds.get(kind)
        return 0 if lane is None else lane.busy

    def waiting_of(self, kind: str) -> int:
        """Return how many tasks of a class wait."""
        lane = self._kinds.get(kind)
        return 0 if lane is None else lane.waiting


def plain(name: str) -> str:
    """Return a name that a client may have chosen as people may see it: short, and nothing that a terminal obeys."""
    return ascii(name)[1:-1][:SHOWN_CHARACTERS]


def _arrived(entry: Waiting) -> float:
    return entry.task.arrived


def _waiting(lane: Lane) -> int:
    return lane.waiting
