"""Lending between processes: one message with the request and the client's descriptor; ``records.py`` has the way back,
and this file what becomes of a loan when a worker dies."""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import Callable
from os import close
from time import monotonic
from typing import BinaryIO

from mypy_extensions import mypyc_attr

from poolctl.runtime.channels.inbox import Inbox, ProcessInbox, bells
from poolctl.runtime.channels.notices import (
    BEGAN,
    DIED_IDLE,
    INBOX_JOINED,
    INBOX_LEAVES,
    INBOX_LEFT,
    LOST,
    MOST_INBOXES,
    OVERDUE,
    Attention,
)
from poolctl.runtime.channels.parcel import FLAG_FILE, FLAG_PACKED, FLAG_TIMED, HEAD
from poolctl.runtime.channels.returns import Returns
from poolctl.runtime.ownership.half_sync_half_reactive.front import LendingFront
from poolctl.runtime.ownership.half_sync_half_reactive.held_connection import HeldConnection
from poolctl.runtime.ownership.half_sync_half_reactive.records import Desertion, Leftovers, Records
from poolctl.runtime.ownership.half_sync_half_reactive.recount import Recount
from poolctl.runtime.ownership.half_sync_half_reactive.sessions import INDEX, SESSION_BYTES
from poolctl.runtime.ownership.half_sync_half_reactive.untaken import LATE_SECONDS, Computing, TakingTurns, Untaken
from poolctl.runtime.protocol import Protocol
from poolctl.runtime.routing.router import Router
from poolctl.runtime.routing.waiting import Waiting
from poolctl.runtime.system.channel import DONTWAIT
from poolctl.runtime.system.poller import Poller
from poolctl.runtime.task import Task
from poolctl.runtime.timeouts import Timeouts

log = logging.getLogger("poolctl")


@mypyc_attr(allow_interpreted_subclasses=True)
class ProcessLendingFront(LendingFront):
    """The front in a process of its own. ``returns``: the way back of the connections that it lent; ``notices``: the
    mold's messages about workers; ``awaited``: the workers are event loops, which take nothing while the app
    computes."""

    def __init__(
        self,
        lifeline: int,
        protocol: Protocol,
        router: Router,
        timeouts: Timeouts,
        limit: int,
        waiting: int,
        returns: Returns,
        notices: socket.socket,
        *,
        awaited: bool = False,
        clock: Callable[[], float] = monotonic,
        poller: Poller | None = None,
    ) -> None:
        super().__init__(lifeline, protocol, router, timeouts, limit, waiting, clock=clock, poller=poller)
        self._awaited = awaited
        self._packs = protocol.packs
        self.untaken: Untaken | None = None
        if awaited and self.router.queues:
            self.untaken = Computing(self.router, self.rooms, self._reclaim)
        elif any(map(bells, self.router.inboxes)):
            self.untaken = TakingTurns(self.router.inboxes)
        self._records = Records(self, returns.reader)
        self._sessions = returns.sessions
        self.recounts: list[Recount] = []
        desertion = Desertion(self, returns.urgent_reader)
        for source in (desertion, Leftovers(self, returns.left_reader), Attention(self, notices)):
            self.sources.add(source.fd)
            self.add(source)

    def before_events(self) -> None:
        """Take connections back before reading from clients, so that a client's next request finds its connection
        returned."""
        self._records.collect()
        if self._sessions is not None:
            self._learn(self._sessions)
        if self.untaken is not None and not self.untaken.quiet:
            self.untaken.look(self.now)

    def _patience(self) -> float | None:
        patience = super()._patience()
        if self.untaken is not None and not self.untaken.quiet:
            return LATE_SECONDS if patience is None else min(patience, LATE_SECONDS)
        return patience

    def _learn(self, sessions: socket.socket) -> None:
        """Bind new sessions to their workers."""
        while True:
            try:
                message = sessions.recv(SESSION_BYTES, DONTWAIT)
            except BlockingIOError:
                return
            if not message:
                return  # the mold and all workers are dead
            (index,) = INDEX.unpack_from(message)
            self.router.bind(message[INDEX.size :].decode(), index)

    def take_back(self) -> None:
        """Take back the connections that have come back."""
        self._records.collect()

    def _sweep(self, now: float, service: None) -> None:
        super()._sweep(now, service)
        if self.recounts:
            self.recounts = [recount for recount in self.recounts if not recount.look()]

    def notice(self, kind: int, number: int) -> None:
        """Act on a notice about workers."""
        if kind == LOST:
            self.lost(number)
        elif kind == BEGAN:
            self.died(number, began=True)
        elif kind == OVERDUE:
            self.died(number, began=False, status=504)
        elif kind == DIED_IDLE:
            self.recounts.append(Recount(self, self.router.inboxes[number]))
        elif kind == INBOX_LEFT:
            self.router.left(number)
            if self.router.queues:
                self._reclaim(self.router.inboxes[number])
        elif kind == INBOX_LEAVES:
            pid, index = divmod(number, MOST_INBOXES)
            readers = 1 if self._awaited else self.router.inboxes[index].capacity
            reclaim = self._reclaim if self.router.queues else None
            self.rooms.wait_for(self.router.leaves(index, pid, readers, reclaim))
        elif kind == INBOX_JOINED:
            self.rooms.wait_for(self.router.joined(number))

    def _reclaim(self, inbox: Inbox) -> None:
        """Take the untaken tasks out of an inbox and route them again: other workers may be free earlier."""
        assert isinstance(inbox, ProcessInbox)  # its workers are processes
        untaken: list[Waiting] = []
        tickets: set[int] = set()
        for message, fds in inbox.reclaim():
            ticket = HEAD.unpack_from(message)[0]
            client = self.lent.get(ticket)
            if client is None:  # the task of a dead front: the successor of the worker serves it
                inbox.put(message, tuple(fds))
                for fd in fds:
                    close(fd)
                continue
            tickets.add(ticket)
            close(fds[0])  # the client's, which is here
            file = fds[1] if len(fds) > 1 else -1
            task = Task(client.peer, self.now, client.framer.asked, client.fd)
            untaken.append(Waiting(task, id(client), message, (client.fd, *fds[1:]), file))
        for recount in self.recounts:
            recount.suspects -= tickets
        self.rooms.wait_for(self.router.put_back(untaken))
        if self.router.queue.count:
            self._watch()

    def expect_back(self, client: HeldConnection) -> bool:
        self._watch()
        return super().expect_back(client)

    def _watch(self) -> None:
        """Wake this front for each connection that comes back."""
        if self._records.fd not in self.handlers:
            self.sources.add(self._records.fd)
            self.add(self._records)

    def ticket_of(self, item: bytes) -> int:
        ticket: int = HEAD.unpack_from(item)[0]
        return ticket

    def discard(self, entry: Waiting) -> None:
        if entry.holder >= 0:
            close(entry.holder)

    def _send(self, client: HeldConnection, ticket: int, flags: int, request: bytes | BinaryIO) -> None:
        if self.untaken is not None:
            self.untaken.quiet = False
        line, noted = b"", not ticket & self.router.unnoted
        if noted:
            line = self.line_of(client, request)
            flags |= FLAG_TIMED
        if isinstance(request, bytes):
            intro = client.intro
            if self._packs and client.framer.packs and (packed := client.framer.packed(request)) is not None:
                request = packed
                flags |= FLAG_PACKED
            item = HEAD.pack(ticket, flags, len(intro), client.came) + intro + request
            full = self.router.route(
                client.peer, self.now, id(client), item, (client.fd,), -1, client.framer.asked, line, -1, noted
            )
        else:
            item = HEAD.pack(ticket, flags | FLAG_FILE, len(client.intro), client.came) + client.intro
            with request:
                file = os.dup(request.fileno())
            full = self.router.route(
                client.peer, self.now, id(client), item, (client.fd, file), file, client.framer.asked, line, -1, noted
            )
        if full:
            self.rooms.wait_for(full)
        if self.tasks.count:
            self._watch()  # a returned connection means a less busy worker, for which the waiting tasks wait
