"""locality: the worker whose CPU has the connection's packets in its cache, unless it has much more to do than others.

Worker i is at home on CPU i modulo the number of CPUs, which the pool `pinned` makes true; the CPU that handled the
connection's last packet is asked of the kernel (SO_INCOMING_CPU, socket(7)). Where nobody knows that, the least loaded
takes the task.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Annotated, ClassVar

from pydantic import Field

from poolctl.plugin import Dispatch, InboxView, Task


@dataclass
class Locality(Dispatch):
    """The least loaded of the workers at home on the CPU that the connection came in on."""

    interface: ClassVar[int] = 1

    cpus: Annotated[int, Field(ge=0, le=4096, description="that workers are spread over; 0: all")] = 0
    slack: Annotated[
        int, Field(ge=0, le=10_000, description="tasks more than the least loaded that one at home may have")
    ] = 1

    def __post_init__(self) -> None:
        self.cpus = self.cpus or os.cpu_count() or 1

    def pick(self, task: Task, inboxes: tuple[InboxView, ...]) -> InboxView:
        least = min(inboxes, key=lambda inbox: inbox.load)
        cpu = task.cpu
        if cpu < 0:
            return least
        home = [inbox for inbox in inboxes if inbox.index % self.cpus == cpu % self.cpus]
        if not home:
            return least
        nearest = min(home, key=lambda inbox: inbox.load)
        return nearest if nearest.load <= least.load + self.slack else least
