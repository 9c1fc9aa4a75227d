"""Strategies with one classic beginner's mistake each, which the contract must find."""

from __future__ import annotations

import random
import sys
import threading
import time
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, ClassVar

from poolctl.plugin import ClassLimits, Dispatch, InboxView, QueueView, SharedQueue, Task

Inboxes = tuple[InboxView, ...]


class KeepsAnIndex(Dispatch):
    """Keeps a position among the available inboxes after there are fewer of them."""

    def __init__(self) -> None:
        self.at = 0

    def pick(self, task: Task, inboxes: Inboxes) -> InboxView:
        chosen = inboxes[self.at]
        self.at = (self.at + 1) % len(inboxes)
        return chosen


@dataclass
class DividesByZero(Dispatch):
    """Counts the workers itself, and uses a number modulo that count."""

    workers: int = field(default=0, init=False)
    turn: int = field(default=0, init=False)

    def joined(self, inbox: InboxView) -> None:
        self.workers += 1

    def left(self, inbox: InboxView) -> None:
        self.workers -= 1

    def pick(self, task: Task, inboxes: Inboxes) -> InboxView:
        self.turn = (self.turn + 1) % self.workers
        return inboxes[self.turn % len(inboxes)]


class RemembersEverybody(Dispatch):
    """Has a dictionary with an entry per client, and never removes one."""

    def __init__(self) -> None:
        self.of: dict[str, int] = {}

    def pick(self, task: Task, inboxes: Inboxes) -> InboxView:
        index = self.of.setdefault(task.client, inboxes[len(self.of) % len(inboxes)].index)
        return next((each for each in inboxes if each.index == index), inboxes[0])


class StaleLoads(Dispatch):
    """Reads the loads when workers join, and never again."""

    def __init__(self) -> None:
        self.loads: dict[int, int] = {}

    def joined(self, inbox: InboxView) -> None:
        self.loads[inbox.index] = inbox.load

    def pick(self, task: Task, inboxes: Inboxes) -> InboxView:
        return min(inboxes, key=lambda each: self.loads[each.index])


class NotOnOffer(Dispatch):
    """Remembers the inbox of each client, and returns it even if it is full or its worker dead."""

    def __init__(self) -> None:
        self.of: dict[str, InboxView] = {}

    def pick(self, task: Task, inboxes: Inboxes) -> InboxView:
        if len(self.of) > 1000:
            self.of.clear()
        return self.of.setdefault(task.client, min(inboxes, key=lambda each: each.load))


class ParsesAddresses(Dispatch):
    """Parses every client's address as four numbers, which unix sockets and IPv6 do not have."""

    def pick(self, task: Task, inboxes: Inboxes) -> InboxView:
        return inboxes[sum(map(int, task.client.split("."))) % len(inboxes)]


class WantsAHeader(Dispatch):
    """Assumes that every request has the header."""

    @property
    def inspects(self) -> bool:
        return True

    def pick(self, task: Task, inboxes: Inboxes) -> InboxView:
        session: Any = task.header("X-Session")
        return inboxes[len(session.strip()) % len(inboxes)]


class NeverTheFirst(Dispatch):
    """Counts from 1."""

    def pick(self, task: Task, inboxes: Inboxes) -> InboxView:
        return inboxes[random.randrange(1, len(inboxes))] if len(inboxes) > 1 else inboxes[0]


class WaitsForEver(Dispatch):
    """Lets tasks wait for an inbox that is less loaded than others, which a single worker never is."""

    def pick(self, task: Task, inboxes: Inboxes) -> InboxView | None:
        return next((each for each in inboxes[1:] if not each.load), None)


class ChangesTheOffer(Dispatch):
    """Sorts its argument."""

    def pick(self, task: Task, inboxes: Any) -> InboxView:
        inboxes.sort(key=lambda each: each.load)
        return inboxes[0]  # type: ignore[no-any-return]


class WritesToInboxes(Dispatch):
    """Stores its own data in an inbox."""

    def pick(self, task: Task, inboxes: Any) -> InboxView:
        inboxes[0].mine = task
        return inboxes[0]  # type: ignore[no-any-return]


class SharedByTheClass(Dispatch):
    """Has a counter that belongs to the class."""

    seen: ClassVar[dict[int, int]] = {}

    def pick(self, task: Task, inboxes: Inboxes) -> InboxView:
        chosen = min(inboxes, key=lambda each: self.seen.get(each.index, 0))
        self.seen[chosen.index] = self.seen.get(chosen.index, 0) + 1
        return chosen


class Sleeps(Dispatch):
    """Sleeps."""

    def pick(self, task: Task, inboxes: Inboxes) -> InboxView:
        time.sleep(0.0005)
        return inboxes[hash(task) % len(inboxes)]


class ReadsTheClock(Dispatch):
    """Decides by the clock."""

    def pick(self, task: Task, inboxes: Inboxes) -> InboxView:
        return inboxes[int(time.monotonic() * 1000) % len(inboxes)]


class OpensAFile(Dispatch):
    """Reads its weights from a file for each task."""

    def pick(self, task: Task, inboxes: Inboxes) -> InboxView:
        with open("/proc/loadavg") as file:
            return inboxes[len(file.read()) % len(inboxes)]


class Locked(Dispatch):
    """Acquires a lock, and forgets to release it."""

    def __init__(self) -> None:
        self.lock = threading.Lock()

    def pick(self, task: Task, inboxes: Inboxes) -> InboxView:
        self.lock.acquire()
        return inboxes[0]


class ComparesAllWithAll(Dispatch):
    """Compares each inbox with every other one."""

    def pick(self, task: Task, inboxes: Inboxes) -> InboxView:
        return max(inboxes, key=lambda one: sum(one.load <= other.load for other in inboxes))


class CountsItself(Dispatch):
    """Counts loads itself, and never resets a dead worker's, so that its successor gets nothing in the end."""

    def __init__(self) -> None:
        self.loads: dict[int, int] = {}

    def pick(self, task: Task, inboxes: Inboxes) -> InboxView:
        chosen = min(inboxes, key=lambda each: self.loads.get(each.index, 0))
        self.loads[chosen.index] = self.loads.get(chosen.index, 0) + 1
        return chosen

    def finished(self, task: Task, inbox: InboxView, seconds: float) -> None:
        self.loads[inbox.index] -= 1
        assert self.loads[inbox.index] > 0


class Reshuffles(Dispatch):
    """Claims to keep clients together, but hashes modulo the number of available inboxes."""

    def pick(self, task: Task, inboxes: Inboxes) -> InboxView:
        return inboxes[sum(task.client.encode()) % len(inboxes)]


class NewestFirst(Dispatch):
    """Last in, first out: the oldest task waits as long as others arrive."""

    def pick(self, task: Task, inboxes: Inboxes) -> InboxView | None:
        least = min(inboxes, key=lambda each: each.load)
        return least if least.load < least.capacity else None

    def next(self, inbox: InboxView, waiting: tuple[Task, ...]) -> Task:
        return waiting[-1]


SEEN: dict[str, int] = {}


class RemembersInTheModule(Dispatch):
    """Has an entry per client in its module, not in the instance."""

    def pick(self, task: Task, inboxes: Inboxes) -> InboxView:
        SEEN[task.client] = SEEN.get(task.client, 0) + 1
        return min(inboxes, key=lambda each: each.load)


class CachesWithoutABound(Dispatch):
    """The same in the cache of a function."""

    def __init__(self) -> None:
        self.hashed = lru_cache(maxsize=None)(str.upper)

    def pick(self, task: Task, inboxes: Inboxes) -> InboxView:
        self.hashed(task.client)
        return min(inboxes, key=lambda each: each.load)


def counted(numbers: list[int] = [0]) -> int:  # noqa: B006  # that is the mistake
    numbers[0] += 1
    return numbers[0]


class CountsInADefault(Dispatch):
    """Takes turns by a number that all instances share."""

    def pick(self, task: Task, inboxes: Inboxes) -> InboxView:
        return inboxes[counted() % len(inboxes)]


class Leaves(Dispatch):
    """Exits the process."""

    def pick(self, task: Task, inboxes: Inboxes) -> InboxView:
        if len(inboxes) == 1:
            sys.exit("no workers")
        return min(inboxes, key=lambda each: each.load)


class Loops(Dispatch):
    """Loops forever in search of an inbox that does not exist."""

    def pick(self, task: Task, inboxes: Inboxes) -> InboxView:
        index = 0
        while inboxes[index % len(inboxes)].load:
            index += 1
        return inboxes[index % len(inboxes)]


class DrawsTooMany(Dispatch):
    """Draws two of the available inboxes even if there is only one, by unrepeatable random numbers."""

    def __init__(self) -> None:
        self.random = random.SystemRandom()

    def pick(self, task: Task, inboxes: Inboxes) -> InboxView:
        if self.random.random() < 0.5:
            return inboxes[0]
        return min(self.random.sample(inboxes, 2), key=lambda each: each.load)


class Prints(Dispatch):
    """Prints what it does."""

    def pick(self, task: Task, inboxes: Inboxes) -> InboxView:
        least = min(inboxes, key=lambda each: each.load)
        sys.stdout.write(f"goes to {least.index}\n")
        return least


class StartsThreads(Dispatch):
    """Starts a thread."""

    def pick(self, task: Task, inboxes: Inboxes) -> InboxView:
        thread = threading.Thread(target=lambda: None)
        thread.start()
        thread.join()
        return min(inboxes, key=lambda each: each.load)


class HashesTexts(Dispatch):
    """Keeps clients together by hash(), which the next process has another one of."""

    def pick(self, task: Task, inboxes: Inboxes) -> InboxView:
        return max(inboxes, key=lambda each: hash((task.client, each.index)))


class RemembersTenants(Dispatch):
    """Has a dictionary with an entry per value of a header that only some services use."""

    inspects: ClassVar[bool] = True

    def __init__(self) -> None:
        self.of: dict[str | None, int] = {}

    def key(self, task: Task) -> str | None:
        return task.header("X-Organisation-Of-Ours")

    def pick(self, task: Task, inboxes: Inboxes) -> InboxView:
        index = self.of.setdefault(self.key(task), inboxes[len(self.of) % len(inboxes)].index)
        return next((each for each in inboxes if each.index == index), inboxes[0])


class RemembersCookies(RemembersTenants):
    """The same for a cookie."""

    def key(self, task: Task) -> str | None:
        return task.cookie("basket")


class RemembersPaths(RemembersTenants):
    """The same for a path."""

    def key(self, task: Task) -> str | None:
        return task.path


class RemembersQueries(RemembersTenants):
    """The same for a query, which it parses from the target itself."""

    def key(self, task: Task) -> str | None:
        return task.asked and task.asked.target.partition(b"?")[2].decode()


class RemembersRawHeaders(RemembersTenants):
    """The same for a header that it searches itself."""

    def key(self, task: Task) -> str | None:
        headers = task.asked.headers if task.asked else []
        return next((value.decode() for name, value in headers if name.lower() == b"x-tenant"), None)


class ClassesByNumber(SharedQueue):
    """Numbers its classes."""

    def classify(self, task: Task) -> Any:
        return 1 if task.path.startswith("/report") else 0


class ClassForEachClient(SharedQueue):
    """Has a class for each client, so that a flood costs only its sender."""

    def classify(self, task: Task) -> str:
        return task.client


class ClassForEachPath(SharedQueue):
    """Has a class for each path below the one that it knows."""

    def classify(self, task: Task) -> str:
        return task.path if task.path.startswith("/tenants/") else ""


class ClassForEachTenant(SharedQueue):
    """Has a class for each value of a header."""

    inspects: ClassVar[bool] = True

    def classify(self, task: Task) -> str:
        return task.header("X-Organisation-Of-Ours") or ""


class ListsLimits(SharedQueue):
    """Returns pairs where a mapping is due."""

    def limits(self) -> Any:
        return [("report", ClassLimits(most=2))]


class LimitsByNumber(SharedQueue):
    """Returns numbers where ClassLimits are due."""

    def limits(self) -> Any:
        return {"report": 2}


@dataclass
class OwesWorkers(SharedQueue):
    """Keeps all workers but two, of which there may be none yet, or one."""

    _queue: QueueView | None = field(default=None, init=False)

    def begin(self, queue: QueueView) -> None:
        self._queue = queue

    def limits(self) -> dict[str, ClassLimits]:
        assert self._queue is not None
        return {"report": ClassLimits(reserve=self._queue.workers - 2)}


class StopsAClass(SharedQueue):
    """Lets no report start."""

    def classify(self, task: Task) -> str:
        return "report" if task.path.startswith("/report") else ""

    def limits(self) -> dict[str, ClassLimits]:
        return {"report": ClassLimits(most=0)}


@dataclass
class StopsAClassOfFew(OwesWorkers):
    """Leaves half of the workers to others, which of one worker is none."""

    def limits(self) -> dict[str, ClassLimits]:
        assert self._queue is not None
        workers = self._queue.workers
        return {"report": ClassLimits(most=workers // 2)} if workers else {}


@dataclass
class DividesByWorkers(OwesWorkers):
    """Divides by the number of workers, which is 0 at first."""

    def limits(self) -> dict[str, ClassLimits]:
        assert self._queue is not None
        return {"report": ClassLimits(most=1 + 12 // self._queue.workers)}


class ReportsLast(SharedQueue):
    """Chooses a report only where nothing else waits."""

    def classify(self, task: Task) -> str:
        return "report" if task.path.startswith("/report") else ""

    def next(self, inbox: InboxView, waiting: tuple[Task, ...]) -> Task:
        return next((each for each in waiting if each.kind != "report"), waiting[0])


class WaitsForASecond(ReportsLast):
    """Lets tasks start while two wait, which the last one never does."""

    def next(self, inbox: InboxView, waiting: tuple[Task, ...]) -> Any:
        return waiting[0] if len(waiting) > 1 else None


@dataclass
class RefusesByNumber(OwesWorkers):
    """Returns how many wait, and not whether they are too many."""

    def refuses(self, task: Task) -> Any:
        assert self._queue is not None
        return self._queue.waiting("")

    def limits(self) -> dict[str, ClassLimits]:
        return {}


@dataclass
class RefusesEverything(OwesWorkers):
    """Refuses where nothing waits: the comparison is the wrong way round."""

    def refuses(self, task: Task) -> bool:
        assert self._queue is not None
        return self._queue.waiting("") < 10

    def limits(self) -> dict[str, ClassLimits]:
        return {}


@dataclass
class NeverRecovers(SharedQueue):
    """Counts what it has accepted, and forgets to count what is done."""

    _accepted: int = field(default=0, init=False)

    def refuses(self, task: Task) -> bool:
        self._accepted += 1
        return self._accepted > 250


@dataclass
class ExpectsTheLast(SharedQueue):
    """Believes that what was served is what has arrived last."""

    _arrived: dict[Task, float] = field(default_factory=dict, init=False)

    def classify(self, task: Task) -> str:
        self._arrived = {task._replace(kind=""): task.arrived}
        return ""

    def served(self, task: Task, seconds: float) -> None:
        del self._arrived[task._replace(kind="")]


class LearnsPairs(SharedQueue):
    """Returns pairs of a route and its time."""

    def served(self, task: Task, seconds: float) -> None:
        """Learns something."""

    def learned(self) -> Any:
        return [("GET /", 0.1)]


class LearnsNothing(LearnsPairs):
    """Returns None where there is nothing to show."""

    def learned(self) -> Any:
        return None


@dataclass
class RemembersRoutes(SharedQueue):
    """Has an average for each path, and never removes one."""

    _mean: dict[str, float] = field(default_factory=dict, init=False)

    def key(self, task: Task) -> str:
        return task.path

    def served(self, task: Task, seconds: float) -> None:
        mean = self._mean.get(self.key(task), seconds)
        self._mean[self.key(task)] = mean + (seconds - mean) / 10

    def classify(self, task: Task) -> str:
        return "long" if self._mean.get(self.key(task), 0.0) > 1.0 else ""


class RemembersMethods(RemembersRoutes):
    """The same for each method, which clients may invent."""

    def key(self, task: Task) -> str:
        return task.method


class RemembersNames(RemembersRoutes):
    """The same for each value of a header."""

    inspects: ClassVar[bool] = True

    def key(self, task: Task) -> str:
        return task.header("X-Report-Name") or ""


@dataclass
class RemembersBelow(RemembersRoutes):
    """The same for each path below the one that it knows."""

    below: str = "/report/"

    def key(self, task: Task) -> str:
        return task.path if task.path.startswith(self.below) else ""


class ComparesAllRoutes(RemembersRoutes):
    """Compares each route with every other one, ten times a second."""

    def limits(self) -> dict[str, ClassLimits]:
        ranks = [sum(one < other for other in self._mean.values()) for one in self._mean.values()]
        return {"long": ClassLimits(most=max(ranks, default=0) + 1)}


class SearchesAllRoutes(RemembersRoutes):
    """Sorts all routes for each task."""

    def classify(self, task: Task) -> str:
        routes = sorted(self._mean, key=lambda name: (round(self._mean[name], 3), name))
        return "long" if task.path in routes[len(routes) // 2 :] else ""


class LimitsByClock(SharedQueue):
    """Has other limits at night."""

    def limits(self) -> dict[str, ClassLimits]:
        return {"report": ClassLimits(most=8 if time.time() % 86_400 < 21_600 else 2)}
