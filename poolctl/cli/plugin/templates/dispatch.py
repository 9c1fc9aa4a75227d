"""my-part: a dispatch strategy for poolctl."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar

from poolctl.plugin import Dispatch, InboxView, Task
from pydantic import Field


@dataclass
class MyPart(Dispatch):
    """The first inbox that has little to do; when all have much, the least loaded."""

    interface: ClassVar[int] = 1

    little: Annotated[int, Field(ge=1, description="tasks of an inbox that are little")] = 2

    def pick(self, task: Task, inboxes: tuple[InboxView, ...]) -> InboxView:
        for inbox in inboxes:
            if inbox.load < self.little:
                return inbox
        return min(inboxes, key=lambda inbox: inbox.load)
