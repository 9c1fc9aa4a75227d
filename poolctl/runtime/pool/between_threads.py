"""The medium between a front and worker threads of the same process: objects in memory."""

from __future__ import annotations

from collections.abc import Sequence

from poolctl.runtime.channels.inbox import Inbox, RingingInbox, ThreadInbox
from poolctl.runtime.lifeline import Life
from poolctl.runtime.ownership.half_sync_half_async.arrivals import Arrivals, ThreadArrivals
from poolctl.runtime.ownership.half_sync_half_async.front import ThreadHandingFront
from poolctl.runtime.ownership.half_sync_half_reactive.executor import ThreadTaskExecutor
from poolctl.runtime.ownership.half_sync_half_reactive.front_thread import ThreadLendingFront
from poolctl.runtime.ownership.half_sync_half_reactive.sessions import Sessions
from poolctl.runtime.serving.connection_loop import ConnectionLoop
from poolctl.runtime.site import Executor, FrontThatHandsOver, FrontThatLends
from poolctl.runtime.site.workshop import Medium, Workshop


class BetweenThreads(Medium):
    """Objects in memory. Workers give connections back to the front that this medium made."""

    _front: ThreadLendingFront

    def inbox(
        self,
        index: int,
        row: memoryview,
        workers: Sequence[memoryview],
        *,
        slots: Sequence[memoryview],
        rings: bool,
        threads: bool,
    ) -> Inbox:
        return (RingingInbox if rings else ThreadInbox)(index, row, workers, slots)

    def lending_front(self, site: Workshop, life: Life) -> FrontThatLends:
        self._front = ThreadLendingFront(
            life.lifeline, site.protocol, site.router(), site.timeouts, site.at_once, site.waiting
        )
        return self._front

    def handing_front(self, site: Workshop, life: Life) -> FrontThatHandsOver:
        return ThreadHandingFront(life.lifeline, site.protocol, site.router(site.once), site.at_once)

    def task_executor(self, site: Workshop, worker: int, thread: int, life: Life) -> Executor:
        inbox = site.inbox(worker)
        if isinstance(inbox, RingingInbox):  # its workers wait in an event loop
            # asyncio is slow to import
            from poolctl.runtime.ownership.half_sync_half_reactive.async_executor import AsyncThreadExecutor

            service, slots = site.service(worker), site.slots_of(worker)
            return AsyncThreadExecutor(
                inbox, service, slots, site.timeouts, life, self._front, self._sessions(site, worker)
            )
        assert isinstance(inbox, ThreadInbox)  # made by this medium
        service = site.service(worker, thread, self._sessions(site, worker))
        return ThreadTaskExecutor(inbox, service, self._front)

    def _sessions(self, site: Workshop, worker: int) -> Sessions | None:
        """Return the observer that reports this worker's new sessions to the front; None if the affinity does not
        learn."""
        if not site.affinity.learns:
            return None
        index, sessions = site.inbox(worker).index, self._front.sessions
        return Sessions(site.affinity, lambda key: sessions.append((key, index)))

    def arrivals(self, loop: ConnectionLoop, site: Workshop, worker: int) -> Arrivals:
        inbox = site.inbox(worker)
        assert isinstance(inbox, RingingInbox)  # made by this medium
        return ThreadArrivals(loop, inbox, site.shared_listeners, site.returns.urgent_writer)
