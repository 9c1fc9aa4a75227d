"""A generation as the supervisor sees it: the mold's pid, which is the process group of its roles too, and three links.

    supervisor  ==lifeline==> mold              closed by the supervisor, or by its death: drain and leave
    supervisor <--Report----- mold              ready, or failed and why
    supervisor <==presence=== mold, all roles   a pipe whose write end each of them inherits: it ends with the last one

When a mold is killed its roles drain without it. They are the supervisor's grandchildren, so it cannot wait for them;
the end of the presence tells when they are gone. While it has not ended one of them lives, so the number of their group
is still theirs and may be killed.
"""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from os import close
from select import POLLIN, poll

from setproctitle import setproctitle

from poolctl.supervision import mold
from poolctl.supervision.fork import fork
from poolctl.supervision.plan import Plan
from poolctl.supervision.reports import Report, channel, receive


class Generation:
    """One mold with its roles, from the fork until the mold is reaped. Times are monotonic seconds."""

    def __init__(self, name: str, number: int, build: Callable[[], Plan], let_go: Callable[[], None]) -> None:
        """Fork the mold; `let_go` closes, in the mold, what belongs to the supervisor alone.

        Raises:
            OSError: it cannot be forked.
        """
        self.number = number
        self.born = time.monotonic()
        self.ready: float | None = None
        self.reader, writer = channel()
        reading, self._lifeline = os.pipe()
        self.presence, inherited = os.pipe()

        def become() -> int:
            os.setpgid(0, 0)
            setproctitle(f"poolctl: mold {name} (generation {number})")
            let_go()
            self.reader.close()
            close(self._lifeline)
            close(self.presence)
            return mold.main(build, writer, reading, inherited)

        try:
            self.pid = fork(become)
        except OSError:
            self.forget()
            close(self.presence)
            raise
        finally:
            writer.close()
            close(reading)
            close(inherited)
        with contextlib.suppress(ProcessLookupError):  # it was quick, and is dead already
            os.setpgid(self.pid, self.pid)  # here too: a kill of the group may come before the mold has run

    def reports(self) -> list[Report]:
        """What the mold has told since the last time."""
        if self.reader.fileno() < 0:
            return []
        reports, ended = receive(self.reader)
        if ended:
            self.reader.close()
        return reports

    def end(self) -> None:
        """Tell the mold to drain and leave."""
        if self._lifeline >= 0:
            close(self._lifeline)
            self._lifeline = -1

    def forget(self) -> None:
        """Close this side of the links to the mold."""
        self.end()
        self.reader.close()

    def let_go(self) -> None:
        """In another generation's mold: its links are the supervisor's."""
        self.forget()
        close(self.presence)

    def remains(self, deadline: float) -> Remains:
        """What takes this one's place when its mold has been reaped."""
        self.forget()
        return Remains(self.pid, self.presence, deadline)

    def kill(self) -> None:
        """End the mold, which is not reaped yet, and all its roles."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)


@dataclass(frozen=True)
class Remains:
    """What is left of a generation whose mold is dead and reaped."""

    group: int
    presence: int
    deadline: float  # monotonic seconds; by then its roles have left by themselves, or are stuck

    def alive(self) -> bool:
        """Whether one of its processes is still there. Nothing is ever written, so readable means ended."""
        poller = poll()
        poller.register(self.presence, POLLIN)
        return not poller.poll(0)

    def kill(self) -> None:
        """End what is left of it."""
        if self.alive():
            with contextlib.suppress(ProcessLookupError, PermissionError):  # the last one left, or its group, just now
                os.killpg(self.group, signal.SIGKILL)
