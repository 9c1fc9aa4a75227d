"""Strategies with one classic beginner's mistake each, which the contract must find."""

from __future__ import annotations

import random
import sys
import threading
import time
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, ClassVar

from poolctl.plugin import Dispatch, InboxView, Task

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
