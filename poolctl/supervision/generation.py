"""A generation as the supervisor sees it: the pid of the mold, also its process group, and three links to it.

    supervisor  ==lifeline==> mold              closed by the supervisor, or by its death: drain and exit
    supervisor <--Report----- mold              ready, or failed and why; what its workers are doing
    supervisor ---Order-----> mold              scale, recycle, drain, resume (roster.py), change (change.py)
    supervisor <==presence=== mold, all roles   a pipe whose write end each of them inherits: EOF when the last one ends

When a mold is killed its roles drain without it. They are the supervisor's grandchildren, so it cannot wait for them;
EOF on the presence pipe says that they are gone. Before that at least one of them lives, so the number of their process
group is still theirs, and the group can be killed.
"""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from math import inf
from os import close
from select import POLLIN, poll

from setproctitle import setproctitle

from poolctl.supervision import mold
from poolctl.supervision.configuration import Configuration
from poolctl.supervision.fork import fork
from poolctl.supervision.reports import Report, channel, give_order, receive
from poolctl.supervision.roster import Order, PoolState
from poolctl.supervision.totals import Meter, nothing_counted

# seconds beyond the time to drain, after which the supervisor kills a mold that has not enforced it
MARGIN_SECONDS = 1.0


class Generation:
    """One mold with its roles, from the fork until the mold is reaped. Times are monotonic seconds."""

    def __init__(self, configuration: Configuration, number: int, close_inherited: Callable[[], None]) -> None:
        """Fork the mold; `close_inherited` closes, in the mold, what belongs to the supervisor alone.

        Raises:
            OSError: the mold cannot be forked.
        """
        self.configuration = configuration
        self.meter = configuration.meter()
        self.number = number
        self.deadline = inf  # when it is killed, since it should have drained
        self.born = time.monotonic()
        self.started = time.time()  # in seconds since 1970
        self.ready: float | None = None
        self.serves = False  # one of its roles is ready, and may have clients
        self.reason = ""  # why it ended, once that is known
        self.pool = PoolState()  # what the mold has reported last
        self.ordered = 0  # the number of the last order
        self.reader, writer = channel()
        reading, self._lifeline = os.pipe()
        self.presence, inherited = os.pipe()

        def become() -> int:
            os.setpgid(0, 0)
            setproctitle(f"poolctl: mold {configuration.name} (generation {number})")
            close_inherited()
            self.reader.close()
            close(self._lifeline)
            close(self.presence)
            return mold.main(configuration.build, writer, reading, inherited)

        try:
            self.pid = fork(become)
        except OSError:
            self.close_links()
            close(self.presence)
            raise
        finally:
            writer.close()
            close(reading)
            close(inherited)
        with contextlib.suppress(ProcessLookupError):  # the mold has already ended
            os.setpgid(self.pid, self.pid)  # here too: the group may be killed before the mold has run

    def reports(self) -> list[Report]:
        """Return what the mold has reported since the last call."""
        if self.reader.fileno() < 0:
            return []
        reports, ended = receive(self.reader)
        if ended:
            self.reader.close()
        return reports

    def has_pool(self, state: PoolState) -> None:
        """Record what its workers are doing."""
        self.pool = state

    def order(self, do: str, *, size: int = 0, worker: int = -1, reason: str = "", change: str = "") -> int:
        """Give the mold an order about its workers. Returns its number; 0 if the mold does not take it."""
        self.ordered += 1
        order = Order(self.ordered, do, size, worker, reason, change)
        return self.ordered if self.reader.fileno() >= 0 and give_order(self.reader, order) else 0

    def became_ready(self) -> None:
        """Record that all of its roles are ready."""
        self.ready = time.monotonic()

    def role_ready(self) -> bool:
        """Record that one of its roles is ready, and may have clients. Returns whether it is the first one."""
        first, self.serves = not self.serves, True
        return first

    def ends_because(self, reason: str) -> None:
        """Record why it ends; the first reason counts."""
        self.reason = self.reason or reason

    def end(self, deadline: float = inf) -> None:
        """Make the mold drain and exit. ``deadline``: when the supervisor kills it; a mold ends its roles in time."""
        self.deadline = deadline
        if self._lifeline >= 0:
            close(self._lifeline)
            self._lifeline = -1

    def close_links(self) -> None:
        """Close the supervisor's ends of the lifeline and of the report channel."""
        self.end()
        self.reader.close()

    def close_inherited(self) -> None:
        """In another generation's mold: close the copies of this generation's links, which are the supervisor's."""
        self.close_links()
        close(self.presence)

    def orphans(self, deadline: float) -> Orphans:
        """Return the roles that the mold, which has been reaped, may have left behind."""
        self.close_links()
        return Orphans(self.pid, self.presence, deadline, self.configuration, self.number, self.reason, self.meter)

    def kill(self) -> None:
        """Kill the mold, which is not reaped yet, and all its roles."""
        self.deadline = inf
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)


@dataclass(frozen=True)
class Orphans:
    """The roles of a generation whose mold has been reaped."""

    group: int
    presence: int
    deadline: float  # monotonic seconds; by then the roles have drained, or are stuck
    configuration: Configuration
    number: int = 0  # of the generation
    reason: str = ""  # why it ended
    meter: Meter = nothing_counted

    def alive(self) -> bool:
        """Whether one of the processes still runs. Nothing is ever written to the pipe, so readable means EOF."""
        poller = poll()
        poller.register(self.presence, POLLIN)
        return not poller.poll(0)

    def kill(self) -> None:
        """Kill the processes that still run."""
        if self.alive():
            with contextlib.suppress(ProcessLookupError, PermissionError):  # the last one has just ended
                os.killpg(self.group, signal.SIGKILL)
