"""least-loaded: the inbox with the fewest unfinished tasks."""

from __future__ import annotations

from dataclasses import dataclass, field
from math import inf
from typing import Final

from poolctl.runtime.dispatch import Dispatch
from poolctl.runtime.inbox_view import InboxView
from poolctl.runtime.task import Task

LAGGING_SECONDS: Final = 0.02  # up to which an event loop is not avoided


@dataclass
class LeastLoaded(Dispatch):
    """The inbox with the fewest unfinished tasks; inboxes with equally few take turns. An event loop that is clearly
    later than the others gets none."""

    _last: int = field(default=-1, init=False, repr=False)

    def pick(self, task: Task, inboxes: tuple[InboxView, ...]) -> InboxView:
        last = self._last
        start = last + 1  # behind the last choice, if all inboxes up to it are on offer
        if start > len(inboxes):
            start = len(inboxes)
        while start and inboxes[start - 1].index > last:
            start -= 1
        chosen, least = inboxes[0], inf
        turns = inboxes[start:] + inboxes[:start]
        for inbox in turns:
            load = inbox.load
            if load < least:
                chosen, least = inbox, load
                if load <= 0:
                    break  # none has fewer
        if chosen.beats and chosen.lag > LAGGING_SECONDS:  # the only one to be asked, while all is well
            chosen = _not_late(turns)
        self._last = chosen.index
        return chosen


def _not_late(turns: tuple[InboxView, ...]) -> InboxView:
    """Return the first of the inboxes with the fewest tasks, without those whose loops are clearly later than the one
    that is the least late."""
    lags = [inbox.lag for inbox in turns]
    most = max(LAGGING_SECONDS, 2 * min(lags))
    return min((inbox for inbox, lag in zip(turns, lags, strict=True) if lag <= most), key=lambda inbox: inbox.load)
