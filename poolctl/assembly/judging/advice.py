"""Warnings about valid but unwise settings, with the reason. A topology with warnings can be run."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import NamedTuple, Protocol

from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from poolctl.assembly.fitting import size
from poolctl.assembly.fitting.combination import ASKED, ASYNC, FRONTED, REACTIVE, REUSE_PORT, Combination
from poolctl.config.choice import path_of_option, place_of_name
from poolctl.config.diagnostic import Diagnostic, Label, Place
from poolctl.config.model import Choice, Topology
from poolctl.config.node_checks import place_of
from poolctl.config.tree import Path, Tree


class Judged(Protocol):
    """The part of a judged topology that the advice uses."""

    tree: Tree
    choices: dict[str, Choice]
    topology: Topology | None
    combination: Combination | None

    @property
    def workers(self) -> int:
        """Processes or threads of the pool; 0 under a baseline."""


class Facts(NamedTuple):
    """The facts that the advice depends on. ``written`` has the axes that the file sets."""

    topology: Topology
    chosen: Combination
    workers: int  # processes or threads
    written: frozenset[str]
    cores: int

    @property
    def tasks(self) -> int:
        """The number of threads that take tasks."""
        return self.workers * (self.chosen.threads or 1)


class Advice(NamedTuple):
    """An unwise setting.

    ``at`` is the key that it is about. ``against`` is the axis that it conflicts with, whose choice is shown too. The
    texts may use words of the combination.
    """

    code: str
    at: str
    applies: Callable[[Facts], bool]
    reason: str
    help: str
    against: str = ""


ANYBODY = ("0.0.0.0/0", "::/0")


def _one_address(facts: Facts) -> bool:
    """Whether all clients have the same address. With the PROXY protocol each has its own, even behind a proxy."""
    topology = facts.topology
    proxied = topology.forwarded is not None
    return all((proxied or each.scheme == "unix") and not each.proxy_protocol for each in topology.listen)


# For each affinity, the unit that a strategy is asked about only once, as later requests follow the first one.
ONCE = {
    "connection": "each connection",
    "client": "each client",
    "header": "each session",
    "cookie": "each session",
    "path": "each path",
}


def _blocks(chosen: Combination) -> bool:
    """Whether a thread serves one request at a time. Async apps serve many, and an app that owns its connections has a
    thread for each."""
    return not chosen.service.asynchronous and not chosen.service.owns_connection


ADVICE = (
    Advice(
        "PC501",
        "pool",
        lambda f: f.chosen.pool == "process" and f.chosen.size == 1 and f.tasks == 1 and _blocks(f.chosen),
        "one process with one thread answers one request at a time: a slow one makes all others wait",
        "leave out pool.size for one process per core, or add pool.threads",
    ),
    Advice(
        "PC502",
        "affinity",
        lambda f: f.chosen.affinity == "client" and f.workers > 1 and _one_address(f),
        "behind a proxy or a unix socket all clients have the same address, so affinity client sends all of them to one"
        " worker",
        "choose affinity request or connection, or let the proxy choose between several servers",
    ),
    Advice(
        "PC503",
        "dispatch",
        lambda f: "dispatch" in f.written and f.chosen.size == 1 and f.chosen.ownership in (*FRONTED, REUSE_PORT),
        "with one worker there is nothing to choose: dispatch {dispatch} has no effect",
        "leave out dispatch, or give the pool more workers",
    ),
    Advice(
        "PC503",
        "affinity",
        lambda f: "affinity" in f.written and f.chosen.size == 1 and f.chosen.affinity in ("client", *ASKED),
        "with one worker everything goes to the same one: affinity {affinity} has no effect",
        "leave out affinity, or give the pool more workers",
    ),
    Advice(
        "PC511",
        "dispatch",
        lambda f: f.chosen.inspects and f.chosen.ownership == REACTIVE and f.chosen.affinity in ONCE and f.workers > 1,
        "{dispatch} looks at every request, but under affinity {affinity} it only sees the first of {once}: all others"
        " follow that one, whatever they ask for",
        "choose affinity request, or a dispatch that does not look at requests (least-loaded)",
        against="affinity",
    ),
    Advice(
        "PC504",
        "limits.connections",
        lambda f: f.tasks > f.topology.limits.connections,
        "the pool has more threads than limits.connections allows connections: the rest never get work",
        "make the pool smaller, or raise limits.connections",
    ),
    Advice(
        "PC505",
        "timeouts.drain",
        lambda f: f.topology.timeouts.request is not None and f.topology.timeouts.drain < f.topology.timeouts.request,
        "a request may take longer than the drain: a stop may cut off requests that are within their time limit",
        "make timeouts.drain at least as long as timeouts.request",
    ),
    Advice(
        "PC507",
        "forwarded",
        lambda f: f.topology.forwarded is not None and any(net in ANYBODY for net in f.topology.forwarded.trust),
        "every client may claim any address: addresses in the access log and in the app cannot be relied on",
        "trust the addresses of your proxies only",
    ),
    Advice(
        "PC509",
        "dispatch",
        lambda f: f.chosen.dispatch == "cpu" and f.workers > f.cores,
        "there are more workers than cores here: dispatch cpu gives the rest no connections",
        "write pool: {size: auto} for one per core, or choose dispatch kernel-hash",
    ),
    Advice(
        "PC510",
        "ownership",
        lambda f: (
            f.chosen.ownership == ASYNC
            and f.chosen.accept == "front"
            and f.chosen.dispatch == "shared-queue"
            and f.workers > 1
        ),
        "the workers that ask first take most connections from a shared queue and keep them: the load is uneven",
        "choose dispatch least-loaded, or ownership half-sync/half-reactive, which lends single requests",
    ),
)
BARE = r"(?<!\$)(?:\$\$)*\$([A-Z_][A-Z0-9_]*)(?![A-Za-z0-9_])"


def advice(judged: Judged) -> Iterator[Diagnostic]:
    """The warnings about a valid topology."""
    topology, chosen = judged.topology, judged.combination
    if topology is None or chosen is None:
        return
    written = frozenset(judged.choices)
    facts = Facts(topology, chosen, judged.workers, written, size.usable_cores())
    words = {"once": ONCE.get(str(chosen.affinity), ""), **vars(chosen), **dict(chosen.names)}
    for each in ADVICE:
        if each.applies(facts):
            reason = each.reason.format_map(words)
            place, related = _place(judged, each.at), _against(judged, chosen, each.against)
            yield Diagnostic(each.code, reason, place, each.help, related, severity="warning")
    yield from _passwords(judged, topology)
    if "$" in judged.tree.file.text:
        yield from _bare(judged)


def _against(judged: Judged, chosen: Combination, axis: str) -> tuple[Label, ...]:
    choice = judged.choices.get(axis)
    if choice is None:
        return ()
    return (Label(place_of_name(judged.tree, choice), f"{axis} is {chosen.shown(axis)}"),)


def _place(judged: Judged, at: str) -> Place:
    choice = judged.choices.get(at)
    tree = judged.tree
    if choice is not None:
        path = path_of_option(tree, choice, ("size",))
        return tree.at_key(path) if at == "pool" and tree.has(path) else place_of_name(tree, choice)
    path = tuple(at.split("."))
    if tree.has(path):
        return tree.at_value(path)
    others = ("pool", "ownership", "app") if at.startswith(("limits", "ownership", "dispatch")) else ("timeouts", "app")
    return next(tree.at_value((other,)) for other in others if tree.has((other,)))


def _passwords(judged: Judged, topology: Topology) -> Iterator[Diagnostic]:
    tree = judged.tree
    for index, address in enumerate(topology.listen):
        if address.tls is None:
            continue
        base: Path = ("listen", index, "tls") if tree.has(("listen", index)) else ("listen", "tls")
        keys = [(*base, "password"), *((*base, "names", name, "password") for name in address.tls.names)]
        for path in keys:
            if tree.has(path) and tree.value_at(path) and not tree.variables(path):
                message = "a password in the file can be read by everyone who can read the file"
                help_ = "put it in a file of its own (password_file), or in a variable: ${TLS_PASSWORD}"
                yield Diagnostic("PC508", message, tree.at_key(path), help_, severity="warning")


def _bare(judged: Judged) -> Iterator[Diagnostic]:
    """Warnings about values with a $NAME, which is not substituted as in a shell."""
    tree = judged.tree
    seen: set[int] = set()

    def visit(node: Node | None) -> Iterator[Diagnostic]:
        if node is None or id(node) in seen:
            return
        seen.add(id(node))
        if isinstance(node, MappingNode):
            for _, value in node.value:
                yield from visit(value)
        elif isinstance(node, SequenceNode):
            for value in node.value:
                yield from visit(value)
        elif isinstance(node, ScalarNode) and "$" in node.value:
            source = tree.sources[node.start_mark.name]
            written = source.text[node.start_mark.index : node.end_mark.index]
            found = re.search(BARE, written)
            if found:
                message = f"${found[1]} is plain text: without braces no variable is substituted"
                help_ = f"write ${{{found[1]}}} for the variable, or $${found[1]} for the text"
                yield Diagnostic("PC506", message, place_of(source, node), help_, severity="warning")

    yield from visit(tree.root)
