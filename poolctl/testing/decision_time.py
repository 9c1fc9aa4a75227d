"""Checks that decisions are fast: every task waits for its own, and so do all tasks behind it.

Times are compared with that of a reference, measured at the same moment: the speed of the machine does not matter.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import inf
from time import perf_counter_ns

from poolctl.runtime.dispatch import Dispatch
from poolctl.runtime.inbox_view import InboxView
from poolctl.runtime.queue_view import ClassLimits, QueueView
from poolctl.runtime.routing.queue import Queue
from poolctl.runtime.scoreboard import DONE, SENT
from poolctl.runtime.task import Task
from poolctl.testing.checks import Make
from poolctl.testing.class_hooks import CLASS_HOOKS
from poolctl.testing.samples import routes, tasks
from poolctl.testing.violation import Violation
from poolctl.testing.watchdog import watched, with_timeout

FEW, MANY_INBOXES = 8, 256
COSTLY = 12  # times as long as it takes to read the load of each inbox
TRIES = 5  # measurements, because the machine may be busy
SPARE_NS = 15_000  # nanoseconds that a decision may take longer in any case
CLASSES = 100  # that have lanes
ROUTES = 400  # that a strategy with classes knows
KNOWN_AFTER = 8  # tasks of a route
LOOKS = 10  # calls of limits that are measured together
LOOK_SECONDS_APART = 0.1


class ReadsEach(Dispatch):
    """What decision times are compared with: it reads the load of each inbox once."""

    def pick(self, task: Task, inboxes: tuple[InboxView, ...]) -> InboxView:
        loads = [inbox.load for inbox in inboxes]
        return inboxes[loads.index(min(loads))]


@watched
def check_decision_time(make: Make, budget: float | None = None) -> None:
    """Check that a decision among 8 inboxes takes at most ``budget`` microseconds, or without a budget at most COSTLY
    times as long as it takes to read the load of each inbox. Among 256 inboxes the latter always applies."""
    for count in (FEW, MANY_INBOXES):
        everyone = routes(ROUTES) if CLASS_HOOKS & make().hooks else tasks(1600 // count + 10)
        for _ in range(TRIES):
            reference = _nanoseconds(ReadsEach(), count, everyone)
            try:
                taken = with_timeout(_nanoseconds, make(), count, everyone)
            except (Exception, SystemExit) as error:
                raise Violation(f"it raised {type(error).__name__}: {error}, with {count} inboxes available") from error
            most = budget * 1000 if budget is not None and count == FEW else COSTLY * reference + SPARE_NS
            if taken <= most:
                break
        else:
            raise Violation(
                f"a decision among {count} inboxes takes {taken / 1000:.1f} us (budget: {most / 1000:.1f} us);"
                f" to read the load of each takes {reference / 1000:.1f} us",
                "every task waits for the decision, and so do all tasks behind it; examine each inbox at most once",
            )
    if "limits" in make().hooks:
        _check_limits_time(make)


def _check_limits_time(make: Make) -> None:
    """Check that a call of ``limits``, with many routes or classes, takes no longer than a decision may."""
    everyone = routes(ROUTES)
    for _ in range(TRIES):
        most = COSTLY * _nanoseconds(ReadsEach(), MANY_INBOXES, everyone) + SPARE_NS
        strategy, queue = make(), Queue()
        queue.slots = MANY_INBOXES
        _decision(strategy, everyone, queue)
        best = inf
        for _ in range(3):
            began = perf_counter_ns()
            for _ in range(LOOKS):
                queue.now += LOOK_SECONDS_APART
                with_timeout(strategy.limits)
            best = min(best, (perf_counter_ns() - began) / LOOKS)
        if best <= most:
            return
    raise Violation(
        f"limits takes {best / 1000:.1f} us with {CLASSES} classes and {ROUTES} different tasks (budget:"
        f" {most / 1000:.1f} us)",
        "all tasks wait for it, ten times a second; look at what you remember at most once, and seldom",
    )


def _decision(
    strategy: Dispatch, everyone: Sequence[Task], queue: Queue | None = None
) -> Callable[[Task, tuple[InboxView, ...]], object]:
    """Return what is called for each task. A strategy with classes knows these tasks already."""
    hooks = strategy.hooks
    if not hooks & CLASS_HOOKS:
        return strategy.pick
    queue = Queue() if queue is None else queue  # an empty one is false
    queue.now = everyone[-1].arrived
    strategy.begin(QueueView(queue))

    def decide(task: Task, available: tuple[InboxView, ...]) -> object:
        task = task._replace(kind=strategy.classify(task))
        strategy.refuses(task)
        return strategy.pick(task, available)

    for number, each in enumerate(everyone):
        kind = strategy.classify(each)
        if len(queue.lanes) <= CLASSES:
            queue.open(kind, ClassLimits())
        for _ in range(KNOWN_AFTER):
            strategy.served(each._replace(kind=kind), 0.001 * (number + 1))
    strategy.limits()
    return decide


def _nanoseconds(strategy: Dispatch, count: int, everyone: Sequence[Task]) -> float:
    """Return the time of one decision: the least of a few rounds."""
    rows = [[index % 5] + [0] * SENT for index in range(count)]
    available = tuple(InboxView(index, row, [[0] * (DONE + 1)]) for index, row in enumerate(rows))
    if "joined" in strategy.hooks:
        for view in available:
            strategy.joined(view)
    decide = _decision(strategy, everyone)
    best = inf
    for _ in range(3):
        began = perf_counter_ns()
        for each in everyone:
            decide(each, available)
        best = min(best, (perf_counter_ns() - began) / len(everyone))
        if best > 50_000_000:
            break  # so slow that more rounds would take too long
    return best
