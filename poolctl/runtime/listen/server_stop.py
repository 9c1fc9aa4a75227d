"""Whether the whole server stops, not just one of its generations: then no process will accept from its listeners.

A worker learns from its lifeline that it has to leave; other processes with the same sockets may go on. When all of
them leave, the first that finds a queue empty shuts the socket at once: clients that connected before were accepted,
later ones are refused. If only the supervisor did that, clients could come between the last worker's look and its own.
"""

from __future__ import annotations

import mmap

_announced = mmap.mmap(-1, 1)  # shared with every process that is forked later


def reset() -> None:
    """The server starts."""
    _announced[0] = 0


def announce() -> None:
    """The server stops."""
    _announced[0] = 1


def announced() -> bool:
    """Whether the server stops."""
    return bool(_announced[0])
