"""leader: under leader/followers there is no dispatcher."""

from __future__ import annotations

from dataclasses import dataclass

from poolctl.runtime.dispatch import Dispatch
from poolctl.runtime.inbox_view import InboxView
from poolctl.runtime.task import Task


@dataclass
class Leader(Dispatch):
    """The leader takes what comes and a follower becomes the next leader, without a dispatcher in between."""

    def pick(self, task: Task, inboxes: tuple[InboxView, ...]) -> InboxView | None:
        raise TypeError("the leader takes the task itself; no front calls pick")
