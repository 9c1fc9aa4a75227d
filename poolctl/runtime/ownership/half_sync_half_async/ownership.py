"""half-sync/half-async: a connection belongs to its worker until it closes (You Shuang, ch. 8; UNP ch. 30, design
5)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from poolctl.runtime.lifeline import Life
from poolctl.runtime.ownership import Ownership, Work
from poolctl.runtime.site import Front, Site

Accept = Annotated[
    Literal["front", "worker"],
    Field(description="front: it accepts and passes connections on; worker: a worker accepts when it gets a turn"),
]


@dataclass
class HalfSyncHalfAsync(Ownership):
    """The front gives each connection to a worker, whose own loop serves all of it."""

    like: ClassVar[str] = "half-sync/half-async"
    accept: Accept = "front"

    has_front: ClassVar[bool] = True
    front_yields: ClassVar[bool] = True  # new connections can wait for that short time
    rings: ClassVar[bool] = True

    def front(self, site: Site, life: Life) -> Front:
        front = site.handing_front(life)
        for number, listener in enumerate(site.shared_listeners):
            if self.accept == "front":
                front.hand_over(listener, number)
            else:
                front.give_turns(listener, number, site.returns.urgent_reader)
        return front

    def work(self, site: Site, worker: int, life: Life) -> list[Work]:
        loop = site.connection_loop(life, shared=site.threads > 1, counted=self.accept == "front")
        arrivals = site.arrivals(loop, worker)
        if site.shares_inbox:
            loop.contend(arrivals)
            loop.left_to_others.append(arrivals)
        loop.add(arrivals)
        return site.threads_of(loop, worker)

    def front_keeps(self, site: Site) -> set[int]:
        writers = {inbox.writer.fileno() for inbox in site.inboxes}
        return (
            {listener.fd for listener in site.shared_listeners}
            | writers
            | {
                site.returns.urgent_reader,
                site.notices.reader.fileno(),
            }
        )

    def work_keeps(self, site: Site, worker: int) -> set[int]:
        keeps = {site.inbox(worker).reader.fileno()}
        if self.accept == "worker":
            keeps |= {listener.fd for listener in site.shared_listeners} | {site.returns.urgent_writer}
        return keeps
