"""my-part: an ownership for poolctl."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, ClassVar

from poolctl.plugin import HalfSyncHalfReactive, Life, Site, load_callable
from pydantic import Field


@dataclass
class MyPart(HalfSyncHalfReactive):
    """A front owns the connections, and each worker calls a function before its first request."""

    interface: ClassVar[int] = 1
    like: ClassVar[str] = "half-sync/half-reactive"

    before: Annotated[str, Field(min_length=1, description="package.module:function, for instance to fill a cache")]

    def work(self, site: Site, worker: int, life: Life) -> list[Callable[[], None]]:
        """Return the loops of a worker; called in its process."""
        load_callable(self.before)()
        return super().work(site, worker, life)
