"""What supervision needs to know about an assembled server: its roles, and which descriptors each role keeps."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from poolctl.errors import PoolctlError
from poolctl.runtime.lifeline import Take
from poolctl.runtime.role import Role
from poolctl.supervision.elastic import PoolLoad, ScaleLimits
from poolctl.supervision.recycling import RecycleLimits

__all__ = ["Lateness", "Plan", "Role"]


@dataclass(frozen=True)
class Lateness:
    """A process with requests that take too long."""

    seconds: float  # that the oldest one has taken
    others: int  # requests, tasks and connections of the process, or of a front that drains, that can still be finished
    stuck: bool  # each thread of the process has such a request, so that nothing else can be finished or begun


class Plan(ABC):
    """A generation's server, made inside the mold: channels open, nothing forked yet."""

    name: str  # of the topology
    roles: list[Role]
    owned: set[int]  # every descriptor that poolctl opened: listeners, channels; not those of the user's app
    inherited: frozenset[int] = frozenset()  # descriptors of the server that every role keeps
    drain: float  # seconds
    request: float | None = None  # seconds that a request may take before its process is ended; None: unlimited
    beside: bool = False  # another generation serves while this one starts
    surge: int | None = None  # processes that may be starting at the same time; None: all
    scale: ScaleLimits | None = None  # how the number of workers changes by itself; None: it does not
    recycle: RecycleLimits | None = None  # when workers are replaced; None: never
    reopen: Callable[[], None] | None = None  # reopens the log file, in whichever process it is called

    def prepare(self, change: bytes) -> Take:
        """Prepare new values: make everything that they need, and change nothing. Called in the mold and in each role,
        where a thread of poolctl's own calls it. ``change``: what ``Configuration.change`` has returned. Returns what
        takes them, in the mold first: roles that it forks later have them. Raises anything if that is not possible."""
        raise PoolctlError("this plan takes no new values")

    @abstractmethod
    def died(self, role: Role, pid: int) -> None:
        """Called in the mold when a role's process has been reaped, before it is forked again."""

    @property
    def size(self) -> int:
        """Workers that run at first: those with the lowest numbers."""
        return len([role for role in self.roles if role.stage and role.rows])

    @property
    def fixed(self) -> str:
        """Why the number of workers cannot change while this generation runs; empty: it can."""
        return "its number of workers is fixed"

    def sized(self, workers: int) -> None:  # noqa: B027  # most plans have nothing to do
        """Called in the mold when there are to be so many workers."""

    def starts(self, role: Role) -> None:  # noqa: B027  # most plans have nothing to do
        """Called in the mold before a process of a worker is forked."""

    def leaves(self, role: Role, pid: int) -> None:  # noqa: B027  # as above
        """Called in the mold when the process of a worker has to leave while others go on. ``pid``: 0 if it has
        died before; then it has a successor, which serves what waits, and leaves too."""

    def left(self, role: Role) -> None:  # noqa: B027  # as above
        """Called in the mold when such a worker has left: its number is empty."""

    def bound(self, role: Role) -> bool:
        """Whether tasks may wait for this worker that no other can take."""
        return False

    def owes(self, role: Role) -> bool:
        """Whether tasks do wait for a worker that is `bound`."""
        return False

    def abandon(self, role: Role) -> None:  # noqa: B027  # as above
        """Called in the mold when the tasks that wait for a worker that is `bound` cannot be served: none of its
        successors lives."""

    def ready(self, role: Role) -> None:  # noqa: B027  # most plans have nothing to do
        """Called in the mold when a role's process is ready."""

    @property
    def guards(self) -> bool:
        """Whether plugin code runs in a front and could hang there."""
        return False

    def hanging(self) -> float:
        """Called in the mold if the plan ``guards``: seconds that the front has spent in plugin code; 0: it is not."""
        return 0.0

    def overdue(self, role: Role, *, draining: bool) -> Lateness | None:
        """Called in the mold if ``request`` is set: what a role is doing of whose requests in flight at least one has
        taken longer than ``request``; otherwise None. ``draining``: the generation drains."""
        return None

    def occupied(self, role: Role) -> bool:
        """Called in the mold about a process that is stopped by a signal: whether each thread of it that could take a
        task has a request in flight, so that the process would take nothing new if it went on."""
        return False

    def load(self, roles: Sequence[Role]) -> PoolLoad:
        """Called in the mold if ``scale`` is set: what these workers are doing."""
        raise NotImplementedError

    def requests(self, role: Role) -> int:
        """Called in the mold if ``recycle`` is set: the requests that have been answered under the role's numbers."""
        return 0

    @abstractmethod
    def close_for(self, stage: int) -> None:
        """Called in the mold when all roles of earlier stages have ended: close the descriptors on which this stage
        must see EOF."""
