"""Checks of the contract, one function for each promise. Each takes a function that makes a strategy, and raises
Violation if the strategy breaks the promise."""

from __future__ import annotations

import random
from collections.abc import Callable
from math import inf

from poolctl.runtime.dispatch import Dispatch
from poolctl.runtime.task import Task
from poolctl.testing.memory import allocated_blocks, size_of
from poolctl.testing.samples import equal, tasks, various, words_of
from poolctl.testing.simulation import Simulation
from poolctl.testing.violation import Violation
from poolctl.testing.watchdog import watched

Make = Callable[[], Dispatch]

INBOXES = 6
TASKS = 600
MANY = 70_000  # clients: more than the 65,536 that the built-in affinities remember
GROWTH = 1.25  # the factor by which memory may grow when the number of clients doubles
SAMPLES = 8  # of the memory of a strategy with classes: it may forget all at once, and begin again
SPARE_BYTES = 16_384  # that it may grow in any case
SPARE_OBJECTS = 8_192  # by which their number may grow in any case
STARVED = 100  # later tasks that may be taken before an older one, per unit of ``fairness``


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
        oldest = simulation.queue.oldest(1)
        if oldest and simulation.now - oldest[0].task.arrived > most + 8 * INBOXES:
            raise Violation(
                f"a task waited while {most} later ones were taken, one per second",
                "next receives the oldest task first; take it when it has waited for long (newest.arrived -"
                " oldest.arrived tells). Or set a larger fairness in the contract, and say why",
            )


def _run_busy(simulation: Simulation, count: int, stuck: int | None, level: int = 2) -> None:
    """Keep ``level`` tasks per worker in flight or waiting; a stuck worker finishes none."""
    draw = random.Random(7)
    for each in tasks(count):
        simulation.arrive(each)
        able = [number for number, under in enumerate(simulation.in_flight) if under.inbox != stuck]
        if able and len(able) + simulation.queue.count > level * INBOXES:
            simulation.finish(draw.choice(able))


@watched
def check_affinity(make: Make, slack: float) -> None:
    """Check that a client's tasks reach the same inbox while the available inboxes stay the same, and that at most
    (1 + slack)/n of the clients move when one inbox leaves."""
    simulation = Simulation(make(), INBOXES)
    everyone = tasks(TASKS)
    before = [inbox_of(simulation, each) for each in everyone]
    again = [inbox_of(simulation, each) for each in everyone]
    if before != again:
        moved = sum(one != other for one, other in zip(before, again, strict=True))
        raise Violation(f"{moved} of {TASKS} clients changed inboxes although the same inboxes were available")
    simulation.leave(2)
    after = [inbox_of(simulation, each) for each in everyone]
    moved = sum(one != other for one, other in zip(before, after, strict=True))
    if moved > (1 + slack) / INBOXES * TASKS:
        raise Violation(
            f"{moved} of {TASKS} clients moved when one of {INBOXES} inboxes left; at most"
            f" {(1 + slack) / INBOXES * TASKS:.0f} may",
            "use consistent or rendezvous hashing instead of a hash modulo the number of inboxes",
        )


def inbox_of(simulation: Simulation, each: Task) -> int:
    """Return the inbox that a task reaches while all are empty; -1 if it is refused."""
    simulation.arrive(each)
    if simulation.idle:
        return -1
    index = simulation.in_flight[-1].inbox
    simulation.finish()
    return index


@watched
def check_memory(make: Make) -> None:
    """Check that what the strategy remembers does not grow with the number of clients, wherever it keeps it; nor, if it
    has classes, with that of methods, paths and headers."""
    strategy = make()
    simulation = Simulation(strategy, 4)
    classes = simulation.classes.active
    words = words_of(strategy)
    sizes, blocks = [], [allocated_blocks()]
    for half in range(2):
        most = 0
        for number in range(half * MANY, (half + 1) * MANY):
            simulation.arrive(various(number, words) if classes else equal(number))
            if not simulation.idle:
                simulation.finish(0, 0.001 if classes else 0.01)
            if classes and not number % (MANY // SAMPLES):
                most = max(most, size_of(strategy))
        sizes.append(max(most, size_of(strategy)))
        blocks.append(allocated_blocks())
    fix = "evict the least recently used client beyond a few thousand"
    if classes:
        fix += ", and the same for routes and headers"
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
