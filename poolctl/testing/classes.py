"""Checks of what a strategy says of classes: how many there are, that each of them is served, and what is refused.

Every simulation, of these checks and of all others, also judges what ``classify``, ``limits``, ``refuses`` and
``learned`` return, and that ``begin`` and ``served`` raise nothing; see class_hooks.py.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from unittest import SkipTest

from poolctl.runtime.routing.queue import MOST_LANES
from poolctl.runtime.task import Task
from poolctl.testing.checks import Make
from poolctl.testing.class_hooks import CLASS_HOOKS
from poolctl.testing.samples import COMMON, known, various, words_of
from poolctl.testing.simulation import Simulation
from poolctl.testing.violation import Violation
from poolctl.testing.watchdog import watched

WORKERS = 4
MOST_CLASSES = MOST_LANES - 1  # besides that of all others
TASKS_OF_A_WORD = 600  # half of them different: more than there may be classes
FEW_TASKS = 100
TASKS_STARTED = 1_500
MOST_WAITING = 200  # fewer than next may choose from
STARVED_AFTER_SECONDS = 20.0  # of the clock of the simulation, as all here
SHORT_SECONDS, LONG_SECONDS = 0.01, 0.2  # that tasks take
IDLE_TASKS = 100


def _skip_unless(applies: object, why: str) -> None:
    if not applies:
        raise SkipTest(why)


@watched
def check_classes(make: Make) -> None:
    """Check that a strategy names few classes, whatever clients ask for, and says valid things of them with any number
    of workers."""
    _skip_unless(make().hooks & CLASS_HOOKS, "it has no classes")
    for workers in (1, 2, WORKERS):
        strategy = make()
        words = words_of(strategy)
        simulation = Simulation(strategy, workers)
        named: dict[str, None] = {}
        for number in range(TASKS_OF_A_WORD * max(len(words), 1) if workers == WORKERS else FEW_TASKS):
            each = known(number // 2, words) if number % 2 else various(number // 2, words)
            simulation.arrive(each)
            named[simulation.classes.kind] = None
            if not simulation.idle:
                simulation.finish(0, _seconds(each))
            if len(named) > MOST_CLASSES:
                raise Violation(
                    f"classify names more than {MOST_CLASSES} classes: {len(named)} after {number + 1} tasks of"
                    f" different clients and paths, such as {', '.join(map(repr, list(named)[-3:]))}",
                    "name a few classes that you have chosen, and fold into them what clients may choose; the tasks of"
                    " further classes are those of no class",
                )


@watched
def check_starvation(make: Make) -> None:
    """Check that each class has a task started from time to time, while tasks of all classes always wait and workers
    are always busy; and that all of them are started in the end."""
    _skip_unless(make().hooks & {"classify", "limits"}, "it has no classes")
    strategy = make()
    words = words_of(strategy)
    simulation = Simulation(strategy, WORKERS)
    watch = ClassWatch(simulation)
    different = len(COMMON) + len(words)
    for number in range(TASKS_STARTED):
        waiting = Counter(task.asked.target for task in simulation.waiting if task.asked is not None)
        for kind in range(different):
            each = known(kind + number * different, words)
            if each.asked is not None and waiting[each.asked.target] < MOST_WAITING // different:
                simulation.arrive(each)
        if simulation.idle:  # it refuses all
            simulation.now += LONG_SECONDS
        else:
            _finish_next(simulation)
        watch.look()
    while not simulation.idle:  # the last ones: a task that waits while all are idle is a violation
        _finish_next(simulation)


FAIR = "let next and pick choose a task of every class some time; a priority in ClassLimits delays, and never starves"


class ClassWatch:
    """When each class had a task started last, or began to wait."""

    def __init__(self, simulation: Simulation) -> None:
        self._simulation = simulation
        self._since: dict[int, float] = {}  # by lane

    def look(self) -> None:
        """Raise Violation if a class has been waiting for too long."""
        simulation = self._simulation
        now = simulation.now
        for under in simulation.in_flight:
            if under.began == now:
                self._since[under.lane] = now
        for lane in simulation.queue.lanes:
            since = self._since.setdefault(lane.index, now)
            if not lane.waiting:
                self._since[lane.index] = now
            elif now - since > STARVED_AFTER_SECONDS:
                named = f"the class {lane.kind!r}" if lane.kind else "no class"
                raise simulation.violation(
                    f"no task of {named} was started in {STARVED_AFTER_SECONDS:g} s, while"
                    f" {lane.waiting} wait and the workers finish others",
                    FAIR,
                )


def _seconds(task: Task) -> float:
    """Return how long a task takes: of two paths one takes long."""
    return LONG_SECONDS if len(task.path) % 2 else SHORT_SECONDS


def _finish_next(simulation: Simulation) -> None:
    """Finish the task in flight that ends next."""
    ends = [under.began + _seconds(under.task) for under in simulation.in_flight]
    first = ends.index(min(ends))
    simulation.finish(first, max(ends[first] - simulation.now, 0.0))


@watched
def check_refusals(make: Make) -> None:
    """Check that a strategy does not refuse everything while nothing waits and all workers are idle: neither at first
    nor after an overload."""
    _skip_unless("refuses" in make().hooks, "it refuses nothing")
    strategy = make()
    words = words_of(strategy)
    simulation = Simulation(strategy, WORKERS)
    _check_some_are_accepted(simulation, words, "")
    for number in range(IDLE_TASKS):  # an overload: none finishes
        simulation.arrive(various(number, words))
        simulation.arrive(known(number, words))
    while not simulation.idle:
        simulation.finish(0, LONG_SECONDS)
    _check_some_are_accepted(simulation, words, " after an overload")


def _check_some_are_accepted(simulation: Simulation, words: Sequence[str], when: str) -> None:
    before = simulation.refused
    for number in range(IDLE_TASKS):
        simulation.now += 1
        simulation.arrive(known(number // 2, words) if number % 2 else various(number // 2, words))
        while not simulation.idle:
            simulation.finish(0, SHORT_SECONDS)
    if simulation.refused - before == IDLE_TASKS:
        raise simulation.violation(
            f"it refused each of {IDLE_TASKS} tasks{when}, although nothing waited and every worker was idle",
            "refuse a task for what it asks for, or for what waits at that moment: queue.waiting(task.kind). Tasks that"
            " you count yourself may end without served, when their worker dies or their client leaves",
        )
