"""my-part: a dispatch strategy for poolctl."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar

from poolctl.plugin import Dispatch, InboxView, Task
from pydantic import Field


@dataclass
class MyPart(Dispatch):
    """The first inbox with few tasks; if all have many, the least loaded."""

    interface: ClassVar[int] = 1

    few: Annotated[int, Field(ge=1, description="an inbox with fewer tasks takes the next one")] = 2

    def pick(self, task: Task, inboxes: tuple[InboxView, ...]) -> InboxView:
        for inbox in inboxes:
            if inbox.load < self.few:
                return inbox
        return min(inboxes, key=lambda inbox: inbox.load)
