"""Tasks that nobody comes to take: the event loop of a worker stands still while its app computes.

    inbox: a task, for 20 ms --> its worker has taken nothing meanwhile, and has something in hand: it computes
                                 another has taken all that it was sent: the task goes there
                                 the inbox is not on offer until something of its worker's is done, or 0.1 s later

A front that puts tasks into inboxes of single workers cannot know beforehand which loop will come round. So this looks
afterwards, at the counters of the scoreboard, and only where apps are awaited: a thread that sleeps on an inbox has a
task as soon as it is there. A worker with nothing in hand waits for a core, and gets one before long: its tasks stay.
"""

from __future__ import annotations

from collections.abc import Callable

from poolctl.runtime.inbox import Inbox
from poolctl.runtime.room import Rooms
from poolctl.runtime.router import Router
from poolctl.runtime.scoreboard import DONE, TAKEN

LATE = 0.02  # seconds that a task may lie in the inbox of a worker that takes nothing
AGAIN = 0.1  # seconds after which such a worker is tried again


class Untaken:
    """Of one front. ``reclaim`` takes the tasks out of an inbox and routes them anew."""

    def __init__(self, router: Router, rooms: Rooms, reclaim: Callable[[Inbox], None]) -> None:
        self._router = router
        self._rooms = rooms
        self._reclaim = reclaim
        # of an inbox in which something lies: how many were taken by then, and since when no more are
        self._seen: dict[int, tuple[int, float]] = {}
        self.quiet = True  # nothing lay untaken at the last look, and nothing was sent since
        self._next = 0.0  # when the next look is due
        self._standing: dict[int, tuple[int, float]] = {}  # not on offer: its counters then, and until when

    def look(self, now: float) -> None:
        """At a round of the front that is not quiet; ``now``: seconds of the monotonic clock."""
        if now < self._next:
            return
        self._next = now + LATE / 2
        inboxes = self._router.inboxes
        self.quiet = True
        for index, (counted, until) in list(self._standing.items()):
            if _moves(inboxes[index]) != counted or now > until:
                del self._standing[index]
                self._rooms.wait_for(self._router.offer_again(index))
        for index, inbox in enumerate(inboxes):
            waiting = inbox.waiting
            if waiting <= 0:
                self._seen.pop(index, None)
                continue
            self.quiet = False
            taken = sum(row[TAKEN] for row in inbox.workers)
            seen, since = self._seen.get(index, (-1, 0.0))
            if taken != seen:
                self._seen[index] = taken, now
            elif now - since > LATE and inbox.load > waiting and self._router.withdraw(index):
                self._standing[index] = _moves(inbox), now + AGAIN
                self._reclaim(inbox)
        if self._standing:
            self.quiet = False


def _moves(inbox: Inbox) -> int:
    """A number that changes when a worker of this inbox takes or ends something."""
    return sum(row[TAKEN] + row[DONE] for row in inbox.workers)
