"""Runs a server from its parts: applies the host settings, opens everything, and runs the supervisor."""

from __future__ import annotations

from poolctl.assembly.configuration import ServerConfiguration
from poolctl.assembly.host import host_settings
from poolctl.assembly.resolve import Parts
from poolctl.runtime.listen.moves import Moves
from poolctl.supervision.configuration import Reviewer
from poolctl.supervision.supervisor import Supervisor


def serve(parts: Parts, reviewer: Reviewer | None = None) -> int:
    """Run the server until it is stopped, and return the exit code.

    ``reviewer``: reads the topology again; None: the server cannot be reloaded. Raises PoolctlError if it cannot start.
    """
    with host_settings(parts.topology, parts.module_folder) as host:
        moves = Moves()
        try:
            configuration = ServerConfiguration(parts, host, moves, reviewer)
            return Supervisor(configuration, control=parts.topology.control).run()
        finally:
            moves.close_all()
