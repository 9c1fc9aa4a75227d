"""When what died comes back, and how a death is put into words."""

from __future__ import annotations

import signal
from dataclasses import dataclass

EARLY_DEATHS = 5  # of processes that leave no report, before anything of their kind was ever ready: then it is given up


@dataclass
class RestartPolicy:
    """At once, unless it keeps dying young: then 0, 0, 0.1, 0.2, 0.4 ... seconds. Pure: it is told times, has no clock.

    The second young death is still followed at once, so that whoever kills the same worker twice finds it back.
    """

    young: float = 5.0  # seconds of service; who served longer died of something else than its start
    first: float = 0.1  # seconds before the successor of the third in a row
    longest: float = 10.0  # seconds
    deaths: int = 0  # young ones in a row

    def delay(self, served: float) -> float:
        """Seconds until the successor of one that served for `served` seconds (0: it never came to serve)."""
        if served > self.young:
            self.deaths = 0
            return 0.0
        self.deaths += 1
        if self.deaths <= 2:
            return 0.0
        return min(self.longest, self.first * 2.0 ** min(self.deaths - 3, 32))


def cause(status: int) -> str:
    """What `os.waitstatus_to_exitcode` says, in words."""
    if status >= 0:
        return f"left with status {status}"
    try:
        return f"died of {signal.Signals(-status).name}"
    except ValueError:  # real-time signals between SIGRTMIN and SIGRTMAX have no name
        return f"died of signal {-status}"


def when(delay: float) -> str:
    """The delay of a restart, in words."""
    return f"in {delay:g} s" if delay else "at once"
