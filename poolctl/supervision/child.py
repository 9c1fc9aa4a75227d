"""A role as the mold sees it from outside: one process after another runs it."""

from __future__ import annotations

import os
import signal
from contextlib import suppress
from dataclasses import dataclass, field
from math import inf
from os import close, write

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
    place: int = -1  # of a worker: its place in a reuse-port group, its own number at first
    # of a worker, whose number may be empty:
    wanted: bool = True  # it is to run
    leaving: str = ""  # why it is to leave, from then on until it has left
    told: bool = False  # the process knows that it is to leave
    drained: bool = False  # its number stays empty until an operator says otherwise
    leaver: int = -1  # the write end of the pipe in which a byte tells the process to leave
    deadline: float = inf  # when a process that is to leave is killed
    stillborn: int = 0  # of a worker that is to leave, how many of its successors died before they were ready, in a row

    @property
    def name(self) -> str:
        """The process title without the program's name, as log lines show it."""
        return self.role.title.removeprefix("poolctl: ")

    def started(self, pid: int, now: float, leaver: int = -1) -> None:
        """Record a process that was forked for the role. ``leaver``: closed when the process is to leave, or has
        ended."""
        self.leaver = leaver
        self.pid, self.born, self.ready, self.status, self.killed = pid, now, None, None, False
        self.told, self.deadline = False, inf

    def exited(self, now: float) -> tuple[float, float]:
        """Forget the process, which was reaped. Returns how long it lived and how long it served, in seconds."""
        self._close_leaver()
        served = 0.0 if self.ready is None else now - self.ready
        self.stillborn = self.stillborn + 1 if self.ready is None else 0
        self.pid, self.ready, self.status = 0, None, None
        self.told, self.deadline = False, inf
        return now - self.born, served

    @property
    def absent(self) -> bool:
        """Whether the number is free."""
        return not self.wanted and not self.leaving and not self.pid

    @property
    def works(self) -> bool:
        """Whether it is a worker in a process of its own."""
        return bool(self.role.stage and self.role.rows)

    @property
    def serves(self) -> bool:
        """Whether its process is ready, and is not to leave."""
        return self.ready is not None and not self.leaving

    def hire(self, place: int = -1) -> None:
        """Fill the number. ``place``: of the worker that it replaces; -1: its own. A worker that is to leave and does
        not know it stays; another one leaves first."""
        if not self.told:
            self.leaving = ""
        self.wanted, self.due, self.policy, self.place = True, 0.0, RestartPolicy(), place

    def tell_to_leave(self, deadline: float) -> None:
        """Tell the process to leave. ``deadline``: when it is killed."""
        self.told, self.deadline = True, deadline
        with suppress(BrokenPipeError):  # it has left already, by the end in its inbox
            write(self.leaver, b"x")  # an end of file alone would be that of the mold
        self._close_leaver()

    def limit_start(self, deadline: float) -> None:
        """Have the process, which is to leave once it has started and served what waits for it, killed by this time if
        it does not start."""
        self.deadline = min(self.deadline, deadline)

    def _close_leaver(self) -> None:
        if self.leaver >= 0:
            close(self.leaver)
            self.leaver = -1

    def has_left(self) -> None:
        """Record that it has left. It may have been hired again meanwhile."""
        self.leaving = ""

    def drain(self, reason: str) -> None:
        """Empty the number, and keep it empty until `resume`."""
        self.drained = True
        self.let_go(reason)

    def resume(self) -> None:
        """Allow the number to be filled again."""
        self.drained = False

    def kill(self) -> None:
        """Kill the process, which is not reaped yet, because its time to leave is over."""
        self.deadline = inf
        os.kill(self.pid, signal.SIGKILL)

    def let_go(self, reason: str) -> None:
        """Empty the number once the worker has left."""
        self.wanted, self.leaving = False, reason
        # if a successor is needed, which serves what waits for it, then now
        self.policy, self.due, self.stillborn = RestartPolicy(), 0.0, 0
