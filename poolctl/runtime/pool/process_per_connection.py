"""process-per-connection: a new process for every client (UNP ch. 30, design 1)."""

from __future__ import annotations

import logging
import os
import threading
from dataclasses import dataclass, replace
from os import close
from typing import ClassVar

from poolctl.runtime.lifeline import Life
from poolctl.runtime.listen.door import Door
from poolctl.runtime.loop.loop import Loop
from poolctl.runtime.pool.baseline import PerConnection, Served
from poolctl.runtime.pool.finish import begin, finish
from poolctl.runtime.pool.single_loop import passing_service, serve_only
from poolctl.runtime.serving.service import Service
from poolctl.runtime.site import Site
from poolctl.runtime.system import forked
from poolctl.runtime.task import Peer

log = logging.getLogger("poolctl")


@dataclass
class ProcessPerConnection(PerConnection):
    """Every client has its own process and waits for its fork: the classic concurrent server, as under inetd."""

    like: ClassVar[str] = "process-per-connection"
    role: ClassVar[str] = "front"
    forks: ClassVar[bool] = True

    @property
    def multiprocess(self) -> bool:
        return True

    def begin(self, loop: Loop[Service], site: Site, life: Life, fd: int, peer: Peer, door: Door) -> Served:
        reader, writer = os.pipe()
        try:
            pid = forked.fork()
        except OSError:
            close(reader)
            close(writer)
            raise
        if pid == 0:
            status = 1
            try:
                begin()
                close(reader)
                forked.hold({life.lifeline, writer}, only=True)
                _serve(loop, site, life, fd, peer, door)
                status = 0
            except BaseException:
                forked.leave()
                log.exception("the process of one client failed")
            finally:
                os._exit(finish(status, life.drain))
        close(writer)
        close(fd)
        return ServingChild(loop, reader, pid)


def _serve(loop: Loop[Service], site: Site, life: Life, fd: int, peer: Peer, door: Door) -> None:
    """Serve the client in the child, which keeps only the lifeline and the client's connection."""
    threading.current_thread().name = f"client {os.getpid()}"
    loop.poller.close()
    for other in loop.handlers:
        if other != life.lifeline:
            close(other)
    mine = replace(life, channel=-1)  # the mold speaks to the process that accepts
    mine.enforce()
    site.heed_drain(mine)
    serve_only(site, life, fd, peer, passing_service(site), door)


class ServingChild(Served):
    """The process of one client. The kernel closes its end of the pipe however the process ends."""

    def __init__(self, loop: Loop[Service], fd: int, pid: int) -> None:
        super().__init__(loop, fd)
        self.pid = pid

    def on_event(self, events: int, service: Service) -> None:
        """Handle the end of the pipe or of the process. The pipe may end first: just before the process, or much
        earlier if the app closes descriptors that are not its own."""
        if os.waitpid(self.pid, os.WNOHANG) == (0, 0):
            try:
                watched = os.pidfd_open(self.pid)
            except (AttributeError, OSError) as error:  # only Linux since 5.3 has it
                log.debug("waiting for process %d: %s", self.pid, error)
            else:
                self.loop.remove(self)
                close(self.fd)
                self.fd = watched
                self.loop.add(self)
                return
            os.waitpid(self.pid, 0)
        super().on_event(events, service)

    def end(self) -> None:
        close(self.fd)
