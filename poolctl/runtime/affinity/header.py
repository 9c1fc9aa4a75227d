"""header: the value of a header identifies the session."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass
from typing import Annotated

from pydantic import Field

from poolctl.runtime.affinity.session import Name, SessionAffinity, bounded, headers_of
from poolctl.runtime.task import Task


@dataclass
class Header(SessionAffinity):
    """Requests with the same value of a header go to the same worker: the one that sent it to the client, if one
    did."""

    name: Annotated[Name, Field(description="name of the header, such as Mcp-Session-Id")]

    def key(self, task: Task, connection: int) -> Hashable | None:
        value = task.header(self.name)
        return bounded(value) if value else None

    def named(self, head: bytes) -> list[str]:
        return [bounded(value) for value in headers_of(head, self.name.lower().encode()) if value]
