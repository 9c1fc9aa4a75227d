"""Whether the whole server stops, and not just one of its generations: nobody will take what comes to its listeners.

A worker learns from its lifeline that it is to leave; others of the same sockets may go on. When all leave, whoever
finds a queue empty shuts it at once: who connected before was taken, who comes later is refused. If that were the
supervisor's alone, clients could come between the last worker's look and its own.
"""

from __future__ import annotations

import mmap

_said = mmap.mmap(-1, 1)  # shared with every process that is forked later


def begin() -> None:
    """A server starts."""
    _said[0] = 0


def say() -> None:
    """It stops."""
    _said[0] = 1


def said() -> bool:
    """Whether it stops."""
    return bool(_said[0])
