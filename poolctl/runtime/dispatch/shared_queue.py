"""shared-queue: one inbox, and whoever is free takes the next task."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from poolctl.runtime.dispatch import Dispatch
from poolctl.runtime.inbox_view import InboxView
from poolctl.runtime.task import Task


@dataclass
class SharedQueue(Dispatch):
    """The strategy with one inbox: the workers sleep on it, and exactly one of them wakes for a task."""

    pull: ClassVar[bool] = True

    def pick(self, task: Task, inboxes: tuple[InboxView, ...]) -> InboxView | None:
        return inboxes[0]
