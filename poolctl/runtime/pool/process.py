"""process: workers are processes, each with one thread or several."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import Annotated, ClassVar

from pydantic import Field

from poolctl.runtime.lifeline import Life
from poolctl.runtime.ownership import Ownership
from poolctl.runtime.pool import ElasticSize, Pool
from poolctl.runtime.pool.between_processes import BetweenProcesses
from poolctl.runtime.pool.yielding import do_not_preempt
from poolctl.runtime.role import Role
from poolctl.runtime.site import Site
from poolctl.runtime.site.workshop import Medium
from poolctl.runtime.system.threads import join


@dataclass
class Process(Pool):
    """A worker that crashes or leaks harms no other; each has its own interpreter and can use its own core."""

    like: ClassVar[str] = "process"
    size: ElasticSize = "auto"
    threads: Annotated[
        int,
        Field(
            ge=1,
            le=1024,
            description="threads in each process, for requests that wait; they share one interpreter, and with the GIL"
            " one of them computes at a time",
        ),
    ] = 1

    @property
    def multithread(self) -> bool:
        return self.threads > 1

    @property
    def multiprocess(self) -> bool:
        return self.size != 1

    def medium(self) -> Medium:
        return BetweenProcesses()

    def shape(self, workers: int, *, shares_one_event_set: bool) -> tuple[int, int]:
        return workers, self.threads

    def roles(self, site: Site, ownership: Ownership | None) -> list[Role]:
        assert ownership is not None  # only pools without workers have none
        roles = [self._worker(site, ownership, worker) for worker in range(site.workers)]
        return [self._front(site, ownership), *roles] if ownership.has_front else roles

    def _front(self, site: Site, ownership: Ownership) -> Role:
        def run(life: Life) -> None:
            if ownership.front_yields:
                do_not_preempt()
            front = ownership.front(site, life)
            life.enforce()
            life.ready()
            front.run(None)

        return Role("front", f"poolctl: front {site.name}", run, frozenset(ownership.front_keeps(site)), stage=0)

    def _worker(self, site: Site, ownership: Ownership, worker: int) -> Role:
        def run(life: Life) -> None:
            life.enforce()
            site.load()
            site.warm()
            if ownership.has_front:
                do_not_preempt()
            first, *others = ownership.work(site, worker, life)
            if others:
                threading.current_thread().name = f"worker {worker}.0"
            threads = [life.thread(work, f"worker {worker}.{number}") for number, work in enumerate(others, start=1)]
            life.ready()
            first()
            join(threads)

        return Role(
            f"worker {worker}",
            f"poolctl: worker {site.name} {worker}",
            run,
            frozenset(ownership.work_keeps(site, worker)),
            stage=1,
            rows=tuple(range(worker * site.slots, (worker + 1) * site.slots)),
        )
