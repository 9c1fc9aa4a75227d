"""Checks the limits of the kernel against the needs of the topology."""

from __future__ import annotations

import resource
from collections.abc import Iterator
from typing import TYPE_CHECKING

from poolctl.assembly.fitting.combination import FRONTED, QUEUES, REACTIVE, REUSE_PORT
from poolctl.assembly.fitting.seats import seats
from poolctl.config.diagnostic import Diagnostic, Place

if TYPE_CHECKING:
    from poolctl.assembly.fitting.combination import Combination
    from poolctl.assembly.judging.judge import Judgement
    from poolctl.config.model import Topology

PROBE = 2  # sockets
SPARE = 256  # descriptors of a process that are not connections
UNBOUNDED = 1 << 62
START = 32  # descriptors of the mold before any channel is opened
QUEUE = "/proc/sys/net/core/somaxconn"


def pairs(topology: Topology, chosen: Combination) -> bool:
    """Whether a connection may have a pair of sockets too, since TLS is spoken for others."""
    return chosen.tunnels and any(address.tls for address in topology.listen)


def descriptors(connections: int, *, paired: bool) -> int:
    """The descriptors that a process with all connections needs. ``paired``: each connection has a pair of sockets."""
    return connections * (3 if paired else 1) + SPARE


def raise_descriptors(needed: int) -> None:
    """Raise the soft limit of descriptors to ``needed``, as far as the hard limit allows."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = needed if hard == resource.RLIM_INFINITY else min(needed, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def affordable(each: int) -> int:
    """The connections for which this process has descriptors; any more get a 503 instead of waiting for a descriptor.

    ``each`` is the number of descriptors of one connection. Three quarters of a low limit are left for everything else.
    """
    allowed, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if allowed == resource.RLIM_INFINITY:
        return UNBOUNDED
    return max((allowed - min(SPARE, allowed * 3 // 4)) // each, 1)


def to_start(judgement: Judgement) -> int:
    """The descriptors that the mold needs before the first client connects: two for each worker, to make it leave or
    end; two for each inbox, and a bell where threads take turns; or under reuse-port a socket for each address and
    worker. Measured with 2 to 128 workers."""
    topology, chosen = judgement.topology, judgement.combination
    assert topology is not None
    assert chosen is not None
    addresses = len(topology.listen)
    if chosen.pool != "process":
        return START + addresses
    workers = judgement.workers
    if chosen.ownership == REUSE_PORT:
        return START + (addresses + 2) * workers
    own = chosen.ownership in FRONTED and (chosen.dispatch not in QUEUES or chosen.queues_in_front)
    bell = chosen.ownership == REACTIVE and (chosen.threads or 1) > 1 and not chosen.service.asynchronous
    inboxes = seats(chosen, workers, judgement.most) if own else 0
    return START + addresses + 2 * judgement.most + (2 + bell) * inboxes


def check(judgement: Judgement) -> Iterator[Diagnostic]:
    """Yields findings about descriptors, the backlog, and programs that choose a socket."""
    topology = judgement.topology
    assert topology is not None
    connections = topology.limits.connections
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    written = judgement.tree.has(("limits", "connections"))  # the default is only a ceiling
    chosen = judgement.combination
    assert chosen is not None
    needed = descriptors(connections, paired=written and pairs(topology, chosen))
    if hard != resource.RLIM_INFINITY and hard < to_start(judgement):
        message = f"the server needs {to_start(judgement)} descriptors to start, but only {hard} are allowed"
        fix = "raise that limit (LimitNOFILE= of a systemd unit, ulimit -Hn), or make the pool smaller"
        yield Diagnostic("PC430", message, _place(judgement, "pool"), fix)
    elif hard != resource.RLIM_INFINITY and hard < needed:
        message = (
            f"{connections} connections (limits.connections) need {needed} descriptors, but only {hard} are allowed"
        )
        fix = "raise that limit (LimitNOFILE= of a systemd unit, ulimit -Hn), or lower limits.connections"
        yield Diagnostic("PC430", message, _place(judgement, "limits.connections"), fix, severity="warning")
    if judgement.tree.has(("backlog",)):
        allowed = _queue()
        if allowed is not None and topology.backlog > allowed:
            message = f"backlog: the kernel queues at most {allowed} connections, not {topology.backlog}"
            fix = f"raise net.core.somaxconn, or lower backlog to {allowed}"
            yield Diagnostic("PC431", message, _place(judgement, "backlog"), fix, severity="warning")
    if chosen.ownership == "reuse-port":
        yield from _programs(judgement)


def _programs(judgement: Judgement) -> Iterator[Diagnostic]:
    """Yields a finding when this kernel does not let a program choose among the sockets of an address, which is tried
    on a free port."""
    from poolctl.assembly.registry import part_class
    from poolctl.config.address import Address
    from poolctl.errors import PoolctlError
    from poolctl.runtime.listen.listener import open_group

    assert judgement.combination is not None
    word = str(judgement.combination.dispatch)
    dispatch = judgement.made.get("dispatch") or part_class("dispatch", word)()
    try:
        for sock in open_group(Address("tcp", host="127.0.0.1"), 1, PROBE, dispatch.program(PROBE)):
            sock.close()
    except PoolctlError as error:
        message = f"dispatch {word} needs a kernel that lets a program choose a socket: {error.__cause__ or error}"
        place = judgement.tree.at_value(("dispatch",) if judgement.tree.has(("dispatch",)) else ("ownership",))
        yield Diagnostic("PC432", message, place, "leave dispatch out, or choose another ownership than reuse-port")


def _place(judgement: Judgement, key: str) -> Place:
    path = tuple(key.split("."))
    return judgement.tree.at_value(path if judgement.tree.has(path) else ("app",))


def _queue() -> int | None:
    try:
        with open(QUEUE) as file:
            return int(file.read())
    except (OSError, ValueError):
        return None  # another system than Linux, or one that hides it
