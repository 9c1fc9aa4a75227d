"""A task that waits in the front."""

from __future__ import annotations

from typing import Any, NamedTuple

from poolctl.runtime.task import Task


class Waiting(NamedTuple):
    """A waiting task, and the item to put into an inbox. ``holder``: a descriptor to close once the item is there; -1:
    none. ``lane``: the index of its lane in the queue; ``noted``: whether the queue counts it while a worker has it."""

    task: Task
    connection: int
    item: Any
    fds: tuple[int, ...]
    holder: int
    lane: int = 0
    noted: bool = False
