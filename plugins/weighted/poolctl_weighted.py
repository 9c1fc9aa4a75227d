"""weighted: smooth weighted round-robin, as nginx does it (ngx_http_upstream_get_peer).

For each task every available inbox gains its weight as credit; the inbox with the most credit takes the task and pays
the sum of all weights. Over a period of as many tasks as the sum of the weights, each inbox gets exactly its weight in
tasks, and those of a heavy inbox are spread between the others: weights 5, 1, 1 give the order a a b a c a a.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, ClassVar

from pydantic import Field

from poolctl.plugin import Dispatch, InboxView, Task

Weight = Annotated[int, Field(ge=1, le=10_000)]


@dataclass
class Weighted(Dispatch):
    """Each inbox in turn, heavier ones more often (smooth weighted round-robin, nginx 1.3.1)."""

    interface: ClassVar[int] = 1

    weights: Annotated[
        tuple[Weight, ...],
        Field(min_length=1, max_length=4096, description="weights of inboxes 0, 1, ...; all others have 1"),
    ]
    _credit: dict[int, int] = field(default_factory=dict, init=False, repr=False)

    def pick(self, task: Task, inboxes: tuple[InboxView, ...]) -> InboxView:
        credit, weights = self._credit, self.weights
        total, most, chosen = 0, None, inboxes[0]
        for inbox in inboxes:
            index = inbox.index
            weight = weights[index] if index < len(weights) else 1
            total += weight
            credit[index] = now = credit.get(index, 0) + weight
            if most is None or now > most:
                most, chosen = now, inbox
        credit[chosen.index] -= total
        return chosen

    def left(self, inbox: InboxView) -> None:
        self._credit.pop(inbox.index, None)  # its successor starts afresh
