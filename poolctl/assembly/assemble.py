"""From parts to a running server: opens the listeners, builds the site in the mold, and runs the supervisor."""

from __future__ import annotations

import logging
import resource
import socket
from collections.abc import Callable, Sequence
from importlib import import_module
from importlib.util import find_spec
from time import monotonic_ns
from typing import TYPE_CHECKING, Any

from poolctl.assembly.describe import assembled
from poolctl.assembly.doors import make_doors, tls_contexts
from poolctl.assembly.environment.limits import affordable, descriptors
from poolctl.assembly.fitting.combination import REUSE_PORT
from poolctl.assembly.host import Host, host_settings
from poolctl.assembly.resolve import MadeParts, Parts
from poolctl.assembly.status import Board
from poolctl.runtime.app import AsyncApp, Surroundings
from poolctl.runtime.app.loader import Loader
from poolctl.runtime.channels.inbox import Inbox, ThreadInbox
from poolctl.runtime.channels.notices import BEGAN, DIED_IDLE, JOINED, LEFT, LOST, OVERDUE, Notices
from poolctl.runtime.channels.returns import Returns
from poolctl.runtime.dispatch import KernelDispatch, built_in
from poolctl.runtime.dispatch.leader import Leader
from poolctl.runtime.listen.door import Door
from poolctl.runtime.listen.listener import Listener, address_of, open_group, open_listener
from poolctl.runtime.protocol import Provisions, unseen
from poolctl.runtime.scoreboard import CHOOSING, DONE, SINCE, STARTING, STATE, TAKEN, TICKET, Scoreboard
from poolctl.runtime.site.workshop import Workshop
from poolctl.runtime.system import forked
from poolctl.runtime.timeouts import Timeouts
from poolctl.supervision.plan import Plan, Role
from poolctl.supervision.supervisor import Supervisor

if TYPE_CHECKING:
    from ssl import SSLContext

    from poolctl.runtime.access_log.log import AccessLog
    from poolctl.supervision.reports import Report

log = logging.getLogger("poolctl")


def serve(parts: Parts, explain: Callable[[Report], str] | None = None) -> int:
    """Run the server until it is stopped, and return the exit code.

    ``explain`` returns a message for a first start that failed. Raises PoolctlError when the server cannot start.
    """
    with host_settings(parts.topology, parts.module_folder) as host:
        return _run(parts, host, explain)


def _run(parts: Parts, host: Host, explain: Callable[[Report], str] | None) -> int:
    topology = parts.topology
    _raise_descriptors(descriptors(topology.limits.connections, any(address.tls for address in topology.listen)))
    listeners = open_listeners(parts)
    # Sockets that were passed to this process belong to its parent: clients queued there are served by its successor.
    own = [sock for sock, address in zip(listeners, topology.listen, strict=True) if address.scheme != "fd"]
    flat = [sock for group in own for sock in group]
    access = open_access_log(parts, host)
    contexts = tls_contexts(parts)
    board = Board(parts)

    def announce() -> None:
        where = ", ".join(_shown(group[0], parts, number) for number, group in enumerate(listeners))
        log.info("%s serves on %s: %s", topology.name, where, ", ".join(assembled(parts.combination, parts.workers)))

    def build() -> Server:
        if isinstance(parts.app, AsyncApp):
            import_event_loop_code(host)
        host.apply()
        return Server(parts.here(), listeners, contexts, access, board)

    reopen = access.reopen if access and access.path else None
    drain = topology.timeouts.drain

    def figures() -> dict[str, Any]:
        return {"assembly": assembled(parts.combination, parts.workers), **board.figures()}

    return Supervisor(topology.name, build, flat, drain, announce, reopen, board.renew, figures, explain).run()


def import_event_loop_code(host: Host) -> None:
    """Import in the mold what asynchronous apps are served with: once for all workers, before an app can patch it, and
    before a change of user, after which it may not be readable."""
    import_module("poolctl.runtime.ownership.half_sync_half_reactive.async_executor")
    import_module("poolctl.runtime.serving_async.kinds")
    if host.identity:
        for package, module in (("h2", "http2_connection"), ("wsproto", "websocket_connection")):
            if find_spec(package) is not None:
                import_module(f"poolctl.runtime.serving_async.{module}")


def _shown(sock: socket.socket, parts: Parts, number: int) -> str:
    """An address as a URL where the protocol is HTTP, so that terminals make it a link."""
    shown = address_of(sock)
    scheme = "https" if parts.topology.listen[number].tls else "http"
    return shown.replace("tcp://", f"{scheme}://") if parts.protocols[number].name == "http" else shown


def open_access_log(parts: Parts, host: Host) -> AccessLog | None:
    """The access log of the topology, or None. Raises PoolctlError."""
    settings = parts.topology.access_log
    if settings is None:
        return None
    from poolctl.runtime.access_log.log import AccessLog

    return AccessLog(settings.format, settings.to, host.identity)


def open_listeners(parts: Parts) -> list[list[socket.socket]]:
    """The listening sockets of each address: one, or under reuse-port one for each worker. Raises PoolctlError."""
    topology = parts.topology
    if parts.combination.ownership != REUSE_PORT:
        return [[open_listener(address, topology.backlog)] for address in topology.listen]
    assert isinstance(parts.dispatch, KernelDispatch)  # the rules allow no other
    program = parts.dispatch.program(parts.workers)
    return [open_group(address, topology.backlog, parts.workers, program) for address in topology.listen]


def _shape(parts: MadeParts) -> tuple[int, int]:
    ownership = parts.ownership
    shares_one_event_set = ownership is not None and ownership.shares_one_event_set(parts.affinity)
    return parts.pool.shape(parts.workers, shares_one_event_set=shares_one_event_set)


def descriptors_per_connection(parts: MadeParts) -> int:
    """The descriptors that a connection takes in its process: with TLS also a socket pair, and with a thread of its own
    also the pipe that signals its end."""
    tls = any(address.tls for address in parts.topology.listen)
    alone = parts.app.owns_connection or parts.combination.pool in ("thread-per-connection", "process-per-connection")
    return 1 + 2 * tls + 2 * alone


def _raise_descriptors(needed: int) -> None:
    """Raise the soft limit of descriptors to ``needed``, as far as the hard limit allows."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = needed if hard == resource.RLIM_INFINITY else min(needed, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def provisions(parts: MadeParts, access: AccessLog | None) -> Provisions:
    """What the protocols get. Only http uses trusted proxies; the rules refuse the key with any other protocol."""
    forwarded = None
    if (settings := parts.topology.forwarded) is not None:
        from poolctl.runtime.protocol.http.forwarded import Forwarded

        forwarded = Forwarded(settings.trust, settings.header)
    return Provisions(
        inspected=parts.affinity.inspects or (parts.dispatch is not None and parts.dispatch.inspects),
        witness=access.turned_away if access else unseen,
        forwarded=forwarded,
    )


class Server(Plan):
    """The plan of one generation, created in the mold, with open channels and scoreboard. The app is imported if the
    topology has ``preload``."""

    def __init__(
        self,
        parts: MadeParts,
        listeners: list[list[socket.socket]],
        contexts: Sequence[SSLContext | None],
        access: AccessLog | None = None,
        board: Board | None = None,
    ) -> None:
        """``contexts`` are the TLS contexts of the addresses. The supervisor reads the scoreboard from ``board``."""
        topology = parts.topology
        for protocol in parts.protocols:
            protocol.provision(provisions(parts, access))
        if parts.ownership is not None:
            parts.ownership.provision()
        doors = make_doors(parts, contexts)
        self.reopen = access.reopen if access and access.path else None
        self.name = topology.name
        self.drain = topology.timeouts.drain
        self.request = None if parts.app.asynchronous else topology.timeouts.request  # tasks are cancelled instead
        self.site = site = build_site(parts, listeners, doors, access, board)
        ownership = parts.ownership
        self.owned = site.sockets() | (ownership.prepared if ownership else set())
        forked.hold(self.owned)
        for group in listeners:
            for sock in group:
                forked.register_listener(sock)
        if topology.preload:
            site.load()
        self.lends = ownership is not None and ownership.lends
        # A front that chooses among inboxes has to know which of them have no reader.
        between_processes = bool(site.inboxes) and not isinstance(site.inboxes[0], ThreadInbox)
        listens = bool(site.dispatch.hooks & {"joined", "left"}) or site.affinity.forgets
        self.notifies = between_processes and (listens or len(site.inboxes) > 1)
        self.vacant: set[int] = set()  # inboxes whose workers are dead
        self.roles: list[Role] = parts.pool.roles(site, ownership)

    def died(self, role: Role, pid: int) -> None:
        """Notify the front which tickets the dead worker was serving and that its inbox has no reader.

        This happens before a successor is forked: until then only the mold writes to the dead worker's rows.
        """
        notices = self.site.notices
        for row in role.rows:
            cells = self.site.scoreboard.worker(row)
            ticket, began = divmod(cells[TICKET], 2)
            late = self.request is not None and held(cells) > self.request
            cells[SINCE] = 0
            cells[STATE] = STARTING
            cells[DONE] = cells[TAKEN]  # it has no tasks any more: the load of its successor begins at 0
            if ticket:
                notices.send(BEGAN if began else OVERDUE if late else LOST, ticket)
                cells[TICKET] = 0
            elif self.lends and role.stage:
                notices.send(DIED_IDLE, self._inbox(role).index)
        if self.notifies and role.rows and role.stage:
            notices.send(LEFT, self._inbox(role).index)
            self.vacant.add(self._inbox(role).index)

    def ready(self, role: Role) -> None:
        """Notify the front that an inbox has a reader again."""
        if self.vacant and role.rows and self._inbox(role).index in self.vacant:
            self.vacant.discard(self._inbox(role).index)
            self.site.notices.send(JOINED, self._inbox(role).index)

    def _inbox(self, role: Role) -> Inbox:
        return self.site.inbox(role.rows[0] // self.site.slots)

    @property
    def guards(self) -> bool:
        """Whether the front is watched for a hanging strategy: those of plugins are, poolctl's own do not hang."""
        return bool(self.site.inboxes) and not built_in(self.site.dispatch)

    def hanging(self) -> float:
        """Seconds that the front's strategy has spent on its current decision; 0 where it is not deciding."""
        since: int = self.site.scoreboard.front()[CHOOSING]
        return (monotonic_ns() - since) / 1e9 if since else 0.0

    def overdue(self, role: Role) -> float:
        """Seconds that a role's oldest request has taken, if that exceeds the limit; else 0."""
        longest = max((held(self.site.scoreboard.worker(row)) for row in role.rows), default=0.0)
        return longest if self.request is not None and longest > self.request else 0.0

    def close_for(self, stage: int) -> None:
        """Close the last writer of the inboxes after the fronts have left, so that the workers read end of file."""
        for inbox in self.site.inboxes:
            if hasattr(inbox, "writer"):
                self.owned.discard(inbox.writer.fileno())
                inbox.writer.close()


def held(cells: memoryview) -> float:
    """Seconds that a worker has spent on its current request; 0 where it has none."""
    since: int = cells[SINCE]
    return (monotonic_ns() - since) / 1e9 if since else 0.0


def _queues(parts: MadeParts, workers: int, slots: int) -> int:
    """The number of inboxes. Workers that pull share one, unless each serves several requests at once: the kernel would
    wake the threads of one process first."""
    ownership = parts.ownership
    if ownership is None or not ownership.has_front:
        return 0
    assert parts.dispatch is not None  # only a pool without workers has none
    return 1 if parts.dispatch.pull and not (ownership.lends and slots > 1) else workers


def build_site(
    parts: MadeParts,
    listeners: list[list[socket.socket]],
    doors: list[Door],
    access: AccessLog | None = None,
    board: Board | None = None,
) -> Workshop:
    """The workshop of one generation, with its inboxes."""
    topology, ownership = parts.topology, parts.ownership
    workers, threads = _shape(parts)
    medium = parts.pool.medium()
    awaited = ownership is not None and ownership.lends and parts.app.asynchronous
    slots = parts.app.concurrency if awaited else threads
    queues = _queues(parts, workers, slots)
    memory = board.memory if board is not None and board.fits(queues, workers * slots) else None
    scoreboard = Scoreboard(queues, workers * slots, memory, slots)
    rows = [scoreboard.worker(row) for row in range(workers * slots)]
    inboxes = []
    for index in range(queues):
        held = rows if queues == 1 else rows[index * slots : (index + 1) * slots]
        rings = ownership is not None and (ownership.rings or awaited)
        several = threads > 1 and ownership is not None and ownership.lends and not awaited
        # the first row of a worker that serves many tasks at once counts them all
        row, workers_rows = scoreboard.inbox(index), held[:: slots // threads]
        inboxes.append(medium.inbox(index, row, workers_rows, slots=held, rings=rings, threads=several))
    timeouts = topology.timeouts
    surroundings = Surroundings(parts.pool.multithread, parts.pool.multiprocess, parts.private, parts.is_topology)
    return Workshop(
        name=topology.name,
        loader=Loader(parts.app, surroundings),
        protocol=parts.protocol,
        dispatch=parts.dispatch or Leader(),
        affinity=parts.affinity,
        returns=Returns(learns=parts.affinity.learns),
        timeouts=Timeouts(
            timeouts.head,
            timeouts.idle,
            timeouts.write,
            timeouts.drain,
            timeouts.body,
            topology.limits.body_rate,
            timeouts.request,
        ),
        connections=topology.limits.connections,
        most=affordable(descriptors_per_connection(parts)),
        waiting=topology.limits.waiting,
        listeners=[
            [Listener(sock, door, kept_outside=address.scheme == "fd") for sock in group]
            for group, door, address in zip(listeners, doors, topology.listen, strict=True)
        ],
        workers=workers,
        threads=threads,
        slots=slots,
        multiprocess=parts.pool.multiprocess,
        scoreboard=scoreboard,
        medium=medium,
        inboxes=inboxes,
        notices=Notices(),
        access=access,
    )
