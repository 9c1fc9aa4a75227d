"""path: the path of the request decides, so that one worker has each resource in its cache."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass
from typing import Annotated, ClassVar

from pydantic import Field

from poolctl.runtime.affinity import Affinity
from poolctl.runtime.affinity.session import Keys, bounded
from poolctl.runtime.task import Task


@dataclass
class Path(Affinity):
    """Requests whose paths begin with the same segments go to the same worker."""

    inspects: ClassVar[bool] = True
    forgets: ClassVar[bool] = True

    segments: Annotated[
        int, Field(ge=1, le=64, description="number of leading path segments to compare; in /a/b/c the first is a")
    ] = 1
    keys: Keys = 65536

    @property
    def remembers(self) -> int:  # type: ignore[override]  # a class variable elsewhere, an option here
        return self.keys

    def key(self, task: Task, connection: int) -> Hashable | None:
        return bounded("/".join(task.path.lstrip("/").split("/", self.segments)[: self.segments]))
