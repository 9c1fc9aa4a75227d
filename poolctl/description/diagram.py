"""A topology as data that can be drawn: its processes, the sockets that they hold, and the path of a request.

Diagram      the whole
  Box        a process, thread, socket or queue, with the boxes inside it; one box may stand for several
  Arrow      what passes from one box to another
  Choice     one axis: its word, where it was chosen, its benefit and its cost
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal, NamedTuple

from poolctl.assembly.fitting import size
from poolctl.assembly.fitting.combination import ASYNC, LEADER, QUEUES, REACTIVE, REUSE_PORT, Combination
from poolctl.assembly.judging.judge import Judgement
from poolctl.config.choice import name_key
from poolctl.config.model import Topology
from poolctl.description import diagram_texts as texts
from poolctl.description.complete_file import value
from poolctl.description.settings import settings
from poolctl.runtime.system.cpus import usable_cpus

PASSED = {"fd": "opened by the process that starts poolctl", "systemd": "opened by systemd"}

Kind = Literal["client", "process", "thread", "socket", "queue"]


class Box(NamedTuple):
    """``name`` is unique in a diagram. ``number``: how many it stands for."""

    name: str
    kind: Kind
    title: str
    about: str = ""
    number: int = 1
    inside: tuple[Box, ...] = ()


class Arrow(NamedTuple):
    source: str
    target: str
    label: str


class DiagramChoice(NamedTuple):
    """``origin``: the place in the file, or "default". ``options``: those of a plugin, which poolctl's documentation
    does not explain, and how a pool of size auto got its number."""

    axis: str
    word: str
    origin: str
    gives: str
    costs: str
    options: tuple[str, ...] = ()


class Diagram(NamedTuple):
    name: str
    summary: str
    clients: Box
    listeners: tuple[Box, ...]
    processes: Box  # the supervisor, with everything below it
    arrows: tuple[Arrow, ...]
    steps: tuple[str, ...]
    choices: tuple[DiagramChoice, ...]
    designs: tuple[str, ...]  # classic designs that it is equivalent or close to


def diagram(judgement: Judgement) -> Diagram:
    """Return the diagram of a valid topology."""
    topology, chosen = judgement.topology, judgement.combination
    assert topology is not None
    assert chosen is not None  # callers have checked for errors
    scene = _Scene(topology, chosen, judgement.workers)
    return Diagram(
        topology.name,
        texts.summary(chosen, judgement.workers),
        Box("clients", "client", "clients"),
        scene.listeners(),
        scene.supervisor(),
        tuple(scene.arrows()),
        tuple(texts.steps(topology, chosen)),
        tuple(_choices(judgement, chosen)),
        tuple(texts.designs(chosen)),
    )


class _Scene:
    """The boxes of one topology."""

    def __init__(self, topology: Topology, chosen: Combination, workers: int) -> None:
        self.topology = topology
        self.chosen = chosen
        self.workers = workers
        self.fronted = chosen.ownership in (REACTIVE, ASYNC)
        self.threads = chosen.pool == "thread"

    def listeners(self) -> tuple[Box, ...]:
        """Return a box for each address; under reuse-port it stands for a group of sockets."""
        group = self.chosen.ownership == REUSE_PORT
        return tuple(
            Box(
                f"listen{index}",
                "socket",
                str(address),
                f"one socket for each of {self.workers} workers" if group else PASSED.get(address.scheme, ""),
                self.workers if group else 1,
            )
            for index, address in enumerate(self.topology.listen)
        )

    def supervisor(self) -> Box:
        """Return the tree of processes."""
        mold = Box("mold", "process", "mold", "forks the roles, and restarts them when they die", 1, self._roles())
        about = "holds the listening sockets; no user code, no traffic"
        return Box("supervisor", "process", "supervisor", about, 1, (mold,))

    def _roles(self) -> tuple[Box, ...]:
        if self.chosen.baseline:
            return (self._baseline(),)
        inside = (*self._front(), *self._queues(), self._pool())
        if self.threads:
            return (Box("role", "process", "threads", "the one process that has all threads", 1, inside),)
        return inside

    def _baseline(self) -> Box:
        kind: Kind = "thread" if self.chosen.pool == "thread-per-connection" else "process"
        if self.chosen.pool == "iterative":
            return Box("worker", "process", "server", "accepts and serves one client after another")
        per = Box("worker", kind, f"a {kind} for each client", "starts when the client connects, ends when it leaves")
        return Box("role", "process", "server", f"accepts, and starts a {kind} for each client", 1, (per,))

    def _front(self) -> Iterator[Box]:
        if self.fronted:
            yield Box("front", "thread" if self.threads else "process", "front", texts.FRONT[self._owner()])

    def _owner(self) -> str:
        if self.chosen.ownership == ASYNC:
            return f"{ASYNC}, accept {self.chosen.accept}"
        return str(self.chosen.ownership)

    def _queues(self) -> Iterator[Box]:
        if not self.fronted:
            return
        shared = self.chosen.dispatch in QUEUES and not self.chosen.queues_in_front
        about = "one for all workers" if shared else "one for each worker"
        if self.chosen.queues_in_front:
            about += ", holding what it can start immediately; the rest waits in the front"
        yield Box("inbox", "queue", "inbox", about, 1 if shared else self.workers)

    def _pool(self) -> Box:
        threads = self.chosen.threads or 1
        about = texts.WORKER[str(self.chosen.ownership)]
        if self.threads:
            return Box("worker", "thread", "worker", about, self.workers)
        inside = (Box("thread", "thread", "thread", "serves one request at a time", threads),) if threads > 1 else ()
        return Box("worker", "process", "worker", about, self.workers, inside)

    def arrows(self) -> Iterator[Arrow]:
        """Yield the paths of connections and requests."""
        first = "front" if self.fronted else "role" if self.chosen.pool in texts.MAKERS else "worker"
        for listener in self.listeners():
            yield Arrow("clients", listener.name, "connect")
            yield Arrow(listener.name, first, texts.ACCEPTS[self.chosen.ownership or self.chosen.pool])
        if self.fronted:
            unit = "a request" if self.chosen.ownership == REACTIVE else "a connection"
            yield Arrow("front", "inbox", f"{unit}, by {self.chosen.shown('dispatch')}")
            yield Arrow("inbox", "worker", "takes it")
        if self.chosen.ownership == REACTIVE:
            yield Arrow("worker", "front", "returns the connection")
        if first == "role":
            yield Arrow("role", "worker", "a connection")


def _choices(judgement: Judgement, chosen: Combination) -> Iterator[DiagramChoice]:
    words = {
        "pool": chosen.pool if (chosen.threads or 1) == 1 else f"{chosen.pool} with threads",
        "ownership": chosen.ownership,
        "dispatch": chosen.dispatch,
        "affinity": chosen.affinity,
    }
    for axis, word in words.items():
        if word is None or (chosen.baseline and axis == "affinity"):
            continue
        gives, costs = texts.ABOUT[axis][word]
        if axis == "ownership" and word == LEADER and chosen.pool == "process":
            gives, costs = texts.LEADING_PROCESSES
        if word == "shared-queue":
            gives, costs = texts.of_shared_queue(chosen)
        plugin = judgement.plugins.get(axis)
        if plugin:
            costs = f"a plugin from {plugin.reference.origin}; it fits where {word} does"
            gives = plugin.description.sentence or gives
            yield DiagramChoice(axis, plugin.name, _origin(judgement, axis), gives, costs, _options(judgement, axis))
        else:
            number = _size(chosen) if axis == "pool" else ()
            yield DiagramChoice(axis, word, _origin(judgement, axis), gives, costs, number)
    for axis in ("app", "protocol"):  # only plugins of these axes need an explanation
        plugin = judgement.plugins.get(axis)
        if plugin:
            costs = f"a plugin from {plugin.reference.origin}"
            gives = plugin.description.sentence or "it has no docstring"
            yield DiagramChoice(axis, plugin.name, _origin(judgement, axis), gives, costs, _options(judgement, axis))


def _size(chosen: Combination) -> tuple[str, ...]:
    """Return what `size: auto` stands for on this host, and why; empty for a number and for a baseline."""
    text = "" if chosen.size is None else size.explained(chosen.pool, chosen.size, usable_cpus())
    return (f"size: {text}",) if text else ()


def _options(judgement: Judgement, axis: str) -> tuple[str, ...]:
    """Return each option with its effective value and the value's source."""
    own = [
        each for each in settings(judgement) if each.path[0] == axis and each.path[1:] not in ((), (name_key(axis),))
    ]
    return tuple(
        f"{'.'.join(map(str, each.path[1:]))}: {'(masked)' if each.secret else value(each.shown)}  ({each.source})"
        for each in own
    )


def _origin(judgement: Judgement, axis: str) -> str:
    if axis not in judgement.choices:
        return "default"
    place = judgement.tree.at_value((axis,))
    return f"{place.source.name}:{place.span.line + 1}" if place.source.is_file else place.source.name
