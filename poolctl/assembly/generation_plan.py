"""The plan of one generation: the roles that the mold runs, and its notices to the front about workers.

The file is long because what the mold asks about a worker, and tells a front of it, depends on one set of inboxes.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterable, Sequence
from os import close
from time import monotonic_ns
from typing import TYPE_CHECKING

from poolctl.assembly.doors import make_doors
from poolctl.assembly.fitting.seats import fixed
from poolctl.assembly.hot_change import received, terms_of
from poolctl.assembly.hot_change import values as make_values
from poolctl.assembly.plugins.plugin import Plugin
from poolctl.assembly.resolve import MadeParts
from poolctl.assembly.site import build_site
from poolctl.assembly.status import Board
from poolctl.runtime.channels.inbox import Inbox, ProcessInbox, ThreadInbox
from poolctl.runtime.channels.notices import (
    BEGAN,
    DIED_IDLE,
    INBOX_JOINED,
    INBOX_LEAVES,
    INBOX_LEFT,
    LOST,
    OVERDUE,
    leaver,
)
from poolctl.runtime.channels.parcel import HEAD
from poolctl.runtime.dispatch import built_in
from poolctl.runtime.lifeline import Take
from poolctl.runtime.listen.moves import Moves
from poolctl.runtime.protocol import Provisions, unseen
from poolctl.runtime.scoreboard import (
    BEAT,
    CHOOSING,
    DONE,
    LEAVING,
    LIMIT,
    OPEN,
    REQUESTS,
    RESERVED,
    SINCE,
    STARTING,
    STATE,
    TAKEN,
    TICKET,
    VACANT,
    WAITING,
    WANTED,
)
from poolctl.runtime.system import forked
from poolctl.runtime.system.loaded_code import LoadedCode
from poolctl.supervision.elastic import PoolLoad, ScaleLimits
from poolctl.supervision.plan import Lateness, Plan, Role
from poolctl.supervision.recycling import RecycleLimits

if TYPE_CHECKING:
    from ssl import SSLContext

    from poolctl.config.model import Topology
    from poolctl.config.pool_keys import RecycleSection, ScaleSection
    from poolctl.runtime.access_log.log import AccessLog


def provisions(parts: MadeParts, access: AccessLog | None) -> Provisions:
    """Return the provisions of the protocols. Only http uses trusted proxies; the rules refuse the key with others."""
    forwarded = None
    if (settings := parts.topology.forwarded) is not None:
        from poolctl.runtime.protocol.http.forwarded import Forwarded

        forwarded = Forwarded(settings.trust, settings.header)
    return Provisions(
        inspected=parts.affinity.inspects
        or (parts.dispatch is not None and parts.dispatch.inspects)
        or any(each.header for each in parts.topology.classes),
        witness=access.turned_away if access else unseen,
        forwarded=forwarded,
    )


class ServerPlan(Plan):
    """The plan of one generation, created in the mold, with open channels and scoreboard. The app is imported if the
    topology has ``preload``."""

    def __init__(
        self,
        parts: MadeParts,
        listeners: list[list[socket.socket]],
        contexts: Sequence[SSLContext | None],
        access: AccessLog | None = None,
        board: Board | None = None,
        moves: Moves | None = None,
        *,
        beside: bool = False,
    ) -> None:
        """``contexts``: TLS contexts of the addresses. ``board``: where the supervisor reads the scoreboard. ``moves``:
        the server's channel for connections that move between generations. ``beside``: it starts beside another one."""
        topology = parts.topology
        code = LoadedCode()  # before any is loaded that a worker runs
        for protocol in parts.protocols:
            protocol.provision(provisions(parts, access))
        if parts.ownership is not None:
            parts.ownership.provision()
        doors = make_doors(parts, contexts)
        self.reopen = access.reopen if access and access.path else None
        self.name = topology.name
        self.beside = beside
        self._terms = terms_of(parts, code)
        self._limit_by(topology)
        self.site = site = build_site(parts, listeners, doors, access, board, moves)
        ownership = parts.ownership
        self.owned = site.sockets() | (ownership.prepared if ownership else set())
        self.inherited = frozenset(site.moves.descriptors)
        forked.hold(self.owned | self.inherited)
        for group in listeners:
            for sock in group:
                forked.register_listener(sock)
        if topology.preload:
            site.load()
        self.lends = ownership is not None and ownership.lends
        self.has_front = ownership is not None and ownership.has_front
        # A front that chooses among inboxes must know which of them have no reader.
        between_processes = bool(site.inboxes) and not isinstance(site.inboxes[0], ThreadInbox)
        listens = bool(site.dispatch.hooks & {"joined", "left"}) or site.affinity.forgets
        self.notifies = between_processes and (listens or len(site.inboxes) > 1)
        self.vacant = site.vacant  # inboxes whose workers are dead, or leave, or are not there yet
        self.leaving: dict[int, int] = {}  # inboxes whose workers leave, with the pid of each, or 0: it has died
        # inboxes into which the front may put tasks: their workers have joined, and have not left
        self.joined = set(range(len(site.inboxes))) - self.vacant if between_processes else set()
        self.roles: list[Role] = parts.pool.roles(site, ownership)
        self._fixed = fixed(parts.combination, parts.workers, parts.most)
        # Whether the front is watched for a hanging strategy: only with a plugin's; poolctl's own do not hang.
        self._foreign = not built_in(site.dispatch)
        for worker in range(site.size, site.workers):
            self._mark(worker, VACANT)

    def _limit_by(self, topology: Topology) -> None:
        """Take what the mold itself reads of a topology."""
        terms = self._terms
        self.drain = topology.timeouts.drain
        self.request = None if terms.asynchronous else topology.timeouts.request  # tasks are cancelled instead
        self.surge = topology.reload.surge if self.beside else None
        self.recycle = recycle_limits(topology.recycle)
        self.scale = scale_limits(topology.scale, terms.workers, terms.most)

    def prepare(self, change: bytes) -> Take:
        new = received(change)
        values = make_values(new, self.site, self._terms)

        def take(done: Callable[[], None]) -> None:
            self._limit_by(new.topology)
            if new.dispatch is not None:
                self._foreign = isinstance(new.dispatch, Plugin)
            self.site.settings.take(values, done)

        return take

    def died(self, role: Role, pid: int) -> None:
        """Notify the front which tickets the dead worker was serving and that its inbox has no reader.

        This happens before a successor is forked: until then only the mold writes to the dead worker's rows.
        """
        notices = self.site.notices
        for row in role.rows:
            cells = self.site.scoreboard.worker(row)
            ticket, began = divmod(cells[TICKET], 2)
            late = bool(self._overdue_for(cells))
            cells[SINCE] = cells[BEAT] = 0
            cells[STATE] = STARTING
            cells[DONE] = cells[TAKEN]  # it has no tasks any more: the load of its successor begins at 0
            if ticket:
                notices.send(BEGAN if began else OVERDUE if late else LOST, ticket)
                cells[TICKET] = 0
            elif self.lends and role.stage:
                notices.send(DIED_IDLE, self._inbox(role).index)
        if self.notifies and role.rows and role.stage and self._inbox(role).index not in self.leaving:
            notices.send(INBOX_LEFT, self._inbox(role).index)
            self.vacant.add(self._inbox(role).index)

    def ready(self, role: Role) -> None:
        """Notify the front that an inbox has a reader again."""
        if not role.stage:  # a new front may not have been told
            for index, pid in self.leaving.items():
                self.site.notices.send(INBOX_LEAVES, leaver(pid, index))
        elif self.vacant and role.rows and (index := self._inbox(role).index) in self.vacant:
            self.vacant.discard(index)
            self.leaving.pop(index, None)  # it was hired again before it could leave
            self.joined.add(index)
            self.site.notices.send(INBOX_JOINED, index)

    @property
    def size(self) -> int:
        return self.site.size

    @property
    def fixed(self) -> str:
        return self._fixed

    def sized(self, workers: int) -> None:
        self.site.scoreboard.front()[WANTED] = workers

    def starts(self, role: Role) -> None:
        self._mark(role.rows[0] // self.site.slots, STARTING)

    def leaves(self, role: Role, pid: int) -> None:
        """Notify the front, so that it gives this worker no more tasks, and an end behind those that it has. An inbox
        that the front does not use yet gets its end here."""
        if pid:
            self._mark(role.rows[0] // self.site.slots, LEAVING)
        if self.bound(role):
            index = self._inbox(role).index
            if pid or index not in self.leaving:
                self.vacant.add(index)
                self.leaving[index] = pid
                self.site.notices.send(INBOX_LEAVES, leaver(pid, index))
        elif len(self.site.inboxes) > 1:
            inbox = self._inbox(role)
            for _ in range(inbox.capacity):
                inbox.end_one(pid)

    def left(self, role: Role) -> None:
        if self.bound(role):
            index = self._inbox(role).index
            self.leaving.pop(index, None)
            self.joined.discard(index)
        self._mark(role.rows[0] // self.site.slots, VACANT)

    def bound(self, role: Role) -> bool:
        several = len(self.site.inboxes) > 1 and bool(role.stage and role.rows)
        return several and self._inbox(role).index in self.joined

    def owes(self, role: Role) -> bool:
        inbox = self._inbox(role)
        return inbox.waiting > 0 and not inbox.empty

    def abandon(self, role: Role) -> None:
        inbox = self._inbox(role)
        assert isinstance(inbox, ProcessInbox)  # its workers are processes
        for message, fds in inbox.reclaim():
            ticket = HEAD.unpack_from(message)[0]
            if self.lends:
                self.site.notices.send(LOST, ticket)
            for fd in fds:
                close(fd)

    def _mark(self, worker: int, state: int) -> None:
        for slot in range(self.site.slots):
            self.site.row(worker, slot)[STATE] = state

    def _inbox(self, role: Role) -> Inbox:
        return self.site.inbox(role.rows[0] // self.site.slots)

    @property
    def guards(self) -> bool:
        return bool(self.site.inboxes) and self._foreign

    def hanging(self) -> float:
        """Seconds that the front's strategy has spent on its current decision; 0 where it is not deciding."""
        since: int = self.site.scoreboard.front()[CHOOSING]
        return (monotonic_ns() - since) / 1e9 if since else 0.0

    def overdue(self, role: Role, *, draining: bool) -> Lateness | None:
        late = self._late(role.rows)
        if not late:
            return None
        others = 0
        for first in range(role.rows[0], role.rows[-1] + 1, self.site.slots):  # of each worker
            rows = range(first, first + self.site.slots)
            stuck = [row for row in rows if row in late]
            if len(stuck) < len(rows):  # otherwise nobody can finish what it has
                cells = [self.site.scoreboard.worker(row) for row in rows]
                others += sum(row[TAKEN] - row[DONE] for row in cells) - len(stuck)
                others += self._awaits(first // self.site.slots, alone=not role.stage)
        if draining and self.lends:
            everywhere = self._late(range(self.site.workers * self.site.slots))
            others += max(0, self.site.scoreboard.front()[OPEN] - len(everywhere))
        front = self.has_front and not role.stage
        return Lateness(max(late.values()), max(0, others), len(late) == len(role.rows) and not front)

    def occupied(self, role: Role) -> bool:
        front = self.has_front and not role.stage
        return not front and all(self.site.scoreboard.worker(row)[SINCE] for row in role.rows)

    def _late(self, rows: Iterable[int]) -> dict[int, float]:
        """The rows whose request has taken longer than the limit, with the seconds."""
        taken = {row: self._overdue_for(self.site.scoreboard.worker(row)) for row in rows}
        return {row: seconds for row, seconds in taken.items() if seconds}

    def _overdue_for(self, cells: memoryview) -> float:
        """Seconds that a worker has spent on its current request, if that is more than the limit, which for this
        request is the longer of those at its beginning and now; otherwise 0."""
        if self.request is None:
            return 0.0
        limit, seconds = self.site.timeouts.at(cells[SINCE] / 1e9).request, held(cells)
        return seconds if limit is not None and seconds > limit else 0.0

    def _awaits(self, worker: int, *, alone: bool) -> int:
        """The tasks that only this worker can take. ``alone``: all workers are in one process."""
        inboxes = self.site.inboxes
        return max(0, self.site.inbox(worker).waiting) if len(inboxes) > 1 or (inboxes and alone) else 0

    def requests(self, role: Role) -> int:
        return sum(self.site.scoreboard.worker(row)[REQUESTS] for row in role.rows)

    def load(self, roles: Sequence[Role]) -> PoolLoad:
        site = self.site
        rows = [site.scoreboard.worker(row) for role in roles for row in role.rows]
        # Where the front does not lend, a task is a connection, which may be idle.
        busy = sum(row[TAKEN] - row[DONE] if self.lends else bool(row[SINCE]) for row in rows)
        waiting = None
        if site.inboxes:
            front = site.scoreboard.front()
            waiting = front[WAITING] + sum(max(inbox.waiting, 0) for inbox in site.inboxes)
            busy += front[RESERVED] if waiting else 0  # they are there for others than those that wait
        return PoolLoad(busy, site.scoreboard.front()[LIMIT] or site.slots, waiting)

    def close_for(self, stage: int) -> None:
        """Close the last writer of the inboxes after the fronts have left, so that the workers read end of file."""
        for inbox in self.site.inboxes:
            if hasattr(inbox, "writer"):
                self.owned.discard(inbox.writer.fileno())
                inbox.writer.close()


def recycle_limits(keys: RecycleSection) -> RecycleLimits | None:
    """Return the limits of the topology; None if it has none."""
    return RecycleLimits(keys.requests, keys.age, keys.memory, keys.jitter, keys.least) if keys.on else None


def scale_limits(keys: ScaleSection, least: int, most: int) -> ScaleLimits | None:
    """Return how the pool grows and shrinks; None if it does not."""
    return ScaleLimits(least, most, keys.wait, keys.idle, keys.memory) if most > least else None


def held(cells: memoryview) -> float:
    """Seconds that a worker has spent on its current request; 0 where it has none."""
    since: int = cells[SINCE]
    return (monotonic_ns() - since) / 1e9 if since else 0.0
