"""A task that waits in the front."""

from __future__ import annotations

from collections import deque
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


def take_out(entry: Waiting, entries: deque[Waiting]) -> None:
    """Take a task out of a line, in which it is mostly the first or the last one."""
    if entries[0] is entry:
        entries.popleft()
    elif entries[-1] is entry:
        entries.pop()
    else:
        entries.remove(entry)
