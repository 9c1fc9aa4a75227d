"""thread: workers are threads of one process, beside the front if there is one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from poolctl.runtime.inbox import ThreadInbox
from poolctl.runtime.lifeline import Life
from poolctl.runtime.medium import Medium, Threads
from poolctl.runtime.ownership import Ownership, Work
from poolctl.runtime.pool import Pool, Size
from poolctl.runtime.role import Role
from poolctl.runtime.site import Site


@dataclass
class Thread(Pool):
    """The app is in memory once; its threads take turns on one interpreter, which suits work that waits for others."""

    like: ClassVar[str] = "thread"
    size: Size = "auto"

    @property
    def multithread(self) -> bool:
        return True

    def medium(self) -> Medium:
        return Threads()

    def shape(self, workers: int, *, gathers: bool) -> tuple[int, int]:
        return (1, workers) if gathers else (workers, 1)

    def roles(self, site: Site, ownership: Ownership | None) -> list[Role]:
        assert ownership is not None  # only pools without workers have none

        def run(life: Life) -> None:
            self._run(site, ownership, life)

        keeps = frozenset(site.sockets() | ownership.prepared)
        rows = tuple(range(site.workers * site.slots))
        return [Role("threads", f"poolctl: threads {site.name}", run, keeps, stage=0, rows=rows)]

    def _run(self, site: Site, ownership: Ownership, life: Life) -> None:
        life.enforce()
        site.load()
        inboxes = [inbox for inbox in site.inboxes if isinstance(inbox, ThreadInbox)]  # all: its medium made them
        for inbox in inboxes:
            inbox.renew()
        front = ownership.front(site, life) if ownership.has_front else None
        works: list[Work] = []
        for worker in range(site.workers):
            works += ownership.work(site, worker, life)
        threads = [life.thread(work, f"worker {number}") for number, work in enumerate(works)]
        life.ready()
        if front is not None:
            front.run()
            for inbox in inboxes:
                inbox.end()
        for thread in threads:
            thread.join()
