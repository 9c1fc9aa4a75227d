"""size-aware: short requests do not wait behind long ones.

    GET /fast         2 ms, 665 a second  --> short: 1.3 workers' load, so 2 are kept for it; goes first
    POST /report    100 ms,  35 a second  --> long: the other workers
    GET /users/*      not seen before     --> long, until it has been measured

Requests of one method and route take similar times, so what the last ones took tells what the next will take. Routes
are sorted by that, and cut in two where the short ones gain the most. Then the short ones go first (the order that
minimizes the mean wait, whatever the distribution within a class: Cox and Smith, Queues, 1961, 3.3), and workers are
kept free for them, as many as their load needs (Demoulin et al., "When Idling is Ideal: Optimizing Tail-Latency for
Heavy-Tailed Datacenter Workloads with Perséphone", SOSP 2021). The others may use all that is left, and never starve:
see Lane.patience in routing/queue.py.

Where no cut makes a difference, everything is one class, as under shared-queue. Pure: no clock; ``served`` brings the
times, and the queue the time of day.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from math import ceil, exp, inf
from typing import Annotated, ClassVar, Final

from pydantic import Field

from poolctl.runtime.dispatch.shared_queue import SharedQueue
from poolctl.runtime.known_lines import KnownLines
from poolctl.runtime.queue_view import ClassLimits, QueueView
from poolctl.runtime.task import Task

SHORT: Final = "short"
LONG: Final = "long"
SEPARATION: Final = 5.0  # how many times as long as short ones long ones must take, on average
SEPARATED: Final = 3.0  # how many times, once they are separated
SEEN: Final = 4  # requests of a route that must have been measured
ROUTE_SHARE: Final = 1 / 20  # of a new time in the average of its route
TRIFLE: Final = 0.05  # of a worker's time that needs no worker of its own
BUSY: Final = 0.8  # part of the time that workers may be busy with long ones when one worker less is left for them
THINK_SECONDS: Final = 0.25  # between two cuts
RATE_MEMORY_SECONDS: Final = 2.0  # after which a rate counts for a third
IDLE_SECONDS: Final = 60.0  # after which a route may be forgotten for a new one
FORGET_SECONDS: Final = 1.0  # between two looks for such routes: a scan of random paths must not cost one each
MOST_ROUTES: Final = 512  # further ones are one route
MOST_HEADER_CHARACTERS: Final = 200  # of a value that is the class
SEGMENTS: Final = 6  # of a path; the rest is one
# A segment that names one of many things: a number, a UUID or hash, or anything long.
ID: Final = re.compile(r"\d+|[0-9a-fA-F-]{8,}|.{25,}", re.DOTALL)
OTHERS: Final = "(others)"


class Route:
    """What is known of one route. ``mean``: seconds that a request takes; ``rate``: requests a second; ``arrivals``:
    since the last cut; ``before``: those of earlier times, which count less and less."""

    __slots__ = ("arrivals", "before", "kind", "mean", "name", "rate", "seen", "served")

    def __init__(self, name: str, kind: str, now: float) -> None:
        self.name = name
        self.kind = kind
        self.mean = 0.0
        self.rate = 0.0
        self.served = 0
        self.arrivals = 0
        self.before = 0.0
        self.seen = now


@dataclass
class SizeAware(SharedQueue):
    """Short requests go first, and workers are kept free for them; which are short is learned from the times that
    requests of each method and route take. Any free worker takes the next one. Where times do not differ, this is
    shared-queue."""

    samples: ClassVar[bool] = True

    header: Annotated[
        str, Field(description="name of a header whose value is the class; if left out, the method and the route are")
    ] = ""

    _queue: QueueView | None = field(default=None, init=False, repr=False)
    _routes: dict[str, Route] = field(default_factory=dict, init=False, repr=False)
    _lines: KnownLines[Route] = field(default_factory=KnownLines, init=False, repr=False)
    _limits: dict[str, ClassLimits] = field(default_factory=dict, init=False, repr=False)
    _thought: float = field(default=0.0, init=False, repr=False)
    _watched: float = field(
        default=0.0, init=False, repr=False
    )  # seconds in which requests were counted, as ``before``
    _forgot: float = field(default=-inf, init=False, repr=False)  # when it last looked for routes to forget
    _news: bool = field(default=False, init=False, repr=False)  # has another route been measured?

    @property
    def inspects(self) -> bool:
        return bool(self.header)

    def begin(self, queue: QueueView) -> None:
        self._queue = queue

    def classify(self, task: Task) -> str:
        route = self._lines.found.get(task.line) or self._route(task)
        if not self._thought:
            self._thought = task.arrived
        route.arrivals += 1 if self._queue is None else self._queue.weight
        return route.kind

    def served(self, task: Task, seconds: float) -> None:
        route = self._lines.found.get(task.line) or self._route(task)
        route.served += 1
        self._news |= route.served == SEEN
        route.mean += (seconds - route.mean) * max(ROUTE_SHARE, 1 / route.served)

    def limits(self) -> Mapping[str, ClassLimits]:
        queue = self._queue
        if queue is not None and (self._news or queue.now - self._thought >= THINK_SECONDS):
            self._news = False
            self._count(queue.now)
            self._cut(queue.workers)
        return self._limits

    def learned(self) -> list[tuple[str, str, float, float]]:
        """Return (route, class, mean seconds, requests a second) of each route, the busiest first."""
        known = sorted(self._routes.values(), key=lambda route: -route.rate * route.mean)
        return [(route.name, route.kind, route.mean, route.rate) for route in known]

    # routes

    def _route(self, task: Task) -> Route:
        name = self._name(task)
        route = self._routes.get(name) or self._meet(name)
        route.seen = self._now
        return route if self.header else self._lines.note(task.line, route)

    def _name(self, task: Task) -> str:
        if self.header:
            return (task.header(self.header) or "")[:MOST_HEADER_CHARACTERS]
        first, *segments = task.path.split("/", SEGMENTS + 1)
        folded = [first, *("*" if ID.fullmatch(each) else each for each in segments[:SEGMENTS])]
        return f"{task.method} {'/'.join(folded)}{'/...' * (len(segments) > SEGMENTS)}"

    def _meet(self, name: str) -> Route:
        if len(self._routes) >= MOST_ROUTES and self._now - self._forgot > FORGET_SECONDS:
            self._forget()
        if len(self._routes) >= MOST_ROUTES:
            name = OTHERS
            if name in self._routes:
                return self._routes[name]
        # Nobody knows how long it takes: if short ones are protected, then also from this.
        route = self._routes[name] = Route(name, LONG if self._limits else "", self._now)
        return route

    def _forget(self) -> None:
        """Forget routes that nobody has asked for lately."""
        self._lines.found.clear()
        self._forgot = self._now
        now = self._now
        for route in [route for route in self._routes.values() if now - route.seen > IDLE_SECONDS]:
            del self._routes[route.name]

    @property
    def _now(self) -> float:
        return self._queue.now if self._queue is not None else 0.0

    # the cut

    def _count(self, now: float) -> None:
        """Note how many requests of each route there are in a second."""
        past, self._thought = max(min(now - self._thought, RATE_MEMORY_SECONDS), 0.001), now
        left = exp(-past / RATE_MEMORY_SECONDS)
        self._watched = self._watched * left + past
        for route in self._routes.values():
            if route.arrivals:
                route.seen = now
            route.before = route.before * left + route.arrivals
            route.rate = route.before / self._watched
            route.arrivals = 0

    def _cut(self, workers: int) -> None:
        """Tell short routes from long ones, and keep workers for the short."""
        known = sorted((route for route in self._routes.values() if route.served >= SEEN), key=lambda each: each.mean)
        rates = sum(route.rate for route in known)
        work = sum(route.rate * route.mean for route in known)  # workers that are busy with it
        squares = sum(route.rate * route.mean**2 for route in known)
        least = SEPARATED if self._limits else SEPARATION
        best, gain, load = 0, 0.0, 0.0
        short_rate = short_work = 0.0
        for number, route in enumerate(known[:-1], start=1):
            short_rate += route.rate
            short_work += route.rate * route.mean
            squares -= route.rate * route.mean**2
            long_rate, long_work = rates - short_rate, work - short_work
            if long_rate <= 0 or long_work * short_rate < least * short_work * long_rate:
                continue
            # How many are protected, and from how much: who meets a busy worker meets a long one by its squares.
            if short_rate * squares > gain:
                best, gain, load = number, short_rate * squares, short_work
        if not best:
            self._limits = {}
        else:
            kept = ceil(load - TRIFLE)
            left = workers - kept  # for the long ones
            if work - load > left:
                kept = int(load)
            spare = int(kept > 0 and work - load <= (left - 1) * BUSY)
            self._limits = {SHORT: ClassLimits(reserve=kept, priority=1, spare=spare), LONG: ClassLimits()}
        for route in self._routes.values():
            route.kind = LONG if best else ""
        for route in known[:best]:
            route.kind = SHORT
