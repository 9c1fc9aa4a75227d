"""leader: under leader/followers nobody dispatches."""

from __future__ import annotations

from dataclasses import dataclass

from poolctl.runtime.dispatch import Dispatch
from poolctl.runtime.inbox_view import InboxView
from poolctl.runtime.task import Task


@dataclass
class Leader(Dispatch):
    """The leader takes what comes, and the next follower leads: there is no dispatcher in the way."""

    def pick(self, task: Task, inboxes: tuple[InboxView, ...]) -> InboxView | None:
        raise TypeError("the leader takes the task itself, no front asks")
