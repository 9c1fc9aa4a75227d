"""The queue of a front that lends requests: how many tasks lie ready for workers, and which are dropped.

    lent --> [ router.queue ] --> shared inbox, ``flow.most`` tasks --> workers
                |  |
                |  +-- its client has left, when its turn comes: dropped
                +-- in an overload, older than the target: 503 with Retry-After

Strategies that push choose the inbox of a worker: among all of them while there are fewer tasks than all workers can
do, and otherwise among those whose workers could start one. Without ``overload`` and without classes inboxes take all
tasks, and nothing waits here but for want of room there.
"""

from __future__ import annotations

from typing import Any, Final, Protocol

from poolctl.runtime.front_notes import FrontNotes
from poolctl.runtime.ownership.half_sync_half_reactive.held_connection import HeldConnection
from poolctl.runtime.protocol import Protocol as Spoken
from poolctl.runtime.protocol.output import Presence
from poolctl.runtime.queue_view import NO_LIMIT
from poolctl.runtime.routing.flow import Flow
from poolctl.runtime.routing.overload import OVERLOADED, OverloadLimits
from poolctl.runtime.routing.room import Rooms
from poolctl.runtime.routing.router import Router
from poolctl.runtime.routing.waiting import Waiting
from poolctl.runtime.scoreboard import ABANDONED, CROWDED, LATE, REFUSED
from poolctl.runtime.serving.leaving import LEFT_EARLY, WAITED_SECONDS, left
from poolctl.runtime.system.poller import RDHUP
from poolctl.runtime.system.state import state

LATE_LOOK_SECONDS: Final = 0.005  # between two looks for tasks that have waited for too long
NOTE_SECONDS: Final = 1.0  # between two notes about the queue


class QueueingFront(Protocol):
    """What the queue needs of its front."""

    now: float
    lent: dict[int, HeldConnection]
    expected_back: set[int]
    protocol: Spoken
    router: Router
    rooms: Rooms

    def ticket_of(self, item: Any) -> int:
        """Return the ticket in what is put into an inbox."""

    def discard(self, entry: Waiting) -> None:
        """Close the descriptors of a task that will not be sent."""

    def fail(self, handler: HeldConnection, service: None, error: BaseException) -> None:
        """A handler raised: log it, count it, and abort the handler."""


class BoundedQueue:
    """Used by the thread of the front."""

    def __init__(self, front: QueueingFront) -> None:
        self.front = front
        self.notes: FrontNotes | None = None  # where there is somebody to read them
        self._noted = self._looked = 0.0
        self.outdated = False  # do the notes tell of tasks that may be done since?
        router = front.router
        router.loans = front.lent
        router.abandoned = self._abandoned
        router.turn_away = self._turn_away
        inboxes = router.inboxes
        self._seats = max(len(inbox.slots) for inbox in inboxes)
        self.flow = Flow(
            [row for inbox in inboxes for row in inbox.workers],
            max(len(inbox.slots) // max(len(inbox.workers), 1) for inbox in inboxes),
        )

    def bound_by(self, limits: OverloadLimits | None) -> None:
        """Bound the queue by time; None: by ``limits.waiting`` alone."""
        queue = self.front.router.queue
        queue.bound_by(limits)
        if limits is None and not self.front.router.tracks:
            queue.most = NO_LIMIT
            self.front.rooms.retry()

    def expect_all(self) -> None:
        """Until the workers have been counted, take it that all are there: what is reserved is kept from the start."""
        queue = self.front.router.queue
        if queue.several and not queue.slots:
            queue.slots = queue.most = sum(len(inbox.slots) for inbox in self.front.router.inboxes)
            queue.share_out()

    def measure(self) -> None:
        """Find out how fast workers are, and so how many tasks may lie ready in a shared inbox."""
        front, flow = self.front, self.flow
        router = front.router
        queue = router.queue
        if queue.limits is None and not router.tracks:
            return
        if router.gradient is not None:
            flow.limit_to(router.gradient.limit)
        looked = flow.look(front.now, len(front.lent) - queue.count)
        if not queue.several and queue.plain.overload is not None:
            queue.plain.overload.service = flow.service
        if flow.ready:
            queue.slots = flow.ready + flow.away
            if not router.queues:
                queue.most = flow.most
                router.ahead = flow.ahead(self._seats)
        if looked and router.tracks and self.notes is not None and front.now >= self._noted + NOTE_SECONDS:
            self._noted = front.now
            self.outdated = bool(front.lent)
            self.notes.write(router.notes())
        if looked:  # there may be more workers, or requests take less time
            if router.tracks:
                router.look(front.now, flow.rate)
            front.rooms.retry()

    def look(self) -> None:
        """Refuse tasks that have waited for too long in an overload."""
        self.measure()
        front = self.front
        if front.now - self._looked < LATE_LOOK_SECONDS:
            return
        self._looked = front.now
        if front.router.queue.several:
            front.router.queue.now = front.now
            front.rooms.retry()  # what is spared for others may be used by now
        late = front.router.take_late(front.now)
        if late:
            front.protocol.retry_after = self.flow.seconds_for(front.router.queue.count + len(late))
            front.router.row[LATE] += len(late)
            for entry in late:
                self._drop(entry, 503)
            front.protocol.retry_after = 1

    def refuse_surplus(self) -> None:
        """Refuse one task of the longest line if too many wait."""
        router = self.front.router
        if router.crowded and router.queue.count:
            router.row[CROWDED] += 1
            self._drop(router.take_surplus(), 503)

    def _turn_away(self, entry: Waiting) -> None:
        """Refuse a task that the strategy has turned away."""
        self.front.router.row[REFUSED] += 1
        self._drop(entry, 503)

    def _abandoned(self, entry: Waiting) -> bool:
        """Drop a task that has waited if its client has left: with a reset, or in an overload with an end of file,
        which may mean no more than that it sends nothing else. Returns whether it was dropped."""
        front = self.front
        client = front.lent.get(front.ticket_of(entry.item))
        if client is None or front.now - entry.task.arrived <= WAITED_SECONDS or not client.framer.forgets:
            return False
        events = state(client.fd, RDHUP)
        gone = client.presence is Presence.GONE or left(events, client.peer)
        queue = front.router.queue
        overload = queue.lanes[entry.lane].overload
        if not gone and overload is not None and overload.state is OVERLOADED:
            gone = client.presence is Presence.ENDED or bool(events & RDHUP)
        if gone:
            self._drop(entry, 0)
        return gone

    def _drop(self, entry: Waiting, status: int) -> None:
        """Refuse a task that waits, with this status; 0: end its connection without a word, since its client has
        left."""
        front = self.front
        ticket = front.ticket_of(entry.item)
        front.discard(entry)
        front.expected_back.discard(ticket)
        client = front.lent.pop(ticket, None)
        if client is None:
            return
        client.ticket = 0
        try:
            if status:
                client.dismiss(status)
            else:
                front.router.row[ABANDONED] += 1
                front.protocol.witness(LEFT_EARLY, client.peer, client.framer.taken)
                client.close()
        except BaseException as error:  # noqa: BLE001  # the boundary, which logs it
            front.fail(client, None, error)
