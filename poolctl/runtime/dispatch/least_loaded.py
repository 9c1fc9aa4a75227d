"""least-loaded: the inbox with the fewest unfinished tasks.

A worker that is new has the fewest of all, so it gets everything that comes until it has caught up, with cold caches.
With ``slow_start`` its tasks count for more at first: after a tenth of that time as ten, after half of it as two. It is
the ramp of HAProxy's and Envoy's option of this name. Pure: the time is that at which tasks arrive.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from math import inf
from typing import Annotated, Final

from pydantic import Field

from poolctl.runtime.dispatch import Dispatch
from poolctl.runtime.inbox_view import InboxView
from poolctl.runtime.task import Task

LEAST_SHARE: Final = 0.1  # of what others get, that a worker gets at its very beginning
LAGGING_SECONDS: Final = 0.02  # up to which an event loop is not avoided


@dataclass
class LeastLoaded(Dispatch):
    """The inbox with the fewest unfinished tasks; inboxes with equally few take turns. An event loop that is clearly
    later than the others gets none, and with slow_start a worker that is new gets its share little by little."""

    slow_start: Annotated[
        float, "seconds", Field(ge=0, le=3600, description="time in which a new worker comes to its share; 0: at once")
    ] = 0.0

    _last: int = field(default=-1, init=False, repr=False)
    # index to when it got its first task; None: none has been new
    _new: dict[int, float] | None = field(default=None, init=False, repr=False)

    @property
    def hooks(self) -> frozenset[str]:
        return super().hooks if self.slow_start else super().hooks - {"joined", "left"}

    def joined(self, inbox: InboxView) -> None:
        if self._new is None:
            self._new = {}
        self._new[inbox.index] = inf

    def left(self, inbox: InboxView) -> None:
        if self._new is not None:
            self._new.pop(inbox.index, None)

    def pick(self, task: Task, inboxes: tuple[InboxView, ...]) -> InboxView:
        if self._new:
            return self._ramped(self._new, task.arrived, inboxes)
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

    def _ramped(self, new: dict[int, float], now: float, inboxes: tuple[InboxView, ...]) -> InboxView:
        """Return the inbox with the fewest tasks for its share, while some are new."""
        for index, since in list(new.items()):
            if now - since >= self.slow_start:
                del new[index]

        def burden(inbox: InboxView) -> float:
            since = new.get(inbox.index)
            if since is None:
                return inbox.load + 1
            return (inbox.load + 1) / max((now - min(since, now)) / self.slow_start, LEAST_SHARE)

        turns = sorted(inboxes, key=lambda inbox: (inbox.index <= self._last, inbox.index))
        chosen = min(turns, key=burden)
        if new.get(chosen.index) == inf:
            new[chosen.index] = now
        self._last = chosen.index
        return chosen


def _not_late(turns: tuple[InboxView, ...]) -> InboxView:
    """Return the first of the inboxes with the fewest tasks, without those whose loops are clearly later than the one
    that is the least late."""
    lags = [inbox.lag for inbox in turns]
    most = max(LAGGING_SECONDS, 2 * min(lags))
    return min((inbox for inbox, lag in zip(turns, lags, strict=True) if lag <= most), key=lambda inbox: inbox.load)
