"""consistent-hash: tasks with the same key go to the same worker, few keys move when one leaves, and loads are bounded.

Each inbox has many points on a ring; a key goes to the first point after its hash (Karger et al., Consistent Hashing
and Random Trees, 1997). An inbox whose load is above (1 + slack) times the mean is skipped (Mirrokni, Thorup and
Zadimoghaddam, Consistent Hashing with Bounded Loads, 2017), so a hot key overflows to the next inbox.
"""

from __future__ import annotations

from bisect import bisect
from dataclasses import dataclass, field
from hashlib import blake2b
from math import ceil
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from poolctl.plugin import Dispatch, InboxView, Task


@dataclass
class ConsistentHash(Dispatch):
    """The same client, header, cookie or path goes to the same worker, unless that worker is overloaded."""

    interface: ClassVar[int] = 1

    by: Annotated[
        Literal["client", "header", "cookie", "path"],
        Field(description="source of the key; the client if a task does not have it"),
    ] = "client"
    name: Annotated[str, Field(max_length=128, description="name of the header or cookie")] = ""
    slack: Annotated[float, Field(ge=0.05, le=100, description="how far a load may exceed the mean, as a ratio")] = 0.5
    points: Annotated[int, Field(ge=1, le=1000, description="points on the ring for each inbox")] = 128
    _ring: list[float] = field(default_factory=list, init=False, repr=False)  # positions of points, sorted
    _new: list[float] = field(default_factory=list, init=False, repr=False)  # points that are not in the ring yet
    _at: dict[float, int] = field(default_factory=dict, init=False, repr=False)  # the inbox of each point
    _known: set[int] = field(default_factory=set, init=False, repr=False)

    def __post_init__(self) -> None:
        if self.by in ("header", "cookie") and not self.name:
            raise ValueError(f"by: {self.by} needs the name of the {self.by}")

    @property
    def inspects(self) -> bool:
        return self.by != "client"

    def joined(self, inbox: InboxView) -> None:
        # The points of an inbox that left stay on the ring and are skipped, so its keys return to its successor.
        if inbox.index not in self._known:
            self._known.add(inbox.index)
            for number in range(self.points):
                point = _hash(f"{inbox.index}/{number}")
                self._at[point] = inbox.index
                self._new.append(point)
            if len(self._new) > len(self._ring):
                self._merge()  # at each doubling, so that thousands of workers join in seconds and no task waits long

    def _merge(self) -> None:
        self._ring = sorted(self._ring + self._new)
        self._new = []

    def pick(self, task: Task, inboxes: tuple[InboxView, ...]) -> InboxView:
        available = {inbox.index: inbox for inbox in inboxes}
        loads = {index: inbox.load for index, inbox in available.items()}
        most = ceil((1 + self.slack) * (sum(loads.values()) + 1) / len(loads))
        if self._new:
            self._merge()
        ring = self._ring
        start = bisect(ring, _hash(self._key(task)))
        skipped: set[int] = set()
        for step in range(len(ring)):
            index = self._at[ring[(start + step) % len(ring)]]
            if index in skipped:
                continue
            if index in available and loads[index] < most:
                return available[index]
            skipped.add(index)
            if len(skipped) == len(self._known):
                break
        return min(inboxes, key=lambda inbox: inbox.load)  # none of the available inboxes has joined yet

    def _key(self, task: Task) -> str:
        if self.by == "path":
            return task.path or task.client
        if self.by == "header":
            return task.header(self.name) or task.client
        if self.by == "cookie":
            return task.cookie(self.name) or task.client
        return task.client


def _hash(key: str) -> float:
    """Return a number from 0 to 1, the same in all processes, unlike hash(). Python sorts floats fastest."""
    return int.from_bytes(blake2b(key.encode("utf-8", "surrogatepass"), digest_size=8).digest(), "big") / 2**64
