"""consistent-hash: what is alike meets the same worker, few move when one leaves, and none is drowned.

Each inbox has many points on a ring; a key goes to the first point behind its hash (Karger et al., Consistent Hashing
and Random Trees, 1997). An inbox whose load is above (1 + slack) times the mean is passed over (Mirrokni, Thorup and
Zadimoghaddam, Consistent Hashing with Bounded Loads, 2017), so a key that everybody asks for overflows to the next.
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
    """A client, or what a header, a cookie or the path says, goes to the same worker, unless that one is overloaded."""

    interface: ClassVar[int] = 1

    by: Annotated[
        Literal["client", "header", "cookie", "path"],
        Field(description="what makes the key; where there is none the client"),
    ] = "client"
    name: Annotated[str, Field(max_length=128, description="of the header or the cookie")] = ""
    slack: Annotated[float, Field(ge=0.05, le=100, description="part of the mean load that an inbox may have more")] = (
        0.5
    )
    points: Annotated[int, Field(ge=1, le=1000, description="of each inbox on the ring")] = 128
    _ring: list[float] = field(default_factory=list, init=False, repr=False)  # positions of points, sorted
    _new: list[float] = field(default_factory=list, init=False, repr=False)  # those that are not in it yet
    _at: dict[float, int] = field(default_factory=dict, init=False, repr=False)  # the inbox of each point
    _known: set[int] = field(default_factory=set, init=False, repr=False)

    def __post_init__(self) -> None:
        if self.by in ("header", "cookie") and not self.name:
            raise ValueError(f"by: {self.by} needs the name of the {self.by}")

    @property
    def inspects(self) -> bool:
        return self.by != "client"

    def joined(self, inbox: InboxView) -> None:
        # One that left stays on the ring and is passed over, so its keys come back to its successor.
        if inbox.index not in self._known:
            self._known.add(inbox.index)
            for number in range(self.points):
                point = _hash(f"{inbox.index}/{number}")
                self._at[point] = inbox.index
                self._new.append(point)
            if len(self._new) > len(self._ring):
                self._settle()  # at each doubling, so that thousands of workers join in seconds and no task waits long

    def _settle(self) -> None:
        self._ring = sorted(self._ring + self._new)
        self._new = []

    def pick(self, task: Task, inboxes: tuple[InboxView, ...]) -> InboxView:
        offered = {inbox.index: inbox for inbox in inboxes}
        loads = {index: inbox.load for index, inbox in offered.items()}
        most = ceil((1 + self.slack) * (sum(loads.values()) + 1) / len(loads))
        if self._new:
            self._settle()
        ring = self._ring
        start = bisect(ring, _hash(self._key(task)))
        passed: set[int] = set()
        for step in range(len(ring)):
            index = self._at[ring[(start + step) % len(ring)]]
            if index in passed:
                continue
            if index in offered and loads[index] < most:
                return offered[index]
            passed.add(index)
            if len(passed) == len(self._known):
                break
        return min(inboxes, key=lambda inbox: inbox.load)  # nobody has said that those on offer have joined

    def _key(self, task: Task) -> str:
        if self.by == "path":
            return task.path or task.client
        if self.by == "header":
            return task.header(self.name) or task.client
        if self.by == "cookie":
            return task.cookie(self.name) or task.client
        return task.client


def _hash(key: str) -> float:
    """From 0 to 1, and the same in all processes, unlike hash(). Floats, because nothing is sorted faster."""
    return int.from_bytes(blake2b(key.encode("utf-8", "surrogatepass"), digest_size=8).digest(), "big") / 2**64
