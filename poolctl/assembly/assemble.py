"""Runs a server from its parts: opens the listeners and runs the supervisor, whose molds build the plan."""

from __future__ import annotations

import logging
import resource
import socket
from collections.abc import Callable
from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from poolctl.assembly.describe import assembled
from poolctl.assembly.doors import tls_contexts
from poolctl.assembly.environment.limits import descriptors
from poolctl.assembly.fitting.combination import REUSE_PORT
from poolctl.assembly.generation_plan import ServerPlan
from poolctl.assembly.host import Host, host_settings
from poolctl.assembly.resolve import Parts
from poolctl.assembly.status import Board
from poolctl.runtime.app import AsyncApp
from poolctl.runtime.dispatch import KernelDispatch
from poolctl.runtime.listen.listener import address_of, open_group, open_listener
from poolctl.runtime.listen.moves import Moves
from poolctl.supervision.supervisor import Supervisor

if TYPE_CHECKING:
    from poolctl.runtime.access_log.log import AccessLog
    from poolctl.supervision.reports import Report

log = logging.getLogger("poolctl")


def serve(parts: Parts, explain: Callable[[Report], str] | None = None) -> int:
    """Run the server until it is stopped, and return the exit code.

    ``explain`` returns a message for a failed first start. Raises PoolctlError if the server cannot start.
    """
    with host_settings(parts.topology, parts.module_folder) as host:
        return _run(parts, host, explain)


def _run(parts: Parts, host: Host, explain: Callable[[Report], str] | None) -> int:
    topology = parts.topology
    _raise_descriptors(descriptors(topology.limits.connections, any(address.tls for address in topology.listen)))
    listeners = open_listeners(parts)
    # Sockets passed to this process belong to its parent: clients queued there are served by the next server.
    own = [sock for sock, address in zip(listeners, topology.listen, strict=True) if address.scheme != "fd"]
    flat = [sock for group in own for sock in group]
    access = open_access_log(parts, host)
    contexts = tls_contexts(parts)
    board = Board(parts)
    moves = Moves()
    moves.allow(parts.ownership is not None)

    def announce() -> None:
        where = ", ".join(_shown(group[0], parts, number) for number, group in enumerate(listeners))
        log.info("%s serves on %s: %s", topology.name, where, ", ".join(assembled(parts.combination, parts.workers)))

    def build() -> ServerPlan:
        if isinstance(parts.app, AsyncApp):
            import_event_loop_code(host)
        host.apply()
        return ServerPlan(parts.here(), listeners, contexts, access, board, moves)

    reopen = access.reopen if access and access.path else None
    drain = topology.timeouts.drain

    def figures() -> dict[str, Any]:
        return {"assembly": assembled(parts.combination, parts.workers), **board.figures()}

    return Supervisor(topology.name, build, flat, drain, announce, reopen, board.renew, figures, explain).run()


def import_event_loop_code(host: Host) -> None:
    """Import the modules that serve async apps in the mold: once for all workers, before an app can patch them, and
    before a change of user, after which they may not be readable."""
    import_module("poolctl.runtime.ownership.half_sync_half_reactive.async_executor")
    import_module("poolctl.runtime.serving_async.kinds")
    if host.identity:
        for package, module in (("h2", "http2_connection"), ("wsproto", "websocket_connection")):
            if find_spec(package) is not None:
                import_module(f"poolctl.runtime.serving_async.{module}")


def _shown(sock: socket.socket, parts: Parts, number: int) -> str:
    """Return an address, as a URL if the protocol is HTTP, so that terminals make it a link."""
    shown = address_of(sock)
    scheme = "https" if parts.topology.listen[number].tls else "http"
    return shown.replace("tcp://", f"{scheme}://") if parts.protocols[number].name == "http" else shown


def open_access_log(parts: Parts, host: Host) -> AccessLog | None:
    """Return the access log of the topology, or None. Raises PoolctlError."""
    settings = parts.topology.access_log
    if settings is None:
        return None
    from poolctl.runtime.access_log.log import AccessLog

    return AccessLog(settings.format, settings.to, host.identity)


def open_listeners(parts: Parts) -> list[list[socket.socket]]:
    """Return the listening sockets of each address: one, or under reuse-port one for each worker. Raises
    PoolctlError."""
    topology = parts.topology
    if parts.combination.ownership != REUSE_PORT:
        return [[open_listener(address, topology.backlog)] for address in topology.listen]
    assert isinstance(parts.dispatch, KernelDispatch)  # the rules allow no other kind
    program = parts.dispatch.program(parts.workers)
    return [open_group(address, topology.backlog, parts.workers, program) for address in topology.listen]


def _raise_descriptors(needed: int) -> None:
    """Raise the soft limit of descriptors to ``needed``, as far as the hard limit allows."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = needed if hard == resource.RLIM_INFINITY else min(needed, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
