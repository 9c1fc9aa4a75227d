"""What every strategy has to keep, one function for each promise. Each takes a function that makes a strategy, and
raises Violation."""

from __future__ import annotations

import gc
import random
import sys
from collections.abc import Callable, Sequence
from math import inf
from time import perf_counter_ns
from typing import Any

from poolctl.runtime.dispatch import Dispatch
from poolctl.runtime.dispatch.least_loaded import LeastLoaded
from poolctl.runtime.inbox_view import InboxView
from poolctl.runtime.scoreboard import DONE, SENT
from poolctl.runtime.task import Task
from poolctl.testing.simulation import Request, World, task
from poolctl.testing.violation import Violation
from poolctl.testing.watchdog import in_time, watched

Make = Callable[[], Dispatch]
INBOXES = 6
TASKS = 600
MANY = 70_000  # clients: more than the 65,536 that poolctl's own affinities remember
LEVEL = 1.25  # times that what is kept of twice as many clients may be larger
SPARE = 16_384  # bytes that it may grow in any case
OBJECTS = 8_192  # that may be more in any case
STARVED = 100  # tasks that came later and were taken first, for each time of ``fairness``
COSTLY = 12  # times what least-loaded takes for a decision
TRIES = 5  # to measure what a decision costs: the machine may have been busy with others
FIXED = 15_000  # nanoseconds more that a decision may take in any case


def client(number: int) -> str:
    """The address of one of many clients."""
    return f"10.{number >> 16 & 255}.{number >> 8 & 255}.{number & 255}"


class Asking(Task):
    """A task that has whatever header and cookie a strategy asks for, each with a value of its own: what a strategy
    remembers by a header would stay small if no task carried it."""

    def header(self, name: str) -> str | None:
        found = super().header(name)
        return found if found is not None else _word(self.arrived).decode()

    def cookie(self, name: str) -> str | None:
        found = super().cookie(name)
        return found if found is not None else _word(self.arrived).decode()


def tasks(count: int, first: int = 0) -> list[Task]:
    """Equal ones, each of another client, and with another value of whatever else a strategy looks at."""
    return [_of(number) for number in range(first, first + count)]


# For strategies that go through the headers of ``Task.asked`` by themselves.
CARRIED = (b"X-Session", b"Mcp-Session-Id", b"X-Tenant", b"X-Tenant-Id", b"X-User", b"X-Request-Id", b"Authorization")


def _of(number: int) -> Task:
    name = _word(number)
    headers = [(header, name) for header in CARRIED]
    headers.append((b"cookie", b"sid=%b; sessionid=%b" % (name, name)))
    return Asking(*task(client(number), float(number), Request("GET", b"/%b?q=%b" % (name, name), headers)))


def _word(number: float) -> bytes:
    return b"%d" % (int(number) * 2654435761 % 2**32)  # no two neighbours alike


@watched
def fair(make: Make, fairness: float) -> None:
    """Of many clients' equal tasks none of the inboxes gets more than ``fairness`` times an equal share, none gets
    nothing, and one whose worker is stuck gets no more than the others."""
    world = World(make(), INBOXES)
    _busy(world, TASKS, stuck=None)
    equal = sum(world.given) / INBOXES
    most = max(world.given)
    if most > fairness * equal:
        raise Violation(
            f"inbox {world.given.index(most)} got {most} of {TASKS} equal tasks of {TASKS} clients: {world.given}",
            "read inbox.load when you choose, not before; or give this contract a larger fairness, with the reason",
        )
    world = World(make(), INBOXES)
    _busy(world, TASKS, stuck=None, level=10)  # so much that even who fills one after the other needs them all
    if not min(world.given):
        raise Violation(
            f"inbox {world.given.index(0)} got none of {TASKS} tasks: {world.given}",
            "count from 0 to the number of inboxes, and look at all of them",
        )
    world = World(make(), INBOXES)
    _busy(world, TASKS, stuck=2)
    others = [given for index, given in enumerate(world.given) if index != 2]
    if world.given[2] > 2 * sum(others) / len(others) + 5:
        raise Violation(
            f"the inbox of a worker that never finishes got {world.given[2]} tasks: {world.given}",
            "read inbox.load when you choose: it grows where nothing is finished",
        )
    if "next" in world.hooks and fairness != inf:
        _patient(World(make(), INBOXES), round(STARVED * fairness))


def _patient(world: World, most: int) -> None:
    """More tasks wait than there are workers, one a second comes, and one is done: the oldest has its turn in time."""
    for number, each in enumerate(tasks(4 * most)):
        world.now += 1
        world.arrive(each._replace(arrived=world.now))
        if number > 4 * INBOXES:
            world.finish(0, 0.0)
        if world.waiting and world.now - world.waiting[0].arrived > most + 8 * INBOXES:
            raise Violation(
                f"a task has waited while {most} that came later were taken, one a second",
                "next is given the oldest first: take that when it has waited for long, which"
                " newest.arrived - oldest.arrived tells; or give this contract a larger fairness, with the reason",
            )


def _busy(world: World, count: int, stuck: int | None, level: int = 2) -> None:
    """So many tasks for each worker are under way all the time; who is stuck ends none."""
    draw = random.Random(7)
    for each in tasks(count):
        world.arrive(each)
        able = [number for number, under in enumerate(world.under_way) if under.inbox != stuck]
        if len(able) > level * INBOXES:
            world.finish(draw.choice(able))


@watched
def together(make: Make, slack: float) -> None:
    """A client's tasks meet one inbox as long as the same ones are on offer, and when one leaves at most
    (1 + slack)/n of the clients move."""
    world = World(make(), INBOXES)
    everybody = tasks(TASKS)
    before = [_met(world, each) for each in everybody]
    again = [_met(world, each) for each in everybody]
    if before != again:
        moved = sum(one != other for one, other in zip(before, again, strict=True))
        raise Violation(f"{moved} of {TASKS} clients met another inbox the second time, with the same ones on offer")
    world.leave(2)
    after = [_met(world, each) for each in everybody]
    moved = sum(one != other for one, other in zip(before, after, strict=True))
    if moved > (1 + slack) / INBOXES * TASKS:
        raise Violation(
            f"{moved} of {TASKS} clients moved when one of {INBOXES} inboxes left; at most"
            f" {(1 + slack) / INBOXES * TASKS:.0f} may",
            "hash clients onto a ring, or by rendezvous, instead of the remainder by the number of inboxes",
        )


def _met(world: World, each: Task) -> int:
    world.arrive(each)
    index = world.under_way[-1].inbox
    world.finish()
    return index


@watched
def bounded(make: Make) -> None:
    """What it remembers does not grow with the number of clients, wherever it keeps that."""
    strategy = make()
    world = World(strategy, 4)
    sizes, blocks = [], [_blocks()]
    for half in range(2):
        for number in range(MANY):
            world.arrive(_of(half * MANY + number))
            world.finish()
        sizes.append(size_of(strategy))
        blocks.append(_blocks())
    mend = "forget the client unused longest when there are more than a few thousand"
    if sizes[1] > LEVEL * sizes[0] + SPARE:
        raise Violation(
            f"it keeps {sizes[0] >> 10} KiB after {MANY} clients and {sizes[1] >> 10} KiB after {2 * MANY}", mend
        )
    first, second = blocks[1] - blocks[0], blocks[2] - blocks[1]
    if second > (LEVEL - 1) * first + OBJECTS:
        raise Violation(
            f"its process keeps {first} objects more after {MANY} clients and {first + second} after {2 * MANY}",
            f"{mend}; module, class and caches of functions remember too",
        )


def _blocks() -> int:
    """Pieces of memory that objects of this process have: also where size_of sees nothing, in a closure or a cache."""
    gc.collect()
    return sys.getallocatedblocks()


def size_of(thing: Any) -> int:
    """Bytes of an object and of all that only containers and instances of it hold."""
    seen: set[int] = set()
    total, left = 0, [thing]
    while left:
        each = left.pop()
        if id(each) in seen or isinstance(each, type | InboxView):
            continue
        seen.add(id(each))
        total += sys.getsizeof(each)
        if isinstance(each, dict):
            left += [*each.keys(), *each.values()]
        elif isinstance(each, list | tuple | set | frozenset) or type(each).__name__ == "deque":
            left += list(each)
        else:
            left += list(getattr(each, "__dict__", {}).values())
            left += [getattr(each, name) for name in getattr(type(each), "__slots__", ()) if hasattr(each, name)]
    return total


@watched
def quick(make: Make, budget: float | None = None) -> None:
    """A decision among 8 inboxes takes no more than the budget in microseconds, and without one at most COSTLY times
    what least-loaded takes; the latter holds among 256 in any case."""
    for count in (8, 256):
        everybody = tasks(1600 // count + 10)
        for _ in range(TRIES):
            own = _nanoseconds(LeastLoaded(), count, everybody)
            try:
                users = in_time(_nanoseconds, make(), count, everybody)
            except (Exception, SystemExit) as error:
                raise Violation(f"it raised {type(error).__name__}: {error}, with {count} inboxes on offer") from error
            most = budget * 1000 if budget is not None and count == 8 else COSTLY * own + FIXED
            if users <= most:
                break
        else:
            raise Violation(
                f"a decision among {count} inboxes takes {users / 1000:.1f} us, and {most / 1000:.1f} are its budget;"
                f" least-loaded takes {own / 1000:.1f}",
                "every task waits for it, and all others behind it: look at each inbox once at the most",
            )


def _nanoseconds(strategy: Dispatch, count: int, everybody: Sequence[Task]) -> float:
    """The least of a few rounds, for one decision."""
    rows = [[index % 5] + [0] * SENT for index in range(count)]
    offer = tuple(InboxView(index, row, [[0] * (DONE + 1)]) for index, row in enumerate(rows))
    if "joined" in strategy.hooks:
        for view in offer:
            strategy.joined(view)
    best = float("inf")
    for _ in range(3):
        began = perf_counter_ns()
        for each in everybody:
            strategy.pick(each, offer)
        best = min(best, (perf_counter_ns() - began) / len(everybody))
        if best > 50_000_000:
            break  # it is as good as asleep
    return best
