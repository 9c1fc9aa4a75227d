"""connection: all requests of a connection go to the worker that served its first."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass
from typing import ClassVar

from poolctl.runtime.affinity import Affinity
from poolctl.runtime.task import Task


@dataclass
class Connection(Affinity):
    """The worker that served a connection's first request serves all of them."""

    # Keys are forgotten when the connection closes, so the limit on connections is the real bound.
    remembers: ClassVar[int] = 1 << 30

    def key(self, task: Task, connection: int) -> Hashable | None:
        return connection
