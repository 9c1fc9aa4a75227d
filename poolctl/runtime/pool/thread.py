"""thread: workers are threads of one process, next to the front if there is one."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from queue import SimpleQueue
from typing import ClassVar

from poolctl.runtime.channels.inbox import ThreadInbox
from poolctl.runtime.lifeline import Life
from poolctl.runtime.ownership import Ownership, Work
from poolctl.runtime.pool import Pool, Size
from poolctl.runtime.pool.between_threads import BetweenThreads
from poolctl.runtime.role import Role
from poolctl.runtime.site import Site
from poolctl.runtime.site.workshop import Medium
from poolctl.runtime.system.threads import Started, join


@dataclass
class Thread(Pool):
    """The app is in memory once. Threads take turns on one interpreter, which suits apps that wait for I/O."""

    like: ClassVar[str] = "thread"
    size: Size = "auto"

    @property
    def multithread(self) -> bool:
        return True

    def medium(self) -> Medium:
        return BetweenThreads()

    def shape(self, workers: int, *, shares_one_event_set: bool) -> tuple[int, int]:
        return (1, workers) if shares_one_event_set else (workers, 1)

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
        site.warm()
        inboxes = [inbox for inbox in site.inboxes if isinstance(inbox, ThreadInbox)]  # all: this medium made them
        for inbox in inboxes:
            inbox.renew()
        front = ownership.front(site, life) if ownership.has_front else None
        starts = Starts(life, ownership, site)
        threads = starts.threads()
        life.ready()
        if front is not None:
            front.run(None)
            for inbox in inboxes:
                inbox.end()
        join(threads)


class Starts:
    """Starts each worker in its own thread, because objects that an app makes at its start may belong to that
    thread."""

    def __init__(self, life: Life, ownership: Ownership, site: Site) -> None:
        self._life, self._ownership, self._site = life, ownership, site
        self._told: SimpleQueue[list[Work] | BaseException] = SimpleQueue()

    def threads(self) -> list[Started]:
        """Return the threads of all workers once every worker can serve. Raises the first exception of a worker."""
        numbers = itertools.count()
        threads = [
            self._life.thread(lambda worker=worker: self._work(worker), f"worker {next(numbers)}")  # type: ignore[misc]
            for worker in range(self._site.workers)
        ]
        others: list[Work] = []
        for _ in range(len(threads)):
            told = self._told.get()
            if isinstance(told, BaseException):
                raise told
            others += told
        return threads + [self._life.thread(work, f"worker {next(numbers)}") for work in others]

    def _work(self, worker: int) -> None:
        try:
            first, *others = self._ownership.work(self._site, worker, self._life)
        except BaseException as error:  # noqa: BLE001  # raised again by the main thread, which waits for it
            self._told.put(error)
            return
        self._told.put(others)
        first()
