"""reuse-port: every worker has a listening socket of its own, and the kernel chooses (socket(7), SO_REUSEPORT)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from poolctl.runtime.lifeline import Life
from poolctl.runtime.listen.listening import listen
from poolctl.runtime.ownership import Ownership, Work
from poolctl.runtime.site import Site


@dataclass
class ReusePort(Ownership):
    """Nothing is shared: a worker accepts from its own socket and serves the connections it accepted. A worker that
    takes the place of another one accepts from that one's socket."""

    like: ClassVar[str] = "reuse-port"

    def work(self, site: Site, worker: int, life: Life) -> list[Work]:
        loop = site.connection_loop(life, shared=site.threads > 1)
        place = life.place if life.place >= 0 else worker
        for group in site.listeners:
            listen(loop, group[place], loop.accept, rushes=True)
            for listener in [*group[:place], *group[place + 1 :]] if site.workers > site.size else ():
                listener.release()
        return site.threads_of(loop, worker)

    def front_keeps(self, site: Site) -> set[int]:
        return set()

    def work_keeps(self, site: Site, worker: int) -> set[int]:
        if site.workers == site.size:
            return {group[worker].fd for group in site.listeners}
        return {listener.fd for group in site.listeners for listener in group}  # which place it takes is not known yet
