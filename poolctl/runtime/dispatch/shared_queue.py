"""shared-queue: any worker that is free takes the oldest task.

Where a worker serves one task at a time, the queue is one inbox that all workers share: they sleep on it, and the
kernel wakes one. Where a worker serves several (threads of a process, tasks of an event loop), the kernel would wake
the same process again and again while the others idle. There the queue is in the front, and this strategy chooses the
worker.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

from poolctl.runtime.dispatch import Dispatch
from poolctl.runtime.inbox_view import InboxView
from poolctl.runtime.task import Task


@dataclass
class SharedQueue(Dispatch):
    """Any free worker takes the oldest task. Where a worker serves several at once, as a process with threads does, a
    task goes to the worker with the fewest unfinished tasks and room for one more; of equally busy workers, to the one
    that got its last task the longest ago. While no worker has room, tasks wait in the front."""

    pull: ClassVar[bool] = True

    _offered: tuple[InboxView, ...] = field(default=(), init=False, repr=False)
    _turns: list[InboxView] = field(default_factory=list, init=False, repr=False)  # the one with the next turn first
    _last: dict[int, int] = field(default_factory=dict, init=False, repr=False)  # index to the number of its last turn
    _turn: int = field(default=0, init=False, repr=False)

    def pick(self, task: Task, inboxes: tuple[InboxView, ...]) -> InboxView | None:
        if inboxes is not self._offered:  # rare: a worker has died, or is back
            self._offered = inboxes
            self._turns = sorted(inboxes, key=lambda inbox: self._last.get(inbox.index, 0))
        chosen, least = None, 0
        for inbox in self._turns:
            load = inbox.load
            if load <= 0:  # no inbox has less
                chosen = inbox
                break
            if load < inbox.capacity and (chosen is None or load < least):
                chosen, least = inbox, load
        if chosen is not None:
            self._turn += 1
            self._last[chosen.index] = self._turn
            self._turns.remove(chosen)
            self._turns.append(chosen)
        return chosen
