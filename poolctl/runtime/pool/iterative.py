"""iterative: no pool at all (UNP ch. 30, design 0)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from poolctl.runtime.lifeline import Life
from poolctl.runtime.listen.door import Door
from poolctl.runtime.listen.listening import listen
from poolctl.runtime.pool.baseline import Baseline
from poolctl.runtime.pool.single_loop import serve_only
from poolctl.runtime.serving.connection_loop import ConnectionLoop
from poolctl.runtime.serving.kinds import connection_of
from poolctl.runtime.serving.service import Service
from poolctl.runtime.site import Site
from poolctl.runtime.task import Peer


@dataclass
class Iterative(Baseline):
    """One client after the other, each until it leaves: the baseline for comparing pools."""

    like: ClassVar[str] = "iterative"
    role: ClassVar[str] = "worker 0"

    def loop(self, site: Site, life: Life) -> ConnectionLoop:
        loop = ConnectionLoop(life.lifeline, site.timeouts, 1, connection_of(site.app, shared=False))

        def serve_one(fd: int, peer: Peer, service: Service, door: Door) -> None:
            """Serve the client in a loop of its own; all other clients wait meanwhile."""
            serve_only(site, life, fd, peer, service, door)

        for listener in site.shared_listeners:
            listen(loop, listener, serve_one)
        return loop
