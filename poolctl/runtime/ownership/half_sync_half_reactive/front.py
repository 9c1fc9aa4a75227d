"""The front of half-sync/half-reactive: it owns every connection and lends one with a complete request to a worker.

    client -- bytes --> HeldConnection (framer) -- complete request --> router --> inbox --> worker
      ^                    |                                                      |
      +---- response ------|------------------------------------------------------+
                           +<----------- returned: kept or not, and the bytes that the client did not take

The client's socket stays in the front's poller while it is lent; as long as the connection has a ticket, the front only
collects the bytes that arrive. A worker that dies leaves its ticket in the scoreboard; the mold reports it, and the
front, which still has the connection, can answer 502 if nothing was sent.

The file is long because lending, refusing and taking back share the table of lent connections.
"""

from __future__ import annotations

import itertools
import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence
from time import monotonic
from typing import Any, BinaryIO, Final

from mypy_extensions import mypyc_attr

from poolctl.runtime.buffers.outbound import Outbound, SecureSocket
from poolctl.runtime.channels.parcel import FLAG_ENDED, FLAG_LAST
from poolctl.runtime.dispatch import Dispatch
from poolctl.runtime.front_notes import FrontNotes
from poolctl.runtime.listen.door import AcceptingLoop, Door
from poolctl.runtime.listen.listener import Listener
from poolctl.runtime.listen.listening import listen
from poolctl.runtime.listen.moves import Moves, adopt_in
from poolctl.runtime.loop.loop import SWEEP_SECONDS
from poolctl.runtime.loop.source import Handler
from poolctl.runtime.ownership.half_sync_half_reactive.bounded_queue import BoundedQueue
from poolctl.runtime.ownership.half_sync_half_reactive.held_connection import HeldConnection
from poolctl.runtime.protocol import Protocol
from poolctl.runtime.protocol.output import Presence
from poolctl.runtime.routing.classes import ClassTable
from poolctl.runtime.routing.flow import FLOW_SECONDS
from poolctl.runtime.routing.overload import OverloadLimits
from poolctl.runtime.routing.room import Rooms
from poolctl.runtime.routing.router import Router
from poolctl.runtime.routing.waiting import Waiting
from poolctl.runtime.scoreboard import CROWDED, OPEN
from poolctl.runtime.serving.health import HealthCheck
from poolctl.runtime.serving.phases import ANSWERING, CLOSED
from poolctl.runtime.site.settings import Settings
from poolctl.runtime.system.poller import Poller
from poolctl.runtime.task import Peer, Task
from poolctl.runtime.timeouts import Timeouts

LOOK_AGAIN_SECONDS: Final = 0.02  # between two looks at what waits, where classes may start after a time
FIRST_LINE_BYTES: Final = 8192  # of a request in which its first line is looked for


@mypyc_attr(allow_interpreted_subclasses=True)
class LendingFront(AcceptingLoop[None], ABC):
    """Accepts connections, reads requests, lends. ``limit``: the most connections at once; ``waiting``: the most tasks
    that may wait."""

    def __init__(
        self,
        lifeline: int,
        protocol: Protocol,
        router: Router,
        timeouts: Timeouts,
        limit: int,
        waiting: int,
        *,
        clock: Callable[[], float] = monotonic,
        poller: Poller | None = None,
    ) -> None:
        super().__init__(lifeline, timeouts, limit, clock=clock, poller=poller)
        self.protocol = protocol
        self.router = router
        self.front_row = router.row
        self.waiting = waiting
        self.lent = self._loans()
        self.tasks = router.queue  # those that wait
        self.queue = BoundedQueue(self)
        # A front that replaces a dead one must not mistake the old front's tickets for its own.
        self.tickets = itertools.count(os.getpid() << 32 | 1)
        self.expected_back: set[int] = set()  # tickets whose return needs attention at once
        self.rooms = Rooms(self, router)
        self.check: HealthCheck | None = None
        self.inspects = router.refuses  # are some requests not lent, but answered here?
        self.tells = router.observes  # does the strategy need to know at once when a task is done?
        self.hurries = self.tells  # must every return be noticed at once?

    def _loans(self) -> dict[int, HeldConnection]:
        """Return the table of lent connections, by ticket."""
        return {}

    def take(self, settings: Settings, dispatch: Dispatch | None) -> None:
        """Take the limits as they are now, and another strategy if there is one. Called in the thread of this loop."""
        self.limit_to(settings.at_once)
        self.waiting = settings.waiting
        self.router.limit_to(settings.waiting)
        self.classify_by(settings.classes)
        self.bound_by(settings.overload)
        if dispatch is not None:
            self.rooms.wait_for(self.router.choose_by(dispatch))
            self.tells = self.router.observes
            self.hurries = self.tells or self.draining

    def tell(self, notes: FrontNotes) -> None:
        """Write there what people want to know of the queue."""
        self.queue.notes = notes

    def bound_by(self, limits: OverloadLimits | None) -> None:
        """Bound the queue by time; None: by ``limits.waiting`` alone."""
        self.queue.bound_by(limits)

    def classify_by(self, classes: ClassTable | None) -> None:
        """Put requests into these classes; None: the file has none."""
        self.router.classify_by(classes)
        self.queue.expect_all()

    def welcome(self, listener: Listener) -> None:
        """Accept the connections of a listener."""
        listen(self, listener, self.accept, rushes=True)

    def join_moves(self, moves: Moves, listeners: Sequence[Listener]) -> None:
        """Serve connections that move here from other processes, and pass idle ones on in a drain."""
        self.move_by(moves)
        adopt_in(self, moves, listeners)

    def answer_checks(self, check: HealthCheck) -> None:
        """Answer health checks instead of lending them."""
        self.check = check
        self.inspects = True

    def serve(self, fd: int, peer: Peer, service: None, door: Door, tls: SecureSocket | None = None) -> None:
        """Serve a connection that has come through its door."""
        try:
            client = HeldConnection(self, fd, peer, door)
            client.begin()
            if self.draining and client.phase is not CLOSED:  # it has come through its door since then
                client.drain(None)
        except BaseException as error:  # noqa: BLE001  # the boundary, which logs it
            self.fail_newcomer(fd, service, error)

    def descriptors(self) -> set[int]:
        """Also those of lent connections, which may not be in the poller."""
        return super().descriptors() | {client.fd for client in list(self.lent.values())}

    def _everybody(self) -> Iterable[Handler[None]]:
        return {*super()._everybody(), *self.lent.values()}

    def lend(self, client: HeldConnection, request: bytes | BinaryIO) -> None:
        """Lend a connection with a complete request to a worker, or answer 503 if too many tasks wait."""
        lent, router = self.lent, self.router
        full = len(lent) >= self.waiting and router.free <= 0
        if (full or self.inspects) and self._answered(client, request, full):
            return
        ticket = next(self.tickets)
        client.ticket = ticket
        client.phase = ANSWERING
        lent[ticket] = client
        more = client.framer.ready or client.framer.pending  # no event will announce it; and it is not idle with it
        if self.hurries or client.leaving or more:
            self.expect_back(client)
        flags = 0
        if client.leaving and not more:
            client.last = True
            flags = FLAG_LAST | (FLAG_ENDED if client.presence is Presence.ENDED else 0)
        try:
            self._send(client, ticket, flags, request)
        except BaseException:  # it was not sent, so it would never come back
            lent.pop(ticket, None)
            self.expected_back.discard(ticket)
            client.ticket = 0
            router.ended(id(client), 0.0)
            raise
        if full:
            self.queue.refuse_surplus()

    def _answered(self, client: HeldConnection, request: bytes | BinaryIO, full: bool) -> bool:
        """Answer a request that is not to be lent: a health check, one too many, or one of a session that has ended.
        Returns whether it was one of those. ``full``: too many tasks wait."""
        if self.check is not None and self.check.asked_in(request):
            self._answer_checks(client, request, self.check)
            return True
        if full and not (self.tasks.several and self.tasks.count):  # otherwise one of the longest line is refused
            self.router.row[CROWDED] += 1
            client.dismiss(503)
            return True
        if self.router.refuses and not self.router.knows(Task(client.peer, self.now, client.framer.asked)):
            client.turn_away(404, line=client.framer.taken)  # an MCP client then begins a new session
            return True
        return False

    def _answer_checks(self, client: HeldConnection, request: bytes | BinaryIO, check: HealthCheck) -> None:
        """Answer a health check and those that follow it at once. Without recursion: a client may send thousands."""
        following: bytes | BinaryIO | None = request
        while isinstance(following, bytes) and check.asked_in(following):
            framer = client.framer
            last = (client.leaving or framer.over) and not framer.pending and not framer.ready
            if not client.answer(check.raw_response(following, keep=not last), keep=not last):
                return
            following = client.framer.take()
        if following is None:
            client.unfinished()
        else:
            self.lend(client, following)

    def line_of(self, client: HeldConnection, request: bytes | BinaryIO) -> bytes:
        """Return the request line of the request that was just taken."""
        if line := client.framer.taken:
            return line  # not known once more bytes have come
        head = (
            request[:FIRST_LINE_BYTES]
            if isinstance(request, bytes)
            else os.pread(request.fileno(), FIRST_LINE_BYTES, 0)
        )
        return head.partition(b"\r\n")[0]

    # tasks that wait here

    def after_events(self, service: None) -> None:
        super().after_events(service)
        if self.tasks.count:
            self.queue.look()

    def _sweep(self, now: float, service: None) -> None:
        super()._sweep(now, service)
        self.queue.measure()

    @abstractmethod
    def ticket_of(self, item: Any) -> int:
        """Return the ticket in what is put into an inbox."""

    @abstractmethod
    def discard(self, entry: Waiting) -> None:
        """Close the descriptors of a task that will not be sent."""

    @abstractmethod
    def _send(self, client: HeldConnection, ticket: int, flags: int, request: bytes | BinaryIO) -> None:
        """Route the request; how it travels depends on where the workers are."""

    def _patience(self) -> float | None:
        patience = super()._patience()
        if self.tasks.count:
            pause = LOOK_AGAIN_SECONDS if self.tasks.several else FLOW_SECONDS
            return pause if patience is None else min(patience, pause)
        return SWEEP_SECONDS if patience is None and (self.lent or self.queue.outdated) else patience

    def _drained(self, quiet: bool, service: None) -> None:
        self._count_open()
        super()._drained(quiet, service)
        if not self.listening and not self.open:
            for fd in list(self.sources):
                self.remove(self.handlers[fd])
            super()._drained(quiet, service)

    def _count_open(self) -> None:
        """Tell the mold how many clients there are; those that have left count while a worker has their request."""
        left = sum(client.phase is CLOSED for client in self.lent.values())
        self.router.row[OPEN] = self.open + left

    def expect_back(self, client: HeldConnection) -> bool:
        """From now on the return of this lent connection needs attention at once, for instance since bytes have come.
        Returns False if it has come back meanwhile, which a worker thread does not announce."""
        ticket = client.ticket
        self.expected_back.add(ticket)
        if client.ticket:
            return True
        self.expected_back.discard(ticket)
        return False

    def drain(self, service: None) -> None:
        self._count_open()
        super().drain(service)
        self.hurries = True
        for client in list(self.lent.values()):
            if client.fd not in self.handlers:  # else its own drain has been called
                client.drain(service)
            if not self.expect_back(client):
                self.wake(client)

    def returned(self, ticket: int, keep: bool, rest: Outbound | None = None) -> None:
        """A worker gives a connection back. Tickets of a dead front are ignored."""
        self.expected_back.discard(ticket)
        client = self.lent.pop(ticket, None)
        if client is not None:
            if client.ticket == ticket:  # a thread has cleared it, and told the time before; it may have another by now
                self.router.ended(id(client), 0.0)
            if self.tells:
                self.router.finished(id(client), monotonic())
        # 0: a thread has cleared the ticket already; the connection may have been closed since.
        if client is not None and client.phase is not CLOSED and client.ticket in (ticket, 0):
            try:
                client.returned(keep, rest)
            except BaseException as error:  # noqa: BLE001  # the boundary, which logs it
                self.fail(client, None, error)
        elif rest is not None:
            rest.close()
        self.rooms.retry()

    def lost(self, ticket: int) -> None:
        """The worker with this ticket died before it sent a byte of the response."""
        self.died(ticket, began=False)

    def died(self, ticket: int, began: bool, status: int = 502) -> None:
        """The worker with this ticket is dead: close its connection if ``began``, otherwise answer ``status``."""
        self.expected_back.discard(ticket)
        client = self.lent.pop(ticket, None)
        if client is not None:
            self.router.ended(id(client), 0.0)
            if self.tells:
                self.router.finished(id(client), monotonic())
            client.ticket = 0
            try:
                if began:
                    client.close()
                else:
                    client.turn_away(status, line=client.framer.taken)
            except BaseException as error:  # noqa: BLE001  # the boundary, which logs it
                self.fail(client, None, error)
        self.rooms.retry()
