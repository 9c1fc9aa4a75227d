"""least-loaded: the inbox with the fewest unfinished tasks."""

from __future__ import annotations

from dataclasses import dataclass, field

from poolctl.runtime.dispatch import Dispatch
from poolctl.runtime.inbox_view import InboxView
from poolctl.runtime.task import Task


@dataclass
class LeastLoaded(Dispatch):
    """The inbox with the fewest unfinished tasks; inboxes with equally few take turns."""

    _last: int = field(default=-1, init=False, repr=False)

    def pick(self, task: Task, inboxes: tuple[InboxView, ...]) -> InboxView:
        loads = [inbox.load for inbox in inboxes]
        least = min(loads)
        chosen = None
        for inbox, load in zip(inboxes, loads, strict=True):
            if load == least:
                if inbox.index > self._last:
                    chosen = inbox
                    break
                chosen = chosen or inbox
        assert chosen is not None  # min() is the load of one of them
        self._last = chosen.index
        return chosen
