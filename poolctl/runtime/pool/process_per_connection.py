"""process-per-connection: a new process for every client (UNP ch. 30, design 1)."""

from __future__ import annotations

import logging
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

log = logging.getLogger("poolctl")


@dataclass
class ProcessPerConnection(Pool):
    """Every client has a process to itself, and pays for the fork: the concurrent server of inetd's days."""

    @property
    def multiprocess(self) -> bool:
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
                    loop.handle(Child(loop, life, site, fd, peer))

            for listener in site.shared_listeners:
                loop.listen(listener, on_connection)
            life.ready()  # no thread that enforces the end: this process forks, and runs nothing of the user's
            loop.run(service)

        keeps = frozenset(listener.fd for listener in site.shared_listeners)
        return [Role("front", f"poolctl: front {site.name}", run, keeps, stage=0, rows=(0,))]


class Child(Source):
    """The process of one client. Its end of a pipe is closed with it, however it ends."""

    def __init__(self, loop: Loop, life: Life, site: Site, fd: int, peer: Peer) -> None:
        self.loop = loop
        self.fd, done = os.pipe()
        self.pid = os.fork()
        if self.pid == 0:
            status = 1
            try:
                self._serve(loop, life, site, fd, peer)
                status = 0
            except BaseException:
                log.exception("the process of one client failed")
            finally:
                os._exit(status)
        os.close(done)
        os.close(fd)

    def _serve(self, loop: Loop, life: Life, site: Site, fd: int, peer: Peer) -> None:
        """In the child: nothing of the parent's is needed but the lifeline and the client."""
        threading.current_thread().name = f"client {os.getpid()}"
        loop.poller.close()
        for other in loop.handlers:
            if other != life.lifeline:
                os.close(other)
        os.close(self.fd)
        life.enforce()
        SingleLoop(life.lifeline, site.timeouts, limit=1).serve(fd, peer, passing_service(site))

    def on_event(self, events: int, service: Service) -> None:
        self.loop.drop(self)
        os.close(self.fd)
        os.waitpid(self.pid, 0)
        service.row[DONE] += 1
