"""shuffle-sharding: each client has a few workers of its own, drawn from all of them, so its faults meet few others.

Two clients rarely have the same workers: of 16, two can be drawn in 120 ways (MacCarthaigh, "Workload isolation using
shuffle-sharding", Amazon Builders' Library, 2019). The draw is by the highest random weight (Thaler and Ravishankar,
"Using name-based mappings to increase hit rates", 1998), so another worker in the pool moves few clients. Among a
client's workers the one with the least load gets the task.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from hashlib import blake2b
from heapq import nlargest
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from poolctl.plugin import Dispatch, InboxView, Task

BITS = (1 << 64) - 1


@dataclass
class ShuffleSharding(Dispatch):
    """The tasks of one client, or of one value of a header or cookie, go to the same few workers."""

    interface: ClassVar[int] = 1

    size: Annotated[int, Field(ge=1, le=64, description="workers that serve one client")] = 2
    by: Annotated[
        Literal["client", "header", "cookie"],
        Field(description="what counts as a client; the address if a task does not have it"),
    ] = "client"
    name: Annotated[str, Field(max_length=128, description="name of the header or cookie")] = ""
    _weights: dict[int, int] = field(default_factory=dict, init=False, repr=False)  # by index; odd numbers

    def __post_init__(self) -> None:
        if self.by != "client" and not self.name:
            raise ValueError(f"by: {self.by} needs the name of the {self.by}")

    @property
    def inspects(self) -> bool:
        return self.by != "client"

    def joined(self, inbox: InboxView) -> None:
        # A worker that left stays in the draw: its clients keep the others of their workers, and return to its
        # successor. Otherwise a client that kills its workers would meet all of them, one after the other.
        self._weights[inbox.index] = _hash(str(inbox.index)) | 1

    def pick(self, task: Task, inboxes: tuple[InboxView, ...]) -> InboxView:
        key = _hash(self._key(task))
        drawn = nlargest(self.size, self._weights.items(), key=lambda each: (key ^ each[1]) * each[1] & BITS)
        shard = {index for index, _ in drawn}
        own = [inbox for inbox in inboxes if inbox.index in shard]
        return min(own or inboxes, key=lambda inbox: inbox.load)

    def _key(self, task: Task) -> str:
        if self.by == "header":
            return task.header(self.name) or task.client
        if self.by == "cookie":
            return task.cookie(self.name) or task.client
        return task.client


def _hash(key: str) -> int:
    """Return a number of 64 bits, the same in all processes, unlike hash()."""
    return int.from_bytes(blake2b(key.encode("utf-8", "surrogatepass"), digest_size=8).digest(), "big")
