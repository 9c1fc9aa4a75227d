"""half-sync/half-reactive: the front owns every connection and lends it for one request (Schmidt et al., POSA2, ch. 5;
with the reads in the front, the simulated Proactor of You Shuang's book, ch. 8)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from poolctl.runtime.channels.inbox import bells
from poolctl.runtime.lifeline import Life
from poolctl.runtime.ownership import Ownership, Work
from poolctl.runtime.site import Front, Site

Retry = Annotated[
    Literal["off", "idempotent"],
    Field(
        description="idempotent: a GET, HEAD, OPTIONS, TRACE, PUT or DELETE whose worker process died before it sent a"
        " byte goes to another one, once"
    ),
]


@dataclass
class HalfSyncHalfReactive(Ownership):
    """Slow clients cost no worker, and no request waits behind another while a worker is free."""

    like: ClassVar[str] = "half-sync/half-reactive"
    retry: Retry = field(default="off", kw_only=True)  # a plugin's subclass may add options without a default

    has_front: ClassVar[bool] = True
    lends: ClassVar[bool] = True

    def front(self, site: Site, life: Life) -> Front:
        front = site.lending_front(life, retries=self.retry == "idempotent")
        for listener in site.shared_listeners:
            front.welcome(listener)
        return front

    def work(self, site: Site, worker: int, life: Life) -> list[Work]:
        return [site.task_executor(worker, thread, life).run for thread in range(site.threads)]

    def front_keeps(self, site: Site) -> set[int]:
        writers = {inbox.writer.fileno() for inbox in site.inboxes}
        listeners = {listener.fd for listener in site.shared_listeners}
        readers = {inbox.reader.fileno() for inbox in site.inboxes} if site.queues else set()
        rung = set().union(*map(bells, site.inboxes))
        return listeners | writers | readers | rung | site.returns.ends()[0] | {site.notices.reader.fileno()}

    def work_keeps(self, site: Site, worker: int) -> set[int]:
        inbox = site.inbox(worker)
        return {inbox.reader.fileno()} | bells(inbox) | site.returns.ends()[1]
