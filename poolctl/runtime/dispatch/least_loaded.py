"""least-loaded: the inbox with the fewest unfinished tasks."""

from __future__ import annotations

from dataclasses import dataclass, field
from math import inf

from poolctl.runtime.dispatch import Dispatch
from poolctl.runtime.inbox_view import InboxView
from poolctl.runtime.task import Task


@dataclass
class LeastLoaded(Dispatch):
    """The inbox with the fewest unfinished tasks; inboxes with equally few take turns."""

    _last: int = field(default=-1, init=False, repr=False)

    def pick(self, task: Task, inboxes: tuple[InboxView, ...]) -> InboxView:
        last = self._last
        start = min(last + 1, len(inboxes))  # behind the last choice, if all inboxes up to it are on offer
        while start and inboxes[start - 1].index > last:
            start -= 1
        chosen, least = inboxes[0], inf
        for inbox in inboxes[start:] + inboxes[:start]:
            load = inbox.load
            if load < least:
                chosen, least = inbox, load
                if load <= 0:
                    break  # none has fewer
        self._last = chosen.index
        return chosen
