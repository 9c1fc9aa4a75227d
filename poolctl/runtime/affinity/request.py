"""request: each request goes wherever dispatch sends it."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass

from poolctl.runtime.affinity import Affinity
from poolctl.runtime.task import Task


@dataclass
class Request(Affinity):
    """No request is bound to a worker: requests of one connection may go to different workers."""

    def key(self, task: Task, connection: int) -> Hashable | None:
        return None
