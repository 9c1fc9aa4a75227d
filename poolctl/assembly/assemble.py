"""Runs a server from its parts: applies the host settings, opens everything, and runs the supervisor."""

from __future__ import annotations

from poolctl.assembly.configuration import ServerConfiguration
from poolctl.assembly.host import host_settings
from poolctl.assembly.resolve import Parts
from poolctl.runtime.listen.moves import Moves
from poolctl.supervision.configuration import Reviewer
from poolctl.supervision.supervisor import Supervisor


def serve(parts: Parts, reviewer: Reviewer | None = None, *, watch: bool = False) -> int:
    """Run the server until it is stopped, and return the exit code.

    ``reviewer``: reads the topology again; None: the server cannot be reloaded. ``watch``: reload it whenever the files
    change that the reviewer names. Raises PoolctlError if it cannot start.
    """
    page = None
    if watch:
        from poolctl.runtime.app.refusal_page import RefusalPage  # only in development

        page = RefusalPage()
    with host_settings(parts.topology, parts.module_folder) as host:
        moves = Moves()
        try:
            configuration = ServerConfiguration(parts, host, moves, reviewer, page=page)
            return Supervisor(configuration, control=parts.topology.control, page=page).run()
        finally:
            moves.close_all()
