"""iterative: no pool at all (UNP ch. 30, design 0)."""

from __future__ import annotations

from dataclasses import dataclass

from poolctl.runtime.connection_loop import ConnectionLoop
from poolctl.runtime.lifeline import Life
from poolctl.runtime.loop import Listening
from poolctl.runtime.medium import Medium, Processes
from poolctl.runtime.ownership import Ownership
from poolctl.runtime.pool import Pool
from poolctl.runtime.role import Role
from poolctl.runtime.service import Service
from poolctl.runtime.single_loop import SingleLoop
from poolctl.runtime.site import Site
from poolctl.runtime.task import Peer


@dataclass
class Iterative(Pool):
    """One client after the other, each until it leaves: what any pool has to be better than."""

    def medium(self) -> Medium:
        return Processes()

    def shape(self, workers: int, *, gathers: bool) -> tuple[int, int]:
        return 1, 1

    def roles(self, site: Site, ownership: Ownership | None) -> list[Role]:
        def run(life: Life) -> None:
            site.load()
            service = site.service(0)
            loop = OneByOne(life, site)
            for listener in site.shared_listeners:
                loop.listen(listener, loop.serve_one)
            life.enforce()
            life.ready()
            loop.run(service)

        keeps = frozenset(listener.fd for listener in site.shared_listeners)
        return [Role("worker 0", f"poolctl: worker {site.name} 0", run, keeps, stage=0, rows=(0,))]


class OneByOne(ConnectionLoop):
    """Accepts the next client when the last one has left."""

    def __init__(self, life: Life, site: Site) -> None:
        super().__init__(life.lifeline, site.timeouts, limit=1)
        self.life = life
        self.turn: Listening | None = None

    def serve_one(self, fd: int, peer: Peer, service: Service) -> None:
        """A loop of its own for this client; nothing else moves meanwhile."""
        SingleLoop(self.life.lifeline, self.timeouts, limit=1).serve(fd, peer, service)
