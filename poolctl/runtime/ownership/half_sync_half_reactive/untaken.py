"""Tasks that stay in an inbox although their worker has threads or an event loop for them.

    inbox: a task, for 20 ms --> its worker has taken nothing meanwhile, and has a task in flight

There are two kinds of such workers. An event loop stalls while its app computes: its tasks go to another worker that
has taken all its tasks, and it gets no more until it takes or finishes one, or 0.1 s have passed. Threads that take
turns (see turns) wait for the holder of the turn: the front wakes them. A thread that sleeps on its inbox takes a task
at once, and needs no help; a worker with nothing in flight waits for a core, and gets one soon.

A front that puts tasks into the inboxes of single workers cannot know beforehand which worker will be late. So it
checks afterwards, from the counters of the scoreboard.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence

from poolctl.runtime.channels.inbox import Inbox, ProcessInbox
from poolctl.runtime.routing.room import Rooms
from poolctl.runtime.routing.router import Router
from poolctl.runtime.scoreboard import DONE, TAKEN

LATE_SECONDS = 0.02  # seconds that a task may stay in the inbox of a worker that takes nothing
OFFER_AGAIN_SECONDS = 0.1  # seconds after which such a worker is offered tasks again


class Untaken(ABC):
    """Watches the inboxes of one front."""

    def __init__(self, inboxes: Sequence[Inbox]) -> None:
        self._inboxes = inboxes
        # index of an inbox with tasks in it: how many were taken at that time, and that time
        self._seen: dict[int, tuple[int, float]] = {}
        self.quiet = False  # at the last look no task was untaken, and none has been sent since
        self._next = 0.0  # when the next look is due

    def look(self, now: float) -> None:
        """Check the inboxes; called in each round of the front unless ``quiet``. ``now``: seconds of the monotonic
        clock."""
        if now < self._next:
            return
        self._next = now + LATE_SECONDS / 2
        self.quiet = True
        for index, inbox in enumerate(self._inboxes):
            waiting = inbox.waiting
            if waiting <= 0:
                self._seen.pop(index, None)
                continue
            self.quiet = False
            taken = sum(row[TAKEN] for row in inbox.workers)
            seen, since = self._seen.get(index, (-1, 0.0))
            if taken != seen:
                self._seen[index] = taken, now
            elif now - since > LATE_SECONDS and inbox.load > waiting:
                self._seen[index] = taken, now
                self._help(inbox, now)

    @abstractmethod
    def _help(self, inbox: Inbox, now: float) -> None:
        """Get the tasks of an inbox served although its worker is late."""


class Computing(Untaken):
    """For event loops that stall while the app computes. ``reclaim`` takes the tasks out of an inbox and routes them
    again."""

    def __init__(self, router: Router, rooms: Rooms, reclaim: Callable[[Inbox], None]) -> None:
        super().__init__(router.inboxes)
        self._router = router
        self._rooms = rooms
        self._reclaim = reclaim
        self._standing: dict[int, tuple[int, float]] = {}  # inbox off the offer: its counters then, and until when

    def look(self, now: float) -> None:
        if now < self._next:
            return
        for index, (counted, until) in list(self._standing.items()):
            if _moves(self._inboxes[index]) != counted or now > until:
                del self._standing[index]
                self._rooms.wait_for(self._router.offer_again(index))
        super().look(now)
        if self._standing:
            self.quiet = False

    def _help(self, inbox: Inbox, now: float) -> None:
        if self._router.withdraw(inbox.index):
            self._standing[inbox.index] = _moves(inbox), now + OFFER_AGAIN_SECONDS
            self._reclaim(inbox)


class TakingTurns(Untaken):
    """For threads that wait for their turn. The bell also rings when all threads are busy and none listens, because a
    turn may begin at any moment, even after all tasks have been sent."""

    def _help(self, inbox: Inbox, now: float) -> None:
        assert isinstance(inbox, ProcessInbox)  # there are turns only between processes
        assert inbox.bell is not None
        inbox.bell.ring()


def _moves(inbox: Inbox) -> int:
    """A number that changes when a worker of this inbox takes or finishes a task."""
    return sum(row[TAKEN] + row[DONE] for row in inbox.workers)
