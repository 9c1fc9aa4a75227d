"""power-of-choices: nearly as good as comparing all inboxes, at the price of comparing two."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Annotated

from pydantic import Field

from poolctl.runtime.dispatch import Dispatch
from poolctl.runtime.inbox_view import InboxView
from poolctl.runtime.task import Task


@dataclass
class PowerOfChoices(Dispatch):
    """The least loaded of a few inboxes drawn at random (Mitzenmacher, The Power of Two Choices, 2001)."""

    choices: Annotated[int, Field(ge=1, description="inboxes to draw for each task")] = 2

    def pick(self, task: Task, inboxes: tuple[InboxView, ...]) -> InboxView | None:
        return min(random.sample(inboxes, min(self.choices, len(inboxes))), key=lambda inbox: inbox.load)
