"""Runs a server from its parts: applies the host settings, opens everything, and runs the supervisor."""

from __future__ import annotations

import socket
from typing import Any

from poolctl.assembly.configuration import ServerConfiguration
from poolctl.assembly.host import host_settings
from poolctl.assembly.open_sockets import OpenSockets
from poolctl.assembly.resolve import Parts
from poolctl.runtime.listen import server_stop
from poolctl.runtime.listen.moves import Moves
from poolctl.runtime.system.shared_page import SharedPage
from poolctl.supervision.configuration import Reviewer
from poolctl.supervision.launch import Launch
from poolctl.supervision.supervisor import Supervisor
from poolctl.supervision.takeover import Takeover


def serve(
    parts: Parts,
    reviewer: Reviewer | None = None,
    *,
    launch: Launch | None = None,
    takeover: Takeover | None = None,
    watch: bool = False,
) -> int:
    """Run the server until it is stopped, and return the exit code.

    ``reviewer``: reads the topology again; None: the server cannot be reloaded. ``launch``: how this process was
    started; None: it cannot be upgraded. ``takeover``: the upgrade that has started it. ``watch``: reload it whenever
    the files change that the reviewer names. Raises PoolctlError if it cannot start.
    """
    page = None
    if watch:
        from poolctl.runtime.app.refusal_page import RefusalPage  # only in development

        page = RefusalPage()
    control, replaced = parts.topology.control, takeover.pid if takeover else 0
    with host_settings(parts.topology, parts.module_folder, replaced) as host:
        moves, opened = (Moves(SharedPage.named()), None) if takeover is None else taken_over(takeover.configuration)
        server_stop.use(moves.page)
        try:
            configuration = ServerConfiguration(parts, host, moves, reviewer, opened=opened, page=page)
            if opened:
                opened.close_all_but([sock for group in configuration.groups for sock in group])
            return Supervisor(configuration, control=control, page=page, launch=launch, takeover=takeover).run()
        finally:
            if takeover is None or not takeover.pending:
                moves.close_all()


def taken_over(bequest: dict[str, Any]) -> tuple[Moves, OpenSockets]:
    """Return what the supervisor that leaves has bequeathed."""
    writer, reader = (socket.socket(fileno=fd) for fd in bequest["moves"])
    return Moves(SharedPage(bequest["page"]), (writer, reader)), OpenSockets.received(bequest)
