"""connection: all requests of a connection meet the worker that had its first."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass
from typing import ClassVar

from poolctl.runtime.affinity import Affinity
from poolctl.runtime.task import Task


@dataclass
class Connection(Affinity):
    """The worker that had a connection's first request has them all."""

    # Forgotten when the connection closes, so the limit on connections is the bound that counts.
    remembers: ClassVar[int] = 1 << 30

    def key(self, task: Task, connection: int) -> Hashable | None:
        return connection
