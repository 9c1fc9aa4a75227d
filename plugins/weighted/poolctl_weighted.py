"""weighted: smooth weighted round-robin, as nginx does it (ngx_http_upstream_get_peer).

At each task every inbox on offer gains its weight, the one that has most takes the task and pays the sum of all gains.
So over a period, which is the sum of the weights, each inbox gets exactly its weight of tasks, and those of a heavy one
are spread between the others: with weights 5, 1, 1 the order is a a b a c a a.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, ClassVar

from pydantic import Field

from poolctl.plugin import Dispatch, InboxView, Task

Weight = Annotated[int, Field(ge=1, le=10_000)]


@dataclass
class Weighted(Dispatch):
    """Each inbox in its turn, the heavier ones more often (smooth weighted round-robin, nginx 1.3.1)."""

    interface: ClassVar[int] = 1

    weights: Annotated[
        tuple[Weight, ...],
        Field(min_length=1, max_length=4096, description="of inbox 0, 1, ...; all further ones have 1"),
    ]
    _gained: dict[int, int] = field(default_factory=dict, init=False, repr=False)

    def pick(self, task: Task, inboxes: tuple[InboxView, ...]) -> InboxView:
        gained, weights = self._gained, self.weights
        total, most, chosen = 0, None, inboxes[0]
        for inbox in inboxes:
            index = inbox.index
            weight = weights[index] if index < len(weights) else 1
            total += weight
            gained[index] = now = gained.get(index, 0) + weight
            if most is None or now > most:
                most, chosen = now, inbox
        gained[chosen.index] -= total
        return chosen

    def left(self, inbox: InboxView) -> None:
        self._gained.pop(inbox.index, None)  # its successor begins like a new one
