"""One process below the mold, as supervision sees it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from poolctl.runtime.lifeline import Life


@dataclass(frozen=True)
class Role:
    """What to fork, and what of poolctl's descriptors it keeps."""

    name: str  # "front", "worker 3"
    title: str  # "poolctl: worker shop 3", as ps shows it
    run: Callable[[Life], None]  # serves until the lifeline ends; to return is a clean end
    keeps: frozenset[int]  # of Plan.owned, what it needs; everything else of Plan.owned is closed in it
    stage: int  # 0: ended first (fronts); 1: ended when all of stage 0 have left (workers)
    rows: tuple[int, ...] = ()  # its threads' rows of workers in the scoreboard
