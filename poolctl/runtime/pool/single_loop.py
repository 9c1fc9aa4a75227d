"""A loop for one client, used by pools that create a worker for each client."""

from __future__ import annotations

import logging
from os import close

from poolctl.runtime.lifeline import Life
from poolctl.runtime.listen.door import Door
from poolctl.runtime.scoreboard import ROW
from poolctl.runtime.serving.connection_loop import ConnectionLoop
from poolctl.runtime.serving.kinds import connection_of
from poolctl.runtime.serving.service import Service
from poolctl.runtime.site import Site
from poolctl.runtime.system import forked
from poolctl.runtime.task import Peer

log = logging.getLogger("poolctl")


class SingleLoop(ConnectionLoop):
    """Serves one connection until it closes."""

    def serve_only(self, fd: int, peer: Peer, service: Service, door: Door) -> None:
        """Serve the connection from its accept to its end."""
        self.accept(fd, peer, service, door)
        self.run(service)

    def run(self, service: Service) -> None:
        self.ending = True
        self._leave_when_done(service)
        try:
            super().run(service)
        finally:
            self.close()

    def _drained(self, quiet: bool, service: Service) -> None:
        super()._drained(quiet, service)
        self._leave_when_done(service)

    def _leave_when_done(self, service: Service) -> None:
        if len(self.handlers) == len(self.sources):
            for fd in list(self.sources):
                self.remove(self.handlers[fd])
            super()._drained(quiet=True, service=service)


def single_loop(site: Site, life: Life) -> SingleLoop:
    """Return a loop for one client."""
    new = connection_of(site.app, shared=False)
    return SingleLoop(life.lifeline, site.timeouts, 1, new, owned=site.app.owns_connection)


def serve_only(site: Site, life: Life, fd: int, peer: Peer, service: Service, door: Door) -> None:
    """Serve a connection in a loop of its own, from its door to its end. Never raises: an exception is logged, and the
    connection is closed."""
    loop = None
    try:
        loop = single_loop(site, life)
        loop.serve_only(fd, peer, service, door)
    except BaseException:
        forked.leave()
        log.exception("the loop of a client failed; closing its connection")
        if loop is None:  # for example, no descriptor was left for it
            close(fd)
            return
        for handler in list(loop.handlers.values()):
            if handler.fd != life.lifeline:
                close(handler.fd)


def passing_service(site: Site) -> Service:
    """Return a service for one client, with a private row: no worker outlives the client, so its counts are not
    shown."""
    return site.serving(memoryview(bytearray(ROW * 8)).cast("q"), "-")
