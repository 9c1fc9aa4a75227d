"""client: the client's address decides, over all its connections."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass
from typing import Annotated

from pydantic import Field

from poolctl.runtime.affinity import Affinity
from poolctl.runtime.task import Task


@dataclass
class Client(Affinity):
    """Every connection from one address goes to the same worker; all clients of a unix socket count as one."""

    clients: Annotated[int, Field(ge=1, description="addresses to remember; the one unused longest is forgotten")] = (
        65536
    )

    @property
    def remembers(self) -> int:  # type: ignore[override]  # a class variable elsewhere, an option here
        return self.clients

    def key(self, task: Task, connection: int) -> Hashable | None:
        return task.peer.client_host
