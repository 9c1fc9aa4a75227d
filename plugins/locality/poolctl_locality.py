"""locality: a worker whose CPU has the connection's packets in its cache, unless it is much busier than others.

Worker i belongs to the i-th of the CPUs that this process may use, wrapping around if there are more workers than CPUs;
the pool `pinned` binds workers in this way. The kernel knows the CPU that handled the connection's last packet
(SO_INCOMING_CPU, socket(7)). If it does not, the least loaded worker takes the task.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import Annotated, ClassVar

from pydantic import Field

from poolctl.plugin import Dispatch, InboxView, Task


@dataclass
class Locality(Dispatch):
    """The least loaded of the workers that belong to the CPU on which the connection's packets arrive."""

    interface: ClassVar[int] = 1

    cpus: Annotated[
        int, Field(ge=0, le=4096, description="number of CPUs that workers are spread over; 0: all usable ones")
    ] = 0
    slack: Annotated[
        int, Field(ge=0, le=10_000, description="how many tasks more than the least loaded worker a local one may have")
    ] = 1

    _positions: dict[int, int] = field(default_factory=dict, init=False, repr=False)  # of the usable CPUs

    def __post_init__(self) -> None:
        usable = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else range(os.cpu_count() or 1)
        self._positions = {cpu: position for position, cpu in enumerate(usable)}

    def pick(self, task: Task, inboxes: tuple[InboxView, ...]) -> InboxView:
        least = min(inboxes, key=lambda inbox: inbox.load)
        cpu, count = task.cpu, self.cpus or len(self._positions)
        position = cpu % self.cpus if self.cpus and cpu >= 0 else self._positions.get(cpu)
        if position is None:
            return least
        local = [inbox for inbox in inboxes if inbox.index % count == position]
        if not local:
            return least
        nearest = min(local, key=lambda inbox: inbox.load)
        return nearest if nearest.load <= least.load + self.slack else least
