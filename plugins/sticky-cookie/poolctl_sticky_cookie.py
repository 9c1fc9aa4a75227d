"""sticky-cookie: a visitor stays with a worker by a cookie that the app sets, without any stored state.

A hash of the cookie's value and the inbox's index gives each inbox a weight, and the highest takes the task (highest
random weight: Thaler and Ravishankar, A Name-Based Mapping Scheme for Rendezvous, 1996). When an inbox leaves, only its
own visitors move, and they return when it does. Visitors without the cookie go to the least loaded worker.
"""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import blake2b
from typing import Annotated, ClassVar

from pydantic import Field

from poolctl.plugin import Dispatch, InboxView, Task


@dataclass
class StickyCookie(Dispatch):
    """The worker chosen by a hash of the cookie's value; without the cookie the least loaded."""

    interface: ClassVar[int] = 1

    name: Annotated[str, Field(min_length=1, max_length=128, description="name of the cookie, such as sessionid")]

    @property
    def inspects(self) -> bool:
        return True

    def pick(self, task: Task, inboxes: tuple[InboxView, ...]) -> InboxView:
        value = task.cookie(self.name)
        if not value:
            return min(inboxes, key=lambda inbox: inbox.load)
        seed = int.from_bytes(blake2b(value.encode("utf-8", "surrogatepass"), digest_size=8).digest(), "big")
        return max(inboxes, key=lambda inbox: _mixed(seed, inbox.index))


def _mixed(seed: int, index: int) -> int:
    """Return a 64-bit hash (the finalizer of MurmurHash3, by Appleby)."""
    number = (seed ^ (index + 1) * 0x9E3779B97F4A7C15) & 0xFFFFFFFFFFFFFFFF
    for factor in (0xFF51AFD7ED558CCD, 0xC4CEB9FE1A85EC53):
        number = (number ^ number >> 33) * factor & 0xFFFFFFFFFFFFFFFF
    return number ^ number >> 33
