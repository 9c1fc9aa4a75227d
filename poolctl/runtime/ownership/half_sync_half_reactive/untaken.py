"""Tasks that nobody comes to take, though their worker has threads or an event loop for them.

    inbox: a task, for 20 ms --> its worker has taken nothing meanwhile, and has a task in flight

Two kinds of workers do that. An event loop stands still while its app computes: its tasks go to another that has taken
all that it was sent, and no more are sent to it until something of its own is done, or 0.1 s later. Threads that take
turns (see turns) wait for the one whose turn it is: they are called. A thread that sleeps on its inbox has a task as
soon as it is there, and is not looked after; a worker with nothing in flight waits for a core, and gets one before
long.

A front that puts tasks into inboxes of single workers cannot know beforehand which worker will be late. So it looks
afterwards, at the counters of the scoreboard.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence

from poolctl.runtime.channels.inbox import Inbox, ProcessInbox
from poolctl.runtime.routing.room import Rooms
from poolctl.runtime.routing.router import Router
from poolctl.runtime.scoreboard import DONE, TAKEN

LATE = 0.02  # seconds that a task may lie in the inbox of a worker that takes nothing
AGAIN = 0.1  # seconds after which such a worker is tried again


class Untaken(ABC):
    """Of one front."""

    def __init__(self, inboxes: Sequence[Inbox]) -> None:
        self._inboxes = inboxes
        # of an inbox in which something lies: how many were taken by then, and since when no more are
        self._seen: dict[int, tuple[int, float]] = {}
        self.quiet = False  # nothing lay untaken at the last look, and nothing was sent since
        self._next = 0.0  # when the next look is due

    def look(self, now: float) -> None:
        """At a round of the front that is not quiet; ``now``: seconds of the monotonic clock."""
        if now < self._next:
            return
        self._next = now + LATE / 2
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
            elif now - since > LATE and inbox.load > waiting:
                self._seen[index] = taken, now
                self._help(inbox, now)

    @abstractmethod
    def _help(self, inbox: Inbox, now: float) -> None:
        """Its worker is late."""


class Computing(Untaken):
    """Event loops that stand still. ``reclaim`` takes the tasks out of an inbox and routes them anew."""

    def __init__(self, router: Router, rooms: Rooms, reclaim: Callable[[Inbox], None]) -> None:
        super().__init__(router.inboxes)
        self._router = router
        self._rooms = rooms
        self._reclaim = reclaim
        self._standing: dict[int, tuple[int, float]] = {}  # not on offer: its counters then, and until when

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
            self._standing[inbox.index] = _moves(inbox), now + AGAIN
            self._reclaim(inbox)


class TakingTurns(Untaken):
    """Threads whose turn it is not. The bell rings also where all threads are busy, and then nobody listens: a turn
    may begin at any moment, also when all tasks have been sent."""

    def _help(self, inbox: Inbox, now: float) -> None:
        assert isinstance(inbox, ProcessInbox)  # only between processes there are turns
        assert inbox.bell is not None
        inbox.bell.ring()


def _moves(inbox: Inbox) -> int:
    """A number that changes when a worker of this inbox takes or ends something."""
    return sum(row[TAKEN] + row[DONE] for row in inbox.workers)
