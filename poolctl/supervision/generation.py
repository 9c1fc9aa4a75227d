"""A generation as the supervisor sees it: the mold's pid, which is the process group of all its roles, and two links.

    supervisor  ==lifeline==> mold      closed by the supervisor, or by its death: drain and leave
    supervisor <--Report----- mold      ready, or failed and why

When a mold is killed its roles drain without it. They are the supervisor's grandchildren, so it cannot wait for them;
but their group keeps the mold's pid from being given out again for as long as one of them lives, which is how it
knows them (`Remains`).
"""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass

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

        def become() -> int:
            os.setpgid(0, 0)
            setproctitle(f"poolctl: mold {name} (generation {number})")
            let_go()
            self.reader.close()
            os.close(self._lifeline)
            return mold.main(build, writer, reading)

        try:
            self.pid = fork(become)
        except OSError:
            self.forget()
            raise
        finally:
            writer.close()
            os.close(reading)
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
            os.close(self._lifeline)
            self._lifeline = -1

    def forget(self) -> None:
        """Close this side of both links."""
        self.end()
        self.reader.close()

    def kill(self) -> None:
        """End the mold, which is not reaped yet, and all its roles."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)


@dataclass(frozen=True)
class Remains:
    """The process group of a mold that is dead and reaped."""

    group: int
    deadline: float  # monotonic seconds; by then its roles have left by themselves, or are stuck

    def alive(self) -> bool:
        """Whether one of its processes is still there."""
        return self._signal(0)

    def kill(self) -> None:
        """End what is left of it."""
        self._signal(signal.SIGKILL)

    def _signal(self, number: int) -> bool:
        try:
            os.kill(self.group, 0)
        except ProcessLookupError:
            pass  # as it has to be: its leader was the mold
        except PermissionError:
            return False
        else:
            return False  # the number was given out again, so the group was empty: these are strangers
        try:
            os.killpg(self.group, number)
        except (ProcessLookupError, PermissionError):  # macOS answers EPERM when only zombies are left
            return False
        return True
