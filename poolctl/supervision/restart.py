"""When a process that died is restarted, and the words that describe how it ended."""

from __future__ import annotations

import signal
from dataclasses import dataclass

EARLY_DEATHS = 5  # without a report, before any process of the kind was ever ready: after so many the start has failed


@dataclass
class RestartPolicy:
    """Immediate restarts, with a growing delay for processes that keep dying young: 0, 0, 0.1, 0.2, 0.4 ... seconds.

    Pure: it receives times and has no clock. The second young death in a row is still followed by an immediate restart,
    so an operator who kills the same worker twice does not wait for it.
    """

    young: float = 5.0  # seconds of service; a process that served longer did not die of its start
    first: float = 0.1  # seconds before the restart that follows the third young death in a row
    longest: float = 10.0  # seconds
    deaths: int = 0  # young ones in a row

    def delay(self, served: float) -> float:
        """Return the seconds to wait before restarting a process that served for `served` seconds (0: never ready)."""
        if served > self.young:
            self.deaths = 0
            return 0.0
        self.deaths += 1
        if self.deaths <= 2:
            return 0.0
        return min(self.longest, self.first * 2.0 ** min(self.deaths - 3, 32))


def cause(status: int) -> str:
    """Return the result of `os.waitstatus_to_exitcode` in words."""
    return f"exited with status {status}" if status >= 0 else f"was killed by {signal_name(-status)}"


def signal_name(number: int) -> str:
    """Return the name of a signal; real-time signals between SIGRTMIN and SIGRTMAX have only a number."""
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def when(delay: float) -> str:
    """Return the delay of a restart in words."""
    return f"in {delay:g} s" if delay else "now"
