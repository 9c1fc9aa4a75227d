"""One process below the mold, as supervision sees it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from poolctl.runtime.lifeline import Life


@dataclass(frozen=True)
class Role:
    """What to fork, and which of poolctl's descriptors it keeps."""

    name: str  # "front", "worker 3"
    title: str  # "poolctl: worker shop 3", as ps shows it
    run: Callable[[Life], None]  # serves until the lifeline ends; a return is a clean exit
    keeps: frozenset[int]  # those of Plan.owned that it needs; the others are closed in it
    stage: int  # 0: stopped first (fronts); 1: stopped when all of stage 0 have exited (workers)
    rows: tuple[int, ...] = ()  # the rows of its threads in the scoreboard
