"""Whether the whole server is stopping, not just one of its generations: then no process accepts any more.

A lifeline tells a worker to leave; other processes with the same sockets may go on. When all of them leave, the first
process that finds a queue empty shuts the socket at once: clients that connected earlier have been accepted, later
clients are refused. If only the supervisor did that, clients could connect between the last worker's check and its own.
"""

from __future__ import annotations

import mmap

_announced = mmap.mmap(-1, 2)  # shared with all processes forked later: whether it stops, and whether it will soon


def reset() -> None:
    """Note that the server is starting."""
    _announced[:] = bytes(2)


def give_notice() -> None:
    """Note that the server will stop soon: everything is served, and each response says that it is the last."""
    _announced[1] = 1


def noticed() -> bool:
    """Return whether the server will stop soon, or is stopping."""
    return bool(_announced[1])


def announce() -> None:
    """Note that the server is stopping."""
    _announced[0] = 1


def announced() -> bool:
    """Return whether the server is stopping."""
    return bool(_announced[0])
