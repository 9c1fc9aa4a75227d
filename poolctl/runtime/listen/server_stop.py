"""Whether the whole server is stopping, not just one of its generations: then no process accepts any more.

A lifeline tells a worker to leave; other processes with the same sockets may go on. When all of them leave, the first
process that finds a queue empty shuts the socket at once: clients that connected earlier have been accepted, later
clients are refused. If only the supervisor did that, clients could connect between the last worker's check and its own.

The memory is the server's own (`use`), and an upgrade passes it on: the processes of both supervisors are one server.
"""

from __future__ import annotations

from typing import Final

from poolctl.runtime.system.shared_page import SharedPage

STOPPING: Final = 0  # the cell that says whether it stops
NOTICED: Final = 3  # the cell that says whether it will soon; moves.py has those between


class _Server:
    """What all processes of the server see."""

    page = SharedPage()


_server = _Server()


def use(page: SharedPage) -> None:
    """Share the facts in this memory from now on. Called in the supervisor, before it forks anything."""
    _server.page = page


def reset() -> None:
    """Note that the server is starting."""
    _server.page.cells[STOPPING] = _server.page.cells[NOTICED] = 0


def give_notice() -> None:
    """Note that the server will stop soon: everything is served, and each response says that it is the last."""
    _server.page.cells[NOTICED] = 1


def noticed() -> bool:
    """Return whether the server will stop soon."""
    return bool(_server.page.cells[NOTICED])


def expected() -> bool:
    """Return whether the server will stop soon, or is stopping: then load balancers should send it no clients."""
    return noticed() or announced()


def announce() -> None:
    """Note that the server is stopping."""
    _server.page.cells[STOPPING] = 1


def announced() -> bool:
    """Return whether the server is stopping."""
    return bool(_server.page.cells[STOPPING])
