"""What supervision needs to know of an assembled server: its roles, and which descriptors each of them keeps."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass

from poolctl.runtime.lifeline import Life


@dataclass(frozen=True)
class Role:
    """One process below the mold."""

    name: str  # "front", "worker 3": its title in ps is "poolctl: front shop", "poolctl: worker shop 3"
    title: str  # "poolctl: worker shop 3"
    run: Callable[[Life], None]  # serves until the lifeline ends; to return is a clean end
    keeps: frozenset[int]  # of Plan.owned, what it needs; everything else of Plan.owned is closed in it
    stage: int  # 0: ended first (fronts); 1: ended when all of stage 0 have left (workers)


class Plan(ABC):
    """A generation's server, made inside the mold: channels open, nothing forked yet."""

    name: str  # of the topology
    roles: list[Role]
    owned: set[int]  # every descriptor that poolctl made: listeners, channels; not those of the user's app
    drain: float  # seconds

    @abstractmethod
    def died(self, role: Role, pid: int) -> None:
        """In the mold, when a role's process has been reaped and before it is forked again."""

    @abstractmethod
    def close_for(self, stage: int) -> None:
        """In the mold, when all roles of the stages before this one have left: close what must reach its end of file."""
