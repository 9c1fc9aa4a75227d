"""Recounts: did a worker die with a task that it had taken, but not noted in its row?

A worker can be killed after it has taken a task from its inbox and before it notes the ticket. So when the mold reports
that a worker died with no ticket in its row, the front recounts what it has lent. An inbox is first in, first out: once
it is empty, or a newer task is in flight, every task that was in it at the death has been taken; and a taken task is in
a worker's row a moment later, or has come back. A task that is neither is lost.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from poolctl.runtime.channels.inbox import Inbox
from poolctl.runtime.routing.router import Router
from poolctl.runtime.scoreboard import SENT, TICKET


class Lender(Protocol):
    """What a recount needs of the front."""

    router: Router

    @property
    def lent(self) -> Mapping[int, object]:
        """The connections that are lent, by ticket."""

    def take_back(self) -> None:
        """Take back the connections that have come back."""

    def lost(self, ticket: int) -> None:
        """The worker that had this ticket died before it sent a byte of the response."""


class Recount:
    """The tickets that may have been lost with one worker of this inbox."""

    def __init__(self, front: Lender, inbox: Inbox) -> None:
        self.front = front
        self.inbox = inbox
        self.suspects = self._sent()
        self.newer: set[int] = set()  # tickets that were sent later
        self.taken = False  # whether every task that was in the inbox at the death has been taken

    def _sent(self) -> set[int]:
        """The tickets that were put into the inbox and are not back."""
        lent = self.front.lent
        sent = self.front.router.sent_to(self.inbox, map(id, lent.values()))
        return {ticket for ticket, client in lent.items() if id(client) in sent}

    def look(self) -> bool:
        """Called once per sweep. Returns whether the recount is over."""
        held = {row[TICKET] >> 1 for row in self.inbox.slots}
        self.front.take_back()  # after reading the rows: a worker gives back first, then clears its row
        lent = self.front.lent
        self.suspects &= lent.keys() - held
        if not self.suspects:
            return True
        if not self.taken:
            self.taken = self.inbox.empty or any(ticket in held or ticket not in lent for ticket in self.newer)
            self.newer = self._sent() - self.suspects - held
            return False  # a worker that has just taken a task will have noted it by the next look
        for ticket in self.suspects:
            self.inbox.row[SENT] -= 1  # no worker has counted it as taken
            self.front.lost(ticket)
        return True
