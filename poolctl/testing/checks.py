"""Checks of the contract, one function for each promise. Each takes a function that makes a strategy, and raises
Violation if the strategy breaks the promise."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from math import inf
from time import perf_counter_ns

from poolctl.runtime.dispatch import Dispatch
from poolctl.runtime.inbox_view import InboxView
from poolctl.runtime.scoreboard import DONE, SENT
from poolctl.runtime.task import Task
from poolctl.testing.memory import allocated_blocks, size_of
from poolctl.testing.simulation import Request, Simulation, task
from poolctl.testing.violation import Violation
from poolctl.testing.watchdog import watched, with_timeout

Make = Callable[[], Dispatch]

INBOXES = 6
TASKS = 600
MANY = 70_000  # clients: more than the 65,536 that the built-in affinities remember
GROWTH = 1.25  # the factor by which memory may grow when the number of clients doubles
SPARE_BYTES = 16_384  # that it may grow in any case
SPARE_OBJECTS = 8_192  # by which their number may grow in any case
STARVED = 100  # later tasks that may be taken before an older one, per unit of ``fairness``
COSTLY = 12  # times as long as it takes to read the load of each inbox
TRIES = 5  # measurements of the decision time, because the machine may be busy
SPARE_NS = 15_000  # nanoseconds that a decision may take longer in any case


def client(number: int) -> str:
    """Return the address of one of many clients."""
    return f"10.{number >> 16 & 255}.{number >> 8 & 255}.{number & 255}"


class TaskWithAnyHeader(Task):
    """A task that has every header and cookie that a strategy asks for, with a value of its own: the memory of a
    strategy that remembers a header would stay small if no task had that header."""

    def header(self, name: str) -> str | None:
        found = super().header(name)
        return found if found is not None else _value(self.arrived).decode()

    def cookie(self, name: str) -> str | None:
        found = super().cookie(name)
        return found if found is not None else _value(self.arrived).decode()


def tasks(count: int, first: int = 0) -> list[Task]:
    """Return equal tasks of different clients, with different values of everything else that a strategy may read."""
    return [_task(number) for number in range(first, first + count)]


# For strategies that search the headers of ``Task.asked`` themselves.
HEADERS = (b"X-Session", b"Mcp-Session-Id", b"X-Tenant", b"X-Tenant-Id", b"X-User", b"X-Request-Id", b"Authorization")


def _task(number: int) -> Task:
    value = _value(number)
    headers = [(header, value) for header in HEADERS]
    headers.append((b"cookie", b"sid=%b; sessionid=%b" % (value, value)))
    request = Request("GET", b"/%b?q=%b" % (value, value), headers)
    return TaskWithAnyHeader(*task(client(number), float(number), request))


def _value(number: float) -> bytes:
    return b"%d" % (int(number) * 2654435761 % 2**32)  # neighbors differ widely


@watched
def check_fairness(make: Make, fairness: float) -> None:
    """Check that of many clients' equal tasks no inbox gets more than ``fairness`` times an equal share, that every
    inbox gets some, and that an inbox whose worker is stuck gets no more than the others."""
    simulation = Simulation(make(), INBOXES)
    _run_busy(simulation, TASKS, stuck=None)
    equal = sum(simulation.dispatched) / INBOXES
    most = max(simulation.dispatched)
    if most > fairness * equal:
        raise Violation(
            f"inbox {simulation.dispatched.index(most)} got {most} of {TASKS} equal tasks of {TASKS} clients:"
            f" {simulation.dispatched}",
            "read inbox.load when choosing, not earlier; or set a larger fairness in the contract, and say why",
        )
    simulation = Simulation(make(), INBOXES)
    # So many tasks that even a strategy that fills one inbox after another needs all of them.
    _run_busy(simulation, TASKS, stuck=None, level=10)
    if not min(simulation.dispatched):
        raise Violation(
            f"inbox {simulation.dispatched.index(0)} got none of {TASKS} tasks: {simulation.dispatched}",
            "indices begin at 0: consider every inbox",
        )
    simulation = Simulation(make(), INBOXES)
    _run_busy(simulation, TASKS, stuck=2)
    others = [given for index, given in enumerate(simulation.dispatched) if index != 2]
    if simulation.dispatched[2] > 2 * sum(others) / len(others) + 5:
        raise Violation(
            f"the inbox of a worker that never finishes got {simulation.dispatched[2]} tasks: {simulation.dispatched}",
            "read inbox.load when choosing: it grows where nothing is finished",
        )
    if "next" in simulation.hooks and fairness != inf:
        _check_waiting(Simulation(make(), INBOXES), round(STARVED * fairness))


def _check_waiting(simulation: Simulation, most: int) -> None:
    """Check that the oldest task is taken in time, while more tasks wait than there are workers, and each second one
    task arrives and one finishes."""
    for number, each in enumerate(tasks(4 * most)):
        simulation.now += 1
        simulation.arrive(each._replace(arrived=simulation.now))
        if number > 4 * INBOXES:
            simulation.finish(0, 0.0)
        if simulation.waiting and simulation.now - simulation.waiting[0].arrived > most + 8 * INBOXES:
            raise Violation(
                f"a task waited while {most} later ones were taken, one per second",
                "next receives the oldest task first; take it when it has waited for long (newest.arrived -"
                " oldest.arrived tells). Or set a larger fairness in the contract, and say why",
            )


def _run_busy(simulation: Simulation, count: int, stuck: int | None, level: int = 2) -> None:
    """Keep ``level`` tasks per worker in flight; a stuck worker finishes none."""
    draw = random.Random(7)
    for each in tasks(count):
        simulation.arrive(each)
        able = [number for number, under in enumerate(simulation.in_flight) if under.inbox != stuck]
        if len(able) > level * INBOXES:
            simulation.finish(draw.choice(able))


@watched
def check_affinity(make: Make, slack: float) -> None:
    """Check that a client's tasks reach the same inbox while the available inboxes stay the same, and that at most
    (1 + slack)/n of the clients move when one inbox leaves."""
    simulation = Simulation(make(), INBOXES)
    everyone = tasks(TASKS)
    before = [_inbox_of(simulation, each) for each in everyone]
    again = [_inbox_of(simulation, each) for each in everyone]
    if before != again:
        moved = sum(one != other for one, other in zip(before, again, strict=True))
        raise Violation(f"{moved} of {TASKS} clients changed inboxes although the same inboxes were available")
    simulation.leave(2)
    after = [_inbox_of(simulation, each) for each in everyone]
    moved = sum(one != other for one, other in zip(before, after, strict=True))
    if moved > (1 + slack) / INBOXES * TASKS:
        raise Violation(
            f"{moved} of {TASKS} clients moved when one of {INBOXES} inboxes left; at most"
            f" {(1 + slack) / INBOXES * TASKS:.0f} may",
            "use consistent or rendezvous hashing instead of a hash modulo the number of inboxes",
        )


def _inbox_of(simulation: Simulation, each: Task) -> int:
    simulation.arrive(each)
    index = simulation.in_flight[-1].inbox
    simulation.finish()
    return index


@watched
def check_memory(make: Make) -> None:
    """Check that what the strategy remembers does not grow with the number of clients, wherever it keeps it."""
    strategy = make()
    simulation = Simulation(strategy, 4)
    sizes, blocks = [], [allocated_blocks()]
    for half in range(2):
        for number in range(MANY):
            simulation.arrive(_task(half * MANY + number))
            simulation.finish()
        sizes.append(size_of(strategy))
        blocks.append(allocated_blocks())
    fix = "evict the least recently used client beyond a few thousand"
    if sizes[1] > GROWTH * sizes[0] + SPARE_BYTES:
        raise Violation(
            f"it keeps {sizes[0] >> 10} KiB after {MANY} clients and {sizes[1] >> 10} KiB after {2 * MANY}", fix
        )
    first, second = blocks[1] - blocks[0], blocks[2] - blocks[1]
    if second > (GROWTH - 1) * first + SPARE_OBJECTS:
        raise Violation(
            f"its process keeps {first} more objects after {MANY} clients, and {first + second} after {2 * MANY}",
            f"{fix}; this includes the module, the class and cached functions",
        )


class ReadsEach(Dispatch):
    """What decision times are compared with: it reads the load of each inbox once."""

    def pick(self, task: Task, inboxes: tuple[InboxView, ...]) -> InboxView:
        loads = [inbox.load for inbox in inboxes]
        return inboxes[loads.index(min(loads))]


@watched
def check_decision_time(make: Make, budget: float | None = None) -> None:
    """Check that a decision among 8 inboxes takes at most ``budget`` microseconds, or without a budget at most COSTLY
    times as long as it takes to read the load of each inbox. Among 256 inboxes the latter always applies."""
    for count in (8, 256):
        everyone = tasks(1600 // count + 10)
        for _ in range(TRIES):
            reference = _nanoseconds(ReadsEach(), count, everyone)
            try:
                taken = with_timeout(_nanoseconds, make(), count, everyone)
            except (Exception, SystemExit) as error:
                raise Violation(f"it raised {type(error).__name__}: {error}, with {count} inboxes available") from error
            most = budget * 1000 if budget is not None and count == 8 else COSTLY * reference + SPARE_NS
            if taken <= most:
                break
        else:
            raise Violation(
                f"a decision among {count} inboxes takes {taken / 1000:.1f} us (budget: {most / 1000:.1f} us);"
                f" to read the load of each takes {reference / 1000:.1f} us",
                "every task waits for the decision, and so do all tasks behind it; examine each inbox at most once",
            )


def _nanoseconds(strategy: Dispatch, count: int, everyone: Sequence[Task]) -> float:
    """Return the time of one decision: the least of a few rounds."""
    rows = [[index % 5] + [0] * SENT for index in range(count)]
    available = tuple(InboxView(index, row, [[0] * (DONE + 1)]) for index, row in enumerate(rows))
    if "joined" in strategy.hooks:
        for view in available:
            strategy.joined(view)
    best = float("inf")
    for _ in range(3):
        began = perf_counter_ns()
        for each in everyone:
            strategy.pick(each, available)
        best = min(best, (perf_counter_ns() - began) / len(everyone))
        if best > 50_000_000:
            break  # so slow that more rounds would take too long
    return best
