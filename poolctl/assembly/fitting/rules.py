"""What fits with what: one table of rules about words, which `validate` applies and the matrix test walks.

The file is long because it is a table with an entry for each rule.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from functools import lru_cache
from itertools import product
from typing import Any, NamedTuple

from poolctl.assembly.fitting.combination import (
    ACCEPTS,
    AFFINITIES,
    ASKED,
    ASYNC,
    BASELINES,
    DISPATCHES,
    FRONTED,
    KERNEL,
    LEADER,
    LOCKS,
    OWNERSHIPS,
    POOLS,
    PUSH,
    QUEUES,
    REACTIVE,
    REUSE_PORT,
    SERVICES,
    Combination,
    Offer,
    complete,
)

NEEDS_FRONT = (*QUEUES, *(word for word in PUSH if word not in KERNEL))


class Rule(NamedTuple):
    """A rule about something that does not fit, with the axis at fault. The reason may use words of the combination."""

    axis: str
    refuses: Callable[[Combination], bool]
    reason: str


class Refusal(NamedTuple):
    """Why a rule refuses a combination."""

    axis: str
    reason: str
    rule: Rule


NO_POOL = {
    "process-per-connection": "process-per-connection starts a process for each client",
    "thread-per-connection": "thread-per-connection starts a thread for each client",
    "iterative": "iterative serves one client after the other in one process",
}


def _pool_axis(axis: str, what: str) -> list[Rule]:
    """A rule for each baseline that refuses an axis of the pool, with a reason of its own."""
    return [
        Rule(axis, lambda c, word=word: c.pool == word and getattr(c, axis) is not None, f"{model}, {what}")  # type: ignore[misc]  # a lambda with a default
        for word, model in NO_POOL.items()
    ]


RULES: tuple[Rule, ...] = (
    # The app and its protocol.
    Rule(
        "protocol",
        lambda c: c.service.protocol != c.service.speaks,
        "the app {app} speaks the protocol {speaks}, not {protocol}",
    ),
    # Baselines have no pool, so nothing that belongs to one.
    *_pool_axis("size", "so it has no pool size"),
    *_pool_axis("threads", "so it has no pool threads"),
    *_pool_axis("ownership", "so it has no workers to divide sockets between"),
    *_pool_axis("dispatch", "so it has no workers to choose from"),
    Rule(
        "affinity",
        lambda c: c.baseline and c.affinity != "connection",
        "under {pool} the worker that accepts a connection serves all of it, so the affinity is connection",
    ),
    # Dispatch needs something to choose from.
    Rule(
        "dispatch",
        lambda c: c.ownership == LEADER and c.dispatch != "leader",
        "under leader/followers the leader takes each task itself, so no front can dispatch by {dispatch}",
    ),
    Rule(
        "dispatch",
        lambda c: c.ownership in (*FRONTED, REUSE_PORT) and c.dispatch == "leader",
        "only leader/followers has a leader; {ownership} has none to take the task",
    ),
    Rule(
        "dispatch",
        lambda c: c.ownership == REUSE_PORT and c.dispatch in NEEDS_FRONT,
        "under reuse-port the kernel chooses the worker, so no front can dispatch by {dispatch}",
    ),
    Rule(
        "dispatch",
        lambda c: c.ownership in FRONTED and c.dispatch in KERNEL and c.dispatch != "random",
        "{dispatch} is the kernel's choice between the sockets of reuse-port; {ownership} has one socket, in the front",
    ),
    Rule(
        "dispatch",
        lambda c: c.inspects and c.ownership in FRONTED and (c.ownership != REACTIVE or c.service.protocol != "http"),
        "{dispatch} looks at what a request asks for, which only the front of half-sync/half-reactive reads, and only"
        " for the protocol http",
    ),
    Rule(
        "dispatch",
        lambda c: (
            c.dispatch == "size-aware"
            and c.ownership in FRONTED
            and (c.ownership != REACTIVE or c.service.protocol != "http")
        ),
        "{dispatch} learns how long the requests of each route take, which only the front of half-sync/half-reactive"
        " sees, and only for the protocol http",
    ),
    Rule(
        "dispatch",
        lambda c: c.finishes and c.ownership == ASYNC,
        "{dispatch} needs to know when a task is done, but under half-sync/half-async the front never gets a"
        " connection back",
    ),
    # Affinity request needs connections that do not belong to workers.
    Rule(
        "affinity",
        lambda c: c.affinity == "request" and not c.service.marks_requests,
        "the protocol {protocol} does not mark where a request ends, so requests of a connection cannot be told apart",
    ),
    Rule(
        "affinity",
        lambda c: c.affinity == "request" and c.ownership in (ASYNC, REUSE_PORT),
        "under {ownership} a connection belongs to its worker until it closes, so its requests cannot go elsewhere",
    ),
    Rule(
        "affinity",
        lambda c: c.affinity == "request" and c.ownership == LEADER and c.pool == "process",
        "under leader/followers a process keeps the connections that it accepted; only threads share them",
    ),
    Rule(
        "affinity",
        lambda c: c.affinity == "request" and c.ownership == LEADER and c.pool == "thread" and c.lock != "kernel",
        "with lock {lock} a follower keeps the connections that it accepted; only lock kernel shares them",
    ),
    # Affinity client needs a process that knows the client's address before a worker is chosen.
    Rule(
        "affinity",
        lambda c: c.affinity == "client" and c.ownership == LEADER,
        "under leader/followers nothing reads the client's address before a worker has the connection",
    ),
    Rule(
        "affinity",
        lambda c: c.affinity == "client" and c.ownership == REUSE_PORT and c.dispatch != "client",
        "under reuse-port only dispatch client looks at the client's address; {dispatch} does not",
    ),
    Rule(
        "affinity",
        lambda c: c.affinity == "client" and c.ownership == ASYNC and c.accept == "worker",
        "with accept worker nothing reads the client's address before a worker has the connection",
    ),
    # Affinities that depend on what a request asks for need a front that reads it.
    Rule(
        "affinity",
        lambda c: c.affinity in ASKED and not c.baseline and (c.ownership != REACTIVE or c.service.protocol != "http"),
        "affinity {affinity} looks at what a request asks for, which only the front of half-sync/half-reactive reads,"
        " and only for the protocol http",
    ),
    # A single inbox for all workers cannot keep anything with one of them.
    Rule(
        "dispatch",
        lambda c: c.dispatch in QUEUES and c.affinity == "client" and c.ownership in FRONTED,
        "a shared queue is one inbox for all workers, so it cannot keep a client with one of them",
    ),
    Rule(
        "dispatch",
        lambda c: c.dispatch in QUEUES and c.affinity == "connection" and c.ownership == REACTIVE,
        "a shared queue is one inbox for all workers, so it cannot keep a connection's requests with one of them",
    ),
    Rule(
        "dispatch",
        lambda c: c.dispatch in QUEUES and c.affinity in ASKED and c.ownership in FRONTED,
        "a shared queue is one inbox for all workers, so it cannot keep requests of one {affinity} with one of them",
    ),
    # Ownership.
    Rule(
        "ownership",
        lambda c: c.ownership == REACTIVE and c.service.owns_connection,
        "half-sync/half-reactive lends a connection for one request, but the app {app} owns it until it returns",
    ),
    Rule(
        "ownership",
        lambda c: c.ownership == REACTIVE and c.service.asynchronous and not c.service.lendable,
        "half-sync/half-reactive lends a connection for one request, but the app {app} is async and keeps its"
        " connections",
    ),
    Rule(
        "ownership",
        lambda c: c.service.counts and c.ownership not in (REACTIVE, None),
        "concurrency counts the requests that are lent to a worker at once, but {ownership} lends none",
    ),
    Rule(
        "affinity",
        lambda c: c.service.asynchronous and c.affinity == "request" and c.ownership == LEADER and c.pool == "thread",
        "the app {app} is async: it runs in the event loop of one thread, which keeps the connections that it accepted",
    ),
    Rule(
        "threads",
        lambda c: c.service.asynchronous and (c.threads or 1) > 1,
        "the app {app} is async: one thread serves many requests at once, so more threads in its process add nothing",
    ),
    Rule(
        "pool",
        lambda c: c.service.asynchronous and c.baseline,
        "{pool} serves each client in blocking code, but the app {app} is async",
    ),
    Rule(
        "ownership",
        lambda c: c.ownership == REACTIVE and c.service.multiplexes,
        "half-sync/half-reactive lends a connection for one request, but HTTP/2 has several in flight on one",
    ),
    Rule(
        "lock",
        lambda c: c.lock == "file" and (c.pool != "process" or (c.threads or 1) > 1),
        "a file lock is held by a whole process, so it cannot choose between threads",
    ),
    Rule("lock", lambda c: c.lock == "mutex" and c.pool == "process", "a mutex chooses between threads, not processes"),
    Rule(
        "ownership",
        lambda c: c.ownership == REUSE_PORT and any(scheme != "tcp" for scheme in c.schemes),
        "reuse-port opens a socket for each worker, which only tcp:// addresses allow",
    ),
)


def fits(combination: Combination) -> list[Refusal]:
    """The reasons why a complete combination cannot work; empty when it can."""
    refusing = [rule for rule in RULES if rule.refuses(combination)]
    if not refusing:
        return []
    names = vars(combination) | vars(combination.service) | dict(combination.names)
    return [Refusal(rule.axis, rule.reason.format_map(names), rule) for rule in refusing]


def combinations(
    services: Iterable[Offer] | None = None, threads: int = 2, affinities: Sequence[str] = AFFINITIES
) -> Iterator[Combination]:
    """All combinations of all words, valid or not. ``threads`` is the number for processes with several threads.

    ``affinities`` are those to combine; by default those that are in AFFINITIES.
    """
    for service in SERVICES.values() if services is None else services:
        for word in BASELINES:
            yield from (Combination(service, word, affinity=affinity) for affinity in affinities)
        pools = (("process", 1), ("process", threads), ("thread", None))
        for (pool, number), owner, dispatch, affinity in product(pools, _owners(), DISPATCHES, affinities):
            ownership, accept, lock = owner
            yield Combination(service, pool, "auto", number, ownership, accept, lock, dispatch, affinity)


def _owners() -> Iterator[tuple[str, str | None, str | None]]:
    for ownership in OWNERSHIPS:
        if ownership == ASYNC:
            yield from ((ownership, accept, None) for accept in ACCEPTS)
        elif ownership == LEADER:
            yield from ((ownership, None, lock) for lock in LOCKS)
        else:
            yield ownership, None, None


# The cost of changing an axis: the least important first.
WEIGHTS = {"affinity": 1, "dispatch": 2, "lock": 3, "accept": 3, "ownership": 4, "threads": 5, "size": 5, "pool": 6}


def nearest(combination: Combination, written: Iterable[str] = ()) -> Combination:
    """The closest valid combination: it keeps as much as possible of what the user wrote, then changes the fewest axes.

    ``written`` are the axes that the file sets; the others are defaults, which are cheap to change.
    """
    return _nearest(combination, frozenset(written))


@lru_cache(maxsize=256)
def _nearest(combination: Combination, kept: frozenset[str]) -> Combination:
    threads = max(combination.threads or 1, 2)
    service = combination.service.native()
    asked = combination.affinity if combination.affinity in ASKED else None
    candidates = [_with(candidate, combination) for candidate in _allowed(service, threads, combination.schemes, asked)]
    if combination.inspects or combination.finishes:
        candidates = [each for each in candidates if not fits(each)]
    alone = _without_pool(combination, service)
    if combination.baseline and not fits(alone):
        candidates.insert(0, alone)
    best, price = None, None
    for tried in candidates:
        cost = _price(combination, tried, kept)
        if price is not None and cost > price:
            continue
        if best is None or cost != price or _strange(combination, tried) < _strange(combination, best):
            best, price = tried, cost
    assert best is not None  # half-sync/half-async with its defaults suits every service
    return best


@lru_cache(maxsize=64)
def _allowed(service: Offer, threads: int, schemes: tuple[str, ...], asked: str | None) -> tuple[Combination, ...]:
    """The valid combinations for a service, whatever the number of workers. ``asked`` is an affinity that needs an
    option, which only the file can give."""
    affinities = (*AFFINITIES, *([asked] if asked else []))
    found = (replace(each, schemes=schemes) for each in combinations([service], threads, affinities))
    return tuple(each for each in found if not fits(each))


def _with(candidate: Combination, given: Combination) -> Combination:
    """The candidate with what does not depend on the rules: the addresses and the number of workers."""
    size = None if candidate.baseline else given.size or "auto"
    kept = candidate.dispatch == given.dispatch  # the needs of a strategy go with it
    return replace(
        candidate,
        schemes=given.schemes,
        size=size,
        names=given.names,
        inspects=kept and given.inspects,
        finishes=kept and given.finishes,
    )


def _without_pool(combination: Combination, service: Offer) -> Combination:
    return Combination(service, combination.pool, affinity="connection", schemes=combination.schemes)


def _price(given: Combination, candidate: Combination, kept: frozenset[str]) -> tuple[int, int, int]:
    changed = differing(given, candidate)
    asked = [axis for axis in changed if axis in kept]
    own = [axis for axis, _ in given.names if axis in changed]  # a plugin or a session is in the file on purpose
    own += ["affinity"] if given.affinity in ASKED and "affinity" in changed else []
    return len(asked) + len(own), len(changed), sum(WEIGHTS[axis] for axis in changed)


def _strange(given: Combination, candidate: Combination) -> int:
    """The number of changed axes that are not at their default: of two equal candidates the more usual one wins."""
    return sum(_by_default(candidate, axis) != getattr(candidate, axis) for axis in differing(given, candidate))


def _by_default(candidate: Combination, axis: str) -> object:
    if axis == "pool":
        return POOLS[0]
    without: dict[str, Any] = {axis: None}
    return getattr(complete(replace(candidate, **without)), axis)


def differing(given: Combination, candidate: Combination) -> list[str]:
    """The axes in which two combinations differ. An option of an ownership counts only if both have that ownership."""
    changed = [axis for axis in WEIGHTS if getattr(given, axis) != getattr(candidate, axis)]
    both = {axis for axis in changed if getattr(given, axis) is not None and getattr(candidate, axis) is not None}
    if (given.threads or 1) > 1:
        both.add("threads")  # more than one is never the default
    return [axis for axis in changed if axis in both or axis not in ("lock", "accept", "threads") or given.baseline]
