"""locality: the worker whose CPU has the connection's packets in its cache, unless it has much more to do than others.

Worker i is at home on the i-th of the CPUs that this process may use, and again from the first when there are more
workers than CPUs; the pool `pinned` makes that true. The CPU that handled the
connection's last packet is asked of the kernel (SO_INCOMING_CPU, socket(7)). Where nobody knows that, the least loaded
takes the task.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import Annotated, ClassVar

from pydantic import Field

from poolctl.plugin import Dispatch, InboxView, Task


@dataclass
class Locality(Dispatch):
    """The least loaded of the workers at home on the CPU that the connection came in on."""

    interface: ClassVar[int] = 1

    cpus: Annotated[
        int, Field(ge=0, le=4096, description="that workers are spread over; 0: those that this process may use")
    ] = 0
    slack: Annotated[
        int, Field(ge=0, le=10_000, description="tasks more than the least loaded that one at home may have")
    ] = 1

    _places: dict[int, int] = field(default_factory=dict, init=False, repr=False)  # of each CPU among those

    def __post_init__(self) -> None:
        may = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else range(os.cpu_count() or 1)
        self._places = {cpu: place for place, cpu in enumerate(may)}

    def pick(self, task: Task, inboxes: tuple[InboxView, ...]) -> InboxView:
        least = min(inboxes, key=lambda inbox: inbox.load)
        cpu, places = task.cpu, self.cpus or len(self._places)
        place = cpu % self.cpus if self.cpus and cpu >= 0 else self._places.get(cpu)
        if place is None:
            return least
        home = [inbox for inbox in inboxes if inbox.index % places == place]
        if not home:
            return least
        nearest = min(home, key=lambda inbox: inbox.load)
        return nearest if nearest.load <= least.load + self.slack else least
