"""thread-per-connection: a new thread for every client (UNP ch. 30, design 6)."""

from __future__ import annotations

import os
import threading
from dataclasses import dataclass

from poolctl.runtime.lifeline import Life
from poolctl.runtime.loop import Loop, Source
from poolctl.runtime.medium import Medium, Processes
from poolctl.runtime.ownership import Ownership
from poolctl.runtime.pool import Pool
from poolctl.runtime.role import Role
from poolctl.runtime.scoreboard import DONE, TAKEN
from poolctl.runtime.service import Service
from poolctl.runtime.single_loop import SingleLoop, passing_service
from poolctl.runtime.site import Site
from poolctl.runtime.task import Peer


@dataclass
class ThreadPerConnection(Pool):
    """Simple, and as good as its clients are few: the price is a thread made and ended for each."""

    @property
    def multithread(self) -> bool:
        return True

    def medium(self) -> Medium:
        return Processes()

    def shape(self, workers: int, *, gathers: bool) -> tuple[int, int]:
        return 1, 1

    def roles(self, site: Site, ownership: Ownership | None) -> list[Role]:
        def run(life: Life) -> None:
            site.load()
            service = site.service(0)
            loop = Loop(life.lifeline)

            def on_connection(fd: int, peer: Peer, service: Service) -> None:
                if len(loop.handlers) - len(loop.sources) >= site.connections:
                    loop.turn_away(fd, site.protocol.refusal(503))
                else:
                    service.row[TAKEN] += 1
                    loop.handle(Companion(loop, life, site, fd, peer))

            for listener in site.shared_listeners:
                loop.listen(listener, on_connection)
            life.enforce()
            life.ready()
            loop.run(service)

        keeps = frozenset(listener.fd for listener in site.shared_listeners)
        return [Role("threads", f"poolctl: threads {site.name}", run, keeps, stage=0, rows=(0,))]


class Companion(Source):
    """The thread of one client; it closes its end of a pipe when it is done."""

    def __init__(self, loop: Loop, life: Life, site: Site, fd: int, peer: Peer) -> None:
        self.loop = loop
        self.fd, self._done = os.pipe()
        self._thread = threading.Thread(
            target=self._run, args=(life, site, fd, peer), name=f"client {peer.client_port}"
        )
        self._thread.start()

    def _run(self, life: Life, site: Site, fd: int, peer: Peer) -> None:
        try:
            SingleLoop(life.lifeline, site.timeouts, limit=1).serve(fd, peer, passing_service(site))
        finally:
            os.close(self._done)

    def on_event(self, events: int, service: Service) -> None:
        self.loop.drop(self)
        os.close(self.fd)
        self._thread.join()
        service.row[DONE] += 1
