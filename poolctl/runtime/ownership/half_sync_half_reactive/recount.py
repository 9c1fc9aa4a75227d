"""Recounts: did a worker die with a task that it had taken, and had not written down?

A worker that is killed notes nothing any more, and in the kernel there is a moment in which it has taken a task from
its inbox and is dead already. So when the mold says that one died with no ticket in its row, the front counts what it
has lent. An inbox is first in, first out: once it was empty, or something newer was in hand, all that lay in it at the
death has been taken; and what was taken is in a worker's row a moment later, or has come back. What is neither is lost.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from poolctl.runtime.channels.inbox import Inbox
from poolctl.runtime.routing.router import Router
from poolctl.runtime.scoreboard import SENT, TICKET


class Lender(Protocol):
    """The front, as far as a recount asks it."""

    router: Router

    @property
    def lent(self) -> Mapping[int, Any]:
        """Its connections that are lent, by ticket."""

    def take_back(self) -> None:
        """Read what has come back."""

    def died(self, ticket: int, *, began: bool) -> None:
        """The worker that had this ticket died. ``began``: a byte of the answer was sent."""


class Recount:
    """The tickets that may have been lost with one worker of this inbox."""

    def __init__(self, front: Lender, inbox: Inbox) -> None:
        self.front = front
        self.inbox = inbox
        self.suspects = self._sent()
        self.newer: set[int] = set()  # tickets that were sent later
        self.taken = False  # all that lay in the inbox at the death

    def _sent(self) -> set[int]:
        """The tickets that were put into the inbox and are not back."""
        lent = self.front.lent
        sent = self.front.router.sent_to(self.inbox, map(id, lent.values()))
        return {ticket for ticket, client in lent.items() if id(client) in sent}

    def look(self) -> bool:
        """Once in a sweep; whether the recount is over."""
        held = {row[TICKET] >> 1 for row in self.inbox.slots}
        self.front.take_back()  # after the look at the rows: a worker gives back first, then clears its row
        lent = self.front.lent
        self.suspects &= lent.keys() - held
        if not self.suspects:
            return True
        if not self.taken:
            self.taken = self.inbox.empty or any(ticket in held or ticket not in lent for ticket in self.newer)
            self.newer = self._sent() - self.suspects - held
            return False  # who has just taken one notes it until the next look
        for ticket in self.suspects:
            self.inbox.row[SENT] -= 1  # nobody has counted it as taken
            self.front.died(ticket, began=False)
        return True
