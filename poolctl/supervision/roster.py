"""The roster: which workers a generation is to have, and the changes that are under way.

    ABSENT --hired--> STARTING --ready--> SERVING --told to leave--> LEAVING --> ABSENT
                         ^                   |                          |
                         +------ died -------+        ready again --> dies with tasks of its own left

A generation has more numbers for workers than workers. `scale` fills or empties them. `recycle` fills one, and when its
worker is ready the old worker leaves: one after the other. `drain` makes one worker leave, and keeps its number empty
until `resume`.

Pure: the mold forks, tells workers to leave, and reports; this decides whom. Times are monotonic seconds.

The file is long because orders and steps change the same few workers.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from math import inf
from typing import Any

from poolctl.supervision.child import Child

REPLACEMENT_SECONDS = 60.0  # seconds that a replacement has to become ready
REPLACEMENT_DEATHS = 3  # of a replacement in a row, after which the worker that it should replace goes on


@dataclass(frozen=True)
class Order:
    """What the supervisor asks of a mold. ``number``: they count up; ``worker``: -1 for all, where that makes sense."""

    number: int
    do: str  # scale, recycle, drain, resume, change
    size: int = 0  # of scale; 0: as the load needs, from now on
    worker: int = -1
    reason: str = ""
    change: str = ""  # of change: the new values, in base64

    def sent(self) -> dict[str, Any]:
        """Return what travels to the mold."""
        return asdict(self)


@dataclass(frozen=True)
class PoolState:
    """What the mold reports about its workers. ``order``: the number of the last order that it has taken, and
    ``refused`` why it did not carry that out, or gave it up."""

    order: int = 0
    refused: str = ""
    size: int = 0  # workers that there shall be
    ready: int = 0  # of these, how many serve
    leaving: int = 0
    recycling: int = 0  # workers that are still to be replaced
    automatic: bool = True  # no operator has chosen a size
    drained: tuple[int, ...] = ()  # numbers that stay empty until `resume`
    most: int = 0  # workers for which this generation has numbers
    fixed: str = ""  # why their number cannot change within this generation
    replaces: bool = False  # there is a number for the replacement of a worker
    obstacle: str = ""  # why the last process that was missing could not be forked

    def sent(self) -> dict[str, Any]:
        """Return what travels to the supervisor."""
        return asdict(self)

    @classmethod
    def received(cls, state: dict[str, Any]) -> PoolState:
        """Return what the mold has sent."""
        return cls(**state | {"drained": tuple(state["drained"])})

    @property
    def settled(self) -> bool:
        """Whether nothing is under way."""
        return self.ready == self.size and not self.leaving and not self.recycling


@dataclass
class Replacement:
    """A worker that is being replaced."""

    old: Child
    new: Child
    reason: str
    since: float
    leaves: bool = False  # the old one has been told to leave; until then there are two for one

    def dismiss(self) -> None:
        """Let the old worker go: the new one serves."""
        self.old.let_go(self.reason)
        self.leaves = True


class Roster:
    """The workers of one mold. ``size``: how many there are at first; ``fixed``: why their number cannot change."""

    def __init__(self, children: Sequence[Child], size: int, fixed: str = "") -> None:
        self.workers = [child for child in children if child.works]
        self.fixed = fixed
        self.size = min(size, len(self.workers))
        for child in self.workers[self.size :]:
            child.let_go("")
        self._queue: deque[tuple[Child, str]] = deque()  # workers to be replaced, with the reason
        self.replacement: Replacement | None = None
        self.order, self.refused = 0, ""
        self.automatic = True  # no operator has chosen a size, so an elastic pool may choose
        self.obstacle = ""  # see PoolState

    @property
    def state(self) -> PoolState:
        """Return the state that the mold reports to the supervisor."""
        wanted = [child for child in self.workers if child.wanted]
        return PoolState(
            order=self.order,
            refused=self.refused,
            size=self.size,
            ready=min(sum(child.serves for child in wanted), self.size),
            leaving=sum(bool(child.leaving) for child in self.workers),
            recycling=len(self._queue) + (self.replacement is not None),
            automatic=self.automatic,
            drained=tuple(number for number, child in enumerate(self.workers) if child.drained),
            most=self._most,
            fixed=self.fixed,
            replaces=self._replaces,
            obstacle=self.obstacle,
        )

    # orders

    def obey(self, order: Order) -> None:
        """Take an order. ``refused`` says why it cannot be carried out."""
        self.order, self.refused = order.number, ""
        if order.do == "scale":
            self.automatic = not order.size
            self.refused = self.scale(order.size or self.size, order.reason)
        elif order.do == "recycle" and order.worker < 0:
            self.recycle([child for child in self.workers if child.wanted], order.reason)
        elif order.do == "resume" and order.worker < 0:
            for child in [child for child in self.workers if child.drained]:
                self._resume(child)
        elif not 0 <= order.worker < len(self.workers) or not self._known(order):
            numbers = ", ".join(str(number) for number, child in enumerate(self.workers) if child.wanted)
            self.refused = f"there is no worker {order.worker}; the workers are {numbers or 'all drained'}"
        elif order.do == "recycle":
            self.recycle([self.workers[order.worker]], order.reason)
        elif order.do == "drain":
            self._drain(self.workers[order.worker], order.reason)
        else:
            self._resume(self.workers[order.worker])

    def _known(self, order: Order) -> bool:
        child = self.workers[order.worker]
        return child.drained or (child.wanted and order.do != "resume")

    def scale(self, size: int, reason: str) -> str:
        """Hire workers, or let the ones with the highest numbers leave. Returns why that is not possible; empty: it
        is."""
        if self.fixed:
            return self.fixed
        if not 1 <= size <= self._most:
            return f"this generation has numbers for 1 to {self._most} workers"
        self.size = size
        while (count := self._count()) != size:
            if count < size:
                self._vacancy().hire()
            else:
                self._dismissed().let_go(reason)
        return ""

    def _dismissed(self) -> Child:
        """The worker that leaves when there is one too many: one that does not serve, or that with the highest
        number."""
        change = self.replacement
        new = change.new if change and not change.leaves else None
        wanted = [child for child in self.workers if child.wanted and child is not new]
        victim = next((child for child in reversed(wanted) if not child.serves), wanted[-1])
        if change and change.old is victim:
            self.replacement = None
        return victim

    @property
    def _replaces(self) -> bool:
        return not self.fixed or self.size < len(self.workers)

    @property
    def _most(self) -> int:
        """One number stays free for the replacement of a worker."""
        if self.fixed:
            return self.size
        return len(self.workers) - 1 - sum(child.drained for child in self.workers)

    def _count(self) -> int:
        """The workers that there will be when the replacement that is under way is over."""
        return sum(child.wanted for child in self.workers) - (
            self.replacement is not None and not self.replacement.leaves
        )

    def _vacancy(self) -> Child:
        """A number that is free now; or the worker that began to leave last, whose number is free soon."""
        free = [child for child in self.workers if not child.wanted and not child.drained]
        return next((child for child in free if not child.leaving), free[-1])

    def recycle(self, workers: Sequence[Child], reason: str) -> None:
        """Replace these workers, one after the other."""
        if not self._replaces:
            self.refused = self.fixed
            return
        queued = [child for child, _ in self._queue]
        if self.replacement and not self.replacement.leaves:
            queued.append(self.replacement.old)
        self._queue += [(child, reason) for child in workers if child not in queued]

    def _drain(self, child: Child, reason: str) -> None:
        if child.drained:
            return
        if self.fixed:
            self.refused = self.fixed
        elif self.size == 1:
            self.refused = f"worker {self.workers.index(child)} is the only one"
        elif self.replacement and child in (self.replacement.old, self.replacement.new):
            self.refused = f"worker {self.workers.index(child)} is being recycled"
        elif not any(other.serves for other in self.workers if other is not child):
            self.refused = "no other worker is ready"
        else:
            self.size -= 1
            child.drain(reason)

    def _resume(self, child: Child) -> None:
        child.resume()
        self.size += 1
        if self._count() < self.size:
            (child if not child.leaving else self._vacancy()).hire()

    # steps

    def forked(self, obstacle: str = "") -> None:
        """A process that was missing was forked, or could not be: ``obstacle`` says why."""
        self.obstacle = obstacle

    def step(self, now: float) -> None:
        """Go on with the replacements. Called in each turn of the mold."""
        at_work = self.replacement
        if at_work is None:
            self._replace_next(now)
        elif at_work.leaves:
            if not at_work.old.leaving:
                self.replacement = None
                self._replace_next(now)
        elif at_work.new.serves:
            at_work.dismiss()
        elif at_work.new.policy.deaths >= REPLACEMENT_DEATHS:
            self._give_up(at_work, f"could not start: {self.obstacle}" if self.obstacle else "died")
        elif now - at_work.since > REPLACEMENT_SECONDS:
            self._give_up(at_work, f"was not ready within {REPLACEMENT_SECONDS:g} s")

    def _give_up(self, at_work: Replacement, why: str) -> None:
        """The old worker goes on, and so do those that were to be replaced after it."""
        self.refused = f"the worker that was to replace {at_work.old.name} {why}"
        at_work.new.let_go(self.refused)
        self._queue.clear()
        self.replacement = None

    def _replace_next(self, now: float) -> None:
        while self._queue and not self._queue[0][0].wanted:
            self._queue.popleft()  # it has left meanwhile
        free = [child for child in self.workers if child.absent and not child.drained]
        if self._queue and free:
            old, reason = self._queue.popleft()
            free[0].hire(place=old.place if old.place >= 0 else self.workers.index(old))
            self.replacement = Replacement(old, free[0], reason, now)

    @property
    def due(self) -> float:
        """When `step` is needed at the latest, without an event."""
        at_work = self.replacement
        return inf if at_work is None or at_work.leaves else at_work.since + REPLACEMENT_SECONDS
