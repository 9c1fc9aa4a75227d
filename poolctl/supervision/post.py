"""A role as the mold sees it from outside: a post, which one process after the other holds."""

from __future__ import annotations

from dataclasses import dataclass, field

from poolctl.supervision.plan import Role
from poolctl.supervision.restart import RestartPolicy


@dataclass
class Post:
    """Times are those of the mold's monotonic clock, in seconds."""

    role: Role
    policy: RestartPolicy = field(default_factory=RestartPolicy)
    pid: int = 0  # who holds it; 0: vacant
    due: float = 0.0  # vacant: when to fill it
    born: float = 0.0  # held: since when
    ready: float | None = None  # held: since when it serves
    ended: bool = False  # held, by a process that was killed because its request took too long
    status: int | None = None  # held, by a process that has ended: how

    @property
    def name(self) -> str:
        """What `ps` calls it, without the program's name."""
        return self.role.title.removeprefix("poolctl: ")

    def enter(self, pid: int, now: float) -> None:
        """A process was forked for it."""
        self.pid, self.born, self.ready, self.status, self.ended = pid, now, None, None, False

    def leave(self, now: float) -> tuple[float, float]:
        """Its process has been reaped; answers how long that one lived, and served."""
        served = 0.0 if self.ready is None else now - self.ready
        self.pid, self.ready, self.status = 0, None, None
        return now - self.born, served
