"""Lending between processes: one message with the request and the client's descriptor, and a record of eight bytes
back.

The file is long because the two ends of a loan, the message out and the record back, stand beside what becomes of it
when a worker dies.
"""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import Callable
from os import close, read
from time import monotonic
from typing import BinaryIO

from poolctl.runtime.buffers.outbound import FILES, RANGES, Outbound
from poolctl.runtime.channels.inbox import FD, Inbox, ProcessInbox, bells
from poolctl.runtime.channels.notices import BEGAN, DIED_IDLE, INBOX_JOINED, INBOX_LEFT, LOST, OVERDUE, Attention
from poolctl.runtime.channels.parcel import FLAG_FILE, HEAD, PART, RECORD, TICKET_KEPT, TICKET_MISSED
from poolctl.runtime.channels.returns import Returns
from poolctl.runtime.loop.source import NO_DESCRIPTOR, Source
from poolctl.runtime.ownership.half_sync_half_reactive.front import LendingFront
from poolctl.runtime.ownership.half_sync_half_reactive.held_connection import HeldConnection
from poolctl.runtime.ownership.half_sync_half_reactive.recount import Recount
from poolctl.runtime.ownership.half_sync_half_reactive.sessions import INDEX, SESSION_BYTES
from poolctl.runtime.ownership.half_sync_half_reactive.untaken import LATE_SECONDS, Computing, TakingTurns, Untaken
from poolctl.runtime.protocol import Protocol
from poolctl.runtime.routing.router import Router, Waiting
from poolctl.runtime.serving.phases import IDLE
from poolctl.runtime.system.channel import DONTWAIT, descriptors
from poolctl.runtime.system.poller import Poller
from poolctl.runtime.task import Task
from poolctl.runtime.timeouts import Timeouts

log = logging.getLogger("poolctl")
RETURN_BYTES = RECORD.size + (RANGES + 2) * PART.size  # bytes of the longest message that comes back with files
RETURN_CONTROL_BYTES = socket.CMSG_SPACE((FILES + 1) * FD.size)  # for their descriptors


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
            self.died(number, began=False)
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
        if self.router.waiting:
            self._watch()

    def expect_back(self, client: HeldConnection) -> bool:
        self._watch()
        return super().expect_back(client)

    def _watch(self) -> None:
        """Wake this front for each connection that comes back."""
        if self._records.fd not in self.handlers:
            self.sources.add(self._records.fd)
            self.add(self._records)

    def _send(self, client: HeldConnection, ticket: int, flags: int, request: bytes | BinaryIO) -> None:
        if self.untaken is not None:
            self.untaken.quiet = False
        if isinstance(request, bytes):
            intro = client.intro
            item = HEAD.pack(ticket, flags, len(intro), client.came) + intro + request
            full = self.router.route(client.peer, self.now, id(client), item, (client.fd,), -1, client.framer.asked)
        else:
            item = HEAD.pack(ticket, flags | FLAG_FILE, len(client.intro), client.came) + client.intro
            with request:
                file = os.dup(request.fileno())
            full = self.router.route(
                client.peer, self.now, id(client), item, (client.fd, file), file, client.framer.asked
            )
        if full:
            self.rooms.wait_for(full)
        if self.router.waiting:
            self._watch()  # a returned connection means a less busy worker, for which the waiting tasks wait


class Records(Source[None]):
    """Records of connections that come back with nothing left to send.

    There is no hurry to take those back: the client has its response, or its end of file, and the front reads the
    records before it reads from clients. So the pipe is usually not in the poller, and an idle front is not woken for
    each response (measured: a tenth of the processor time of a request). The front waits for the pipe only from the
    time when bytes arrive for a connection that is still lent until no connection is expected back.
    """

    def __init__(self, front: ProcessLendingFront, fd: int) -> None:
        self.front = front
        self.fd = fd

    def on_event(self, events: int, service: None) -> None:
        front = self.front
        if not self.collect() or not (front.expected_back or front.router.waiting):
            front.remove(self)

    def collect(self) -> bool:
        """Process all records that have arrived. Returns False at the end of file, when the mold and all workers are
        dead."""
        try:
            data = read(self.fd, 65536)
        except BlockingIOError:
            return True
        front = self.front
        lent, expected, now = front.lent, front.expected_back, front.now
        for (record,) in RECORD.iter_unpack(data):
            ticket = record >> 2
            if not record & TICKET_KEPT or (expected and ticket in expected):
                if record & TICKET_MISSED:
                    front.died(ticket, began=False, status=503)
                else:
                    front.returned(ticket, bool(record & TICKET_KEPT))
                continue
            client = lent.pop(ticket, None)
            if client is not None:  # otherwise the ticket is that of a dead front
                client.ticket = 0
                client.phase = IDLE
                client.since = now
        front.rooms.retry()
        return bool(data)


class Desertion(Source[None]):
    """The end of file of the urgent returns: the mold and all workers are dead. The only event of this pipe here."""

    def __init__(self, front: ProcessLendingFront, fd: int) -> None:
        self.front = front
        self.fd = fd

    def on_event(self, events: int, service: None) -> None:
        """End: no lent connection will come back, and there is no worker to lend to."""
        front = self.front
        front.take_back()
        for ticket in list(front.lent):
            front.died(ticket, began=True)
        front.abandon()


class Leftovers(Source[None]):
    """Connections that come back with files of the bytes that the client has not taken."""

    def __init__(self, front: LendingFront, sock: socket.socket) -> None:
        self.front = front
        self.sock = sock
        self.fd = sock.fileno()

    def on_event(self, events: int, service: None) -> None:
        message, ancillary, truncated, _ = self.sock.recvmsg(RETURN_BYTES, RETURN_CONTROL_BYTES, DONTWAIT)
        if not message:
            self.front.remove(self)  # the mold and all workers are dead; the urgent pipe ends too
            return
        (record,) = RECORD.unpack_from(message)
        files = descriptors(ancillary)
        if truncated & socket.MSG_CTRUNC:
            for file in files:
                close(file)
            log.error("dropped the rest of a response: out of file descriptors; %s", NO_DESCRIPTOR)
            self.front.died(record >> 2, began=True)
            return
        rest = Outbound.of_parts(list(PART.iter_unpack(message[RECORD.size :])), files)
        if record >> 2 in self.front.lent:
            self.front.returned(record >> 2, bool(record & TICKET_KEPT), rest)
        else:
            rest.close()  # the front that lent it is dead, and its client's connection with it
