"""A choice for each axis, in words, which the rules judge, and the defaults that complete it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from typing import NamedTuple

BASELINES = ("process-per-connection", "thread-per-connection", "iterative")
POOLS = ("process", "thread", *BASELINES)
REACTIVE, ASYNC, LEADER, REUSE_PORT = (
    "half-sync/half-reactive",
    "half-sync/half-async",
    "leader/followers",
    "reuse-port",
)
OWNERSHIPS = (REACTIVE, ASYNC, LEADER, REUSE_PORT)
FRONTED = (REACTIVE, ASYNC)
ACCEPTS = ("front", "worker")
LOCKS = ("kernel", "file", "mutex")
PUSH = ("least-loaded", "round-robin", "random", "power-of-choices")
KERNEL = ("kernel-hash", "random", "client", "cpu")
QUEUES = ("shared-queue", "size-aware")  # all workers take from one queue
DISPATCHES = (*QUEUES, *PUSH, "leader", "kernel-hash", "client", "cpu")
POOL_OPTIONS = ("size", "threads")
OWNERSHIP_OPTIONS = ("accept", "lock")
ASKED = ("header", "cookie", "path")  # affinities that depend on the head of a request
AFFINITIES = ("connection", "request", "client", *ASKED)
NEEDED = {"header": "name", "cookie": "name"}  # the required option of an affinity

MARKS_REQUESTS = {"http": True, "lines": True, "frames": True, "raw": False}


@dataclass(frozen=True)
class Offer:
    """What the rules need to know about the app and its protocol."""

    app: str
    speaks: str  # the app's own protocol
    protocol: str  # the chosen protocol
    marks_requests: bool  # the protocol marks where a request ends
    owns_connection: bool = False  # the app keeps the connection until it returns
    asynchronous: bool = False  # the app is async
    multiplexes: bool = False  # a connection may have several requests in flight
    lendable: bool = True  # the app can answer a complete request on a connection that is lent to it
    needs: str = ""  # the app's required option
    counts: bool = False  # the file sets how many requests a worker serves at once
    adapts: bool = False  # it leaves that number to the front

    @property
    def binds_connection(self) -> bool:
        """Whether a connection cannot be lent for one request."""
        return self.owns_connection or self.multiplexes or self.asynchronous

    def native(self) -> Offer:
        """The service of the same app with the app's own protocol."""
        marks = MARKS_REQUESTS.get(self.speaks, self.marks_requests)
        return replace(self, protocol=self.speaks, marks_requests=marks)


SERVICES = {
    "wsgi": Offer("wsgi", "http", "http", marks_requests=True, needs="target"),
    "asgi": Offer("asgi", "http", "http", marks_requests=True, asynchronous=True, needs="target"),
    "demo": Offer("demo", "http", "http", marks_requests=True),
    "cgi": Offer("cgi", "http", "http", marks_requests=True, needs="program"),
    "static": Offer("static", "http", "http", marks_requests=True, needs="folder"),
    "lines": Offer("lines", "lines", "lines", marks_requests=True, needs="target"),
    "frames": Offer("frames", "frames", "frames", marks_requests=True, needs="target"),
    "echo": Offer("echo", "raw", "raw", marks_requests=False),
    "stream": Offer("stream", "raw", "raw", marks_requests=False, owns_connection=True, needs="target"),
    "async-lines": Offer("async-lines", "lines", "lines", True, asynchronous=True, lendable=False, needs="target"),
    "async-frames": Offer("async-frames", "frames", "frames", True, asynchronous=True, lendable=False, needs="target"),
    "async-stream": Offer(
        "async-stream", "raw", "raw", False, owns_connection=True, asynchronous=True, lendable=False, needs="target"
    ),
}


@dataclass(frozen=True)
class Combination:
    """The words of one server. None stands for an axis that is not set or does not apply.

    In a complete one, None remains for ``accept`` outside half-sync/half-async, for ``lock`` outside leader/followers,
    and under a baseline for everything that belongs to a pool.
    """

    service: Offer
    pool: str = "process"
    size: int | str | None = None
    threads: int | None = None  # in each process
    ownership: str | None = None
    accept: str | None = None
    lock: str | None = None
    dispatch: str | None = None
    affinity: str | None = None
    schemes: tuple[str, ...] = ("tcp",)  # of the listening addresses
    # The names of plugins in the file, by axis; the axis itself has the word that the plugin is like.
    names: tuple[tuple[str, str], ...] = ()
    inspects: bool = False  # the strategy looks at the head of a request
    finishes: bool = False  # the strategy is notified when a task is done

    def shown(self, axis: str) -> str:
        """The word of an axis, or the name of its plugin, as in the file."""
        return dict(self.names).get(axis) or str(getattr(self, axis))

    @property
    def tunnels(self) -> bool:
        """Whether a client of TLS needs a pair of sockets (runtime/listen/tls_door.py), because a worker to which its
        connection is lent, or the app that owns it, reads and writes a descriptor."""
        return self.ownership == REACTIVE or (self.service.owns_connection and not self.service.asynchronous)

    @property
    def queues_in_front(self) -> bool:
        """Whether tasks wait in the front for a free worker, because each worker serves several at once. Otherwise the
        tasks of a shared queue wait in the inbox of all workers."""
        several = (self.threads or 1) > 1 or self.service.asynchronous
        return self.dispatch in QUEUES and self.ownership == REACTIVE and several

    @property
    def bounds_waiting(self) -> bool:
        """Whether what waits does so in a queue of poolctl's, where ``overload`` bounds the time."""
        return self.ownership == REACTIVE or (self.ownership == ASYNC and self.accept == "front")

    @property
    def baseline(self) -> bool:
        """Whether there is no pool."""
        return self.pool in BASELINES

    @property
    def shares_connections(self) -> bool:
        """Whether any worker may serve any ready request, because connections do not belong to workers."""
        return self.ownership == REACTIVE or (
            self.ownership == LEADER
            and self.pool == "thread"
            and self.lock == "kernel"
            and not self.service.asynchronous
        )

    def written(self) -> frozenset[str]:
        """The names of the axes that are set."""
        return frozenset(field.name for field in fields(self) if getattr(self, field.name) is not None)


class Default(NamedTuple):
    """A default: the word of an axis that the file leaves out, and the condition for it."""

    axis: str
    word: str | int
    suits: Callable[[Combination], bool]


# Applied in this order; the first suitable default of an axis wins, and later conditions may use earlier axes.
DEFAULTS = (
    Default("size", "auto", lambda c: not c.baseline),
    Default("threads", 1, lambda c: c.pool == "process"),
    Default("ownership", REACTIVE, lambda c: c.service.counts and not c.baseline),
    # Only under half-sync/half-reactive does the front know the head of a request and when the request is done.
    Default("ownership", REACTIVE, lambda c: (c.inspects or c.finishes or c.affinity in ASKED) and not c.baseline),
    # Slow clients occupy no worker, and no request waits behind another while a worker is free.
    Default(
        "ownership", REACTIVE, lambda c: not c.baseline and c.service.marks_requests and not c.service.binds_connection
    ),
    Default("ownership", ASYNC, lambda c: not c.baseline),
    Default("accept", "front", lambda c: c.ownership == ASYNC),
    Default("lock", "kernel", lambda c: c.ownership == LEADER),
    Default("affinity", "request", lambda c: c.shares_connections and c.service.marks_requests),
    Default("affinity", "connection", lambda c: True),
    Default("dispatch", "shared-queue", lambda c: c.ownership == REACTIVE and c.affinity == "request"),
    # Where connections stay with their workers, a queue would give most of them to the worker that asks first.
    Default("dispatch", "least-loaded", lambda c: c.ownership in FRONTED),
    Default("dispatch", "leader", lambda c: c.ownership == LEADER),
    Default("dispatch", "client", lambda c: c.ownership == REUSE_PORT and c.affinity == "client"),
    Default("dispatch", "kernel-hash", lambda c: c.ownership == REUSE_PORT),
)


def complete(given: Combination) -> Combination:
    """The combination with the defaults of all axes that are not set."""
    done = given
    for default in DEFAULTS:
        if getattr(done, default.axis) is None and default.suits(done):
            done = replace(done, **{default.axis: default.word})  # type: ignore[arg-type]  # the axis knows its type
    return done
