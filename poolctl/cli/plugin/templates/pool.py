"""my-part: a pool for poolctl."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from typing import Annotated, ClassVar

from poolctl.plugin import Life, Ownership, Process, Role, Site
from pydantic import Field


@dataclass
class MyPart(Process):
    """Processes that yield the CPU to others on this machine."""

    interface: ClassVar[int] = 1
    like: ClassVar[str] = "process"

    niceness: Annotated[int, Field(ge=0, le=19, description="see nice(2)")] = 5

    def roles(self, site: Site, ownership: Ownership | None) -> list[Role]:
        """Return the roles of the built-in pool, whose workers lower their priority first; the front does not."""

        def gentle(role: Role) -> Role:
            def run(life: Life) -> None:
                os.nice(self.niceness)
                role.run(life)

            return replace(role, run=run) if role.rows else role

        return [gentle(role) for role in super().roles(site, ownership)]
