"""Baselines: no pool at all. One role accepts and creates a process, a thread or a loop for each client."""

from __future__ import annotations

import logging
from abc import abstractmethod
from typing import ClassVar

from poolctl.runtime.lifeline import Life
from poolctl.runtime.listen.door import Door
from poolctl.runtime.listen.listening import listen
from poolctl.runtime.loop.loop import Loop
from poolctl.runtime.loop.source import Source
from poolctl.runtime.ownership import Ownership
from poolctl.runtime.pool import Pool
from poolctl.runtime.pool.between_processes import BetweenProcesses
from poolctl.runtime.role import Role
from poolctl.runtime.scoreboard import DONE, TAKEN
from poolctl.runtime.serving.service import Service
from poolctl.runtime.site import Site
from poolctl.runtime.site.workshop import Medium
from poolctl.runtime.task import Peer

log = logging.getLogger("poolctl")


class Baseline(Pool):
    """A pool with one role, which accepts; it runs the same steps whatever it creates. ``role``: the name of the
    role."""

    role: ClassVar[str]
    forks: ClassVar[bool] = False  # whether the role forks to serve a client; then it runs no user code itself

    def medium(self) -> Medium:
        return BetweenProcesses()

    def shape(self, workers: int, *, shares_one_event_set: bool) -> tuple[int, int]:
        return 1, 1

    @abstractmethod
    def loop(self, site: Site, life: Life) -> Loop[Service]:
        """Return a loop that listens and has accepted clients served."""

    def roles(self, site: Site, ownership: Ownership | None) -> list[Role]:
        def run(life: Life) -> None:
            if not self.forks:  # enforce starts a thread, and a process that forks must have only one
                life.enforce()
            site.load()
            site.heed_drain(life)
            service = site.service(0)
            loop = self.loop(site, life)
            if self.forks and life.channel >= 0:
                loop.add_source(Hearing(loop, life))
            life.ready()
            loop.run(service)

        keeps = frozenset(listener.fd for listener in site.shared_listeners)
        kind, _, number = self.role.partition(" ")
        title = f"poolctl: {kind} {site.name} {number}".rstrip()
        return [Role(self.role, title, run, keeps, stage=0, rows=(0,))]


class PerConnection(Baseline):
    """A process or thread is created for each client and ends with it; ``limits.connections`` bounds their number."""

    @abstractmethod
    def begin(self, loop: Loop[Service], site: Site, life: Life, fd: int, peer: Peer, door: Door) -> Source[Service]:
        """Start serving a client. Returns a source whose event means that the client has been served. Raises OSError or
        RuntimeError if the system allows no further process or thread; the connection is still open then."""

    def loop(self, site: Site, life: Life) -> Loop[Service]:
        loop: Loop[Service] = Loop(life.lifeline)

        def on_connection(fd: int, peer: Peer, service: Service, door: Door) -> None:
            if len(loop.handlers) - len(loop.sources) >= site.at_once:
                loop.turn_away(fd, door.busy(peer))
                return
            try:
                source = self.begin(loop, site, life, fd, peer, door)
            except (OSError, RuntimeError) as error:
                log.error("turned a client away: %s; raise the limit on processes or lower limits.connections", error)
                loop.turn_away(fd, door.busy(peer))
                return
            service.row[TAKEN] += 1
            loop.add(source)

        for listener in site.shared_listeners:
            listen(loop, listener, on_connection)
        return loop


class Hearing(Source[Service]):
    """What the mold says to a role that has no other thread to hear it."""

    def __init__(self, loop: Loop[Service], life: Life) -> None:
        self.loop, self._life = loop, life
        self.fd = life.channel

    def on_event(self, events: int, service: Service) -> None:
        if not self._life.hear(describes=False):  # the requests are in the processes that it has forked
            self.loop.remove(self)

    def drain(self, service: Service) -> None:
        """Leave the loop: what it says now concerns nobody."""
        self.loop.remove(self)


class Served(Source[Service]):
    """A client being served. The pipe reaches its end of file when the process or thread that serves it ends."""

    def __init__(self, loop: Loop[Service], fd: int) -> None:
        self.loop = loop
        self.fd = fd

    def on_event(self, events: int, service: Service) -> None:
        self.loop.remove(self)
        self.end()
        service.row[DONE] += 1

    @abstractmethod
    def end(self) -> None:
        """Release everything that was needed to serve the client."""
