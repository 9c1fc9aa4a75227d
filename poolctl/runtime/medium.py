"""What lies between front and workers: the borders of processes, or the memory that threads share.

The only place that knows which kind of inbox, front, executor and arrival go together.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from poolctl.runtime.arrivals import Arrivals, ProcessArrivals, ThreadArrivals
from poolctl.runtime.connection_loop import ConnectionLoop
from poolctl.runtime.handing import HandingFront, ProcessHandingFront, ThreadHandingFront
from poolctl.runtime.inbox import Inbox, ProcessInbox, RingingInbox, ThreadInbox
from poolctl.runtime.learning import learning
from poolctl.runtime.lending import LendingFront
from poolctl.runtime.lending_process import ProcessLendingFront
from poolctl.runtime.lending_thread import ThreadLendingFront
from poolctl.runtime.lifeline import Life
from poolctl.runtime.outbound import Sending
from poolctl.runtime.task_executor import Borrowed, ProcessTaskExecutor, ThreadTaskExecutor
from poolctl.runtime.turns import Turns, turns

if TYPE_CHECKING:
    from poolctl.runtime.site import Site


class Medium(ABC):
    """Makes the parts of one side or the other."""

    @abstractmethod
    def inbox(self, index: int, row: memoryview, workers: Sequence[memoryview], *, rings: bool, threads: bool) -> Inbox:
        """An inbox; ``rings`` when its workers wait for it with a poller, ``threads`` when they are those of one
        worker."""

    @abstractmethod
    def lending_front(self, site: Site, life: Life) -> LendingFront:
        """A front that lends connections, ready to take them back."""

    @abstractmethod
    def handing_front(self, site: Site, life: Life) -> HandingFront:
        """A front that hands connections over."""

    @abstractmethod
    def task_executor(self, site: Site, worker: int, thread: int, life: Life) -> Any:
        """The executor of one worker thread, which calls its ``run``. An app that is awaited has started."""

    @abstractmethod
    def arrivals(self, loop: ConnectionLoop, site: Site, worker: int) -> Arrivals:
        """A worker's inbox as a source of its loop."""


class Processes(Medium):
    """Messages and descriptors."""

    _turns: Turns | None = None  # of this worker's threads

    def inbox(self, index: int, row: memoryview, workers: Sequence[memoryview], *, rings: bool, threads: bool) -> Inbox:
        return ProcessInbox(index, row, workers, threads=threads)

    def lending_front(self, site: Site, life: Life) -> LendingFront:
        front = ProcessLendingFront(
            life.lifeline, site.protocol, site.router(), site.timeouts, site.at_once, site.waiting
        )
        front.attend(site.returns, site.notices.reader, awaited=site.app.asynchronous)
        return front

    def handing_front(self, site: Site, life: Life) -> HandingFront:
        front = ProcessHandingFront(life.lifeline, site.protocol, site.router(site.once), site.connections)
        front.attend(site.notices.reader)
        return front

    def task_executor(self, site: Site, worker: int, thread: int, life: Life) -> Any:
        inbox = site.inbox(worker)
        assert isinstance(inbox, ProcessInbox)  # made by this medium
        if site.app.asynchronous:
            from poolctl.runtime.async_executor import AsyncProcessExecutor  # asyncio is slow to import

            service, slots = site.service(worker), site.slots_of(worker)
            return AsyncProcessExecutor(
                inbox,
                service,
                slots,
                site.timeouts,
                life,
                site.shared_listeners,
                site.returns,
                lambda kind: site.sends_by(kind, worker),
            )
        if thread == 0:
            self._turns = turns(inbox)
        borrowed, service = site.sends_by(Borrowed, worker), site.service(worker, thread)
        return ProcessTaskExecutor(inbox, service, site.shared_listeners, site.returns, borrowed, self._turns)

    def arrivals(self, loop: ConnectionLoop, site: Site, worker: int) -> Arrivals:
        inbox = site.inbox(worker)
        assert isinstance(inbox, ProcessInbox)  # made by this medium
        return ProcessArrivals(loop, inbox, site.shared_listeners, site.returns.urgent_writer)


class Threads(Medium):
    """Objects. The workers give connections back to the front that this medium made."""

    _front: ThreadLendingFront

    def inbox(self, index: int, row: memoryview, workers: Sequence[memoryview], *, rings: bool, threads: bool) -> Inbox:
        return (RingingInbox if rings else ThreadInbox)(index, row, workers)

    def lending_front(self, site: Site, life: Life) -> LendingFront:
        self._front = ThreadLendingFront(
            life.lifeline, site.protocol, site.router(), site.timeouts, site.at_once, site.waiting
        )
        self._front.attend()
        return self._front

    def handing_front(self, site: Site, life: Life) -> HandingFront:
        return ThreadHandingFront(life.lifeline, site.protocol, site.router(site.once), site.at_once)

    def task_executor(self, site: Site, worker: int, thread: int, life: Life) -> Any:
        inbox = site.inbox(worker)
        if isinstance(inbox, RingingInbox):  # its workers wait in an event loop
            from poolctl.runtime.async_executor import AsyncThreadExecutor  # asyncio is slow to import

            service, slots = site.service(worker), site.slots_of(worker)
            return AsyncThreadExecutor(
                inbox, service, slots, site.timeouts, life, self._front, lambda kind: self._sends_by(site, kind, worker)
            )
        assert isinstance(inbox, ThreadInbox)  # made by this medium
        sends_by = self._sends_by(site, Sending, worker)
        return ThreadTaskExecutor(inbox, site.service(worker, thread), self._front, sends_by)

    def _sends_by(self, site: Site, kind: type[Any], worker: int) -> type[Any]:
        """As the site's, where the front shares the worker's memory."""
        if not site.affinity.learns:
            return kind
        index, sessions = site.inbox(worker).index, self._front.sessions
        return learning(kind, site.affinity, lambda key: sessions.append((key, index)))

    def arrivals(self, loop: ConnectionLoop, site: Site, worker: int) -> Arrivals:
        inbox = site.inbox(worker)
        assert isinstance(inbox, RingingInbox)  # made by this medium
        return ThreadArrivals(loop, inbox, site.shared_listeners, site.returns.urgent_writer)
