"""A role as the mold sees it from outside: one process after another runs it."""

from __future__ import annotations

from dataclasses import dataclass, field

from poolctl.supervision.plan import Role
from poolctl.supervision.restart import RestartPolicy


@dataclass
class Child:
    """The mold's record of a role. Times are those of the mold's monotonic clock, in seconds."""

    role: Role
    policy: RestartPolicy = field(default_factory=RestartPolicy)
    pid: int = 0  # of the process that runs the role; 0: none
    due: float = 0.0  # while none runs: when to fork the next
    born: float = 0.0  # when the process was forked
    ready: float | None = None  # when the process became ready to serve; None: not yet
    killed: bool = False  # whether the mold has killed the process because it took too long
    status: int | None = None  # the exit status of a process that has ended and is about to be forgotten

    @property
    def name(self) -> str:
        """The process title without the program's name, as log lines show it."""
        return self.role.title.removeprefix("poolctl: ")

    def started(self, pid: int, now: float) -> None:
        """Record a process that was forked for the role."""
        self.pid, self.born, self.ready, self.status, self.killed = pid, now, None, None, False

    def exited(self, now: float) -> tuple[float, float]:
        """Forget the process, which was reaped. Returns how long it lived and how long it served, in seconds."""
        served = 0.0 if self.ready is None else now - self.ready
        self.pid, self.ready, self.status = 0, None, None
        return now - self.born, served
