"""cookie: the value of a cookie identifies the session."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass
from typing import Annotated

from pydantic import Field

from poolctl.runtime.affinity.session import Name, SessionAffinity, bounded, headers_of
from poolctl.runtime.task import Task


@dataclass
class Cookie(SessionAffinity):
    """Requests with the same value of a cookie (RFC 6265) go to the same worker: the one that set it, if one did."""

    name: Annotated[Name, Field(description="name of the cookie, such as sessionid")]

    def key(self, task: Task, connection: int) -> Hashable | None:
        value = task.cookie(self.name)
        return bounded(value) if value else None

    def named(self, head: bytes) -> list[str]:
        found = []
        for given in headers_of(head, b"set-cookie"):
            name, _, value = given.partition(";")[0].partition("=")
            value = value.strip().strip('"')
            if name.strip() == self.name and value:
                found.append(bounded(value))
        return found
