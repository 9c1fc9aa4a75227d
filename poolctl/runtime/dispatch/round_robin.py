"""round-robin: each inbox in its turn."""

from __future__ import annotations

from dataclasses import dataclass, field

from poolctl.runtime.dispatch import Dispatch
from poolctl.runtime.inbox_view import InboxView
from poolctl.runtime.task import Task


@dataclass
class RoundRobin(Dispatch):
    """Each inbox in its turn, however busy it is."""

    # The index, not the position: an inbox that is not on offer must not shift the turns of the others.
    _last: int = field(default=-1, init=False, repr=False)

    def pick(self, task: Task, inboxes: tuple[InboxView, ...]) -> InboxView | None:
        for inbox in inboxes:
            if inbox.index > self._last:
                break
        else:
            inbox = inboxes[0]
        self._last = inbox.index
        return inbox
