"""pinned: worker processes that are each bound to one CPU, so that their data stays in its cache.

Worker i runs on the i-th of the CPUs that this process may use (sched_setaffinity(2)), wrapping around if there are
more workers than CPUs. The front is not bound.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from typing import ClassVar

from poolctl.plugin import Life, Ownership, Process, Role, Site


@dataclass
class Pinned(Process):
    """Processes as in the pool `process`, each bound to one CPU."""

    interface: ClassVar[int] = 1
    like: ClassVar[str] = "process"

    def __post_init__(self) -> None:
        if not hasattr(os, "sched_setaffinity"):
            raise ValueError("this system cannot bind processes to CPUs; use pool: process")

    def roles(self, site: Site, ownership: Ownership | None) -> list[Role]:
        """Return the roles of a process pool, whose workers bind themselves to a CPU first."""
        cpus = sorted(os.sched_getaffinity(0))

        def bound(role: Role, cpu: int) -> Role:
            def run(life: Life) -> None:
                os.sched_setaffinity(0, {cpu})
                role.run(life)

            return replace(role, run=run)

        roles = super().roles(site, ownership)
        return [bound(role, cpus[role.rows[0] // site.slots % len(cpus)]) if role.rows else role for role in roles]
