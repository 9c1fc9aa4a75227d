"""Strategies that are right, and such that are not, for the topologies beside this folder."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import Annotated, ClassVar

from pydantic import Field

from poolctl.plugin import Dispatch, InboxView, Task


@dataclass
class Right(Dispatch):
    """The first that has little to do."""

    little: Annotated[int, Field(ge=1, description="tasks that are little")] = 2

    def pick(self, task: Task, inboxes: tuple[InboxView, ...]) -> InboxView | None:
        return next((each for each in inboxes if each.load < self.little), None)


@dataclass
class Looks(Right):
    """Where the path says."""

    @property
    def inspects(self) -> bool:
        return True


@dataclass
class Learns(Right):
    """Who was quick."""

    def finished(self, task: Task, inbox: InboxView, seconds: float) -> None:
        self.little = max(1, self.little)


@dataclass
class Even(Right):
    """Refuses what is odd."""

    def __post_init__(self) -> None:
        if self.little % 2:
            raise ValueError(f"{self.little} is odd")


class NoDataclass(Right):
    weight: int = 3


class NoPick(Dispatch):
    """Says nothing."""


class Bare(Dispatch):
    """Its pick takes nothing."""

    def pick(self) -> None:  # type: ignore[override]
        return None


class Awaited(Right):
    """Its hook would have to be awaited."""

    async def left(self, inbox: InboxView) -> None:  # type: ignore[override]
        self.little = 1


class Newer(Right):
    """Of tomorrow."""

    interface: ClassVar[int] = 2


class Unlike(Right):
    """Like nothing."""

    like: ClassVar[str] = "kernel-hash"


class Stranger:
    """Not a strategy."""


def function() -> str:
    return sys.version
