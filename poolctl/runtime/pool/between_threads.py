"""The medium between a front and worker threads of the same process: objects in memory."""

from __future__ import annotations

from collections.abc import Sequence

from poolctl.runtime.channels.inbox import Inbox, RingingInbox, ThreadInbox
from poolctl.runtime.lifeline import Life
from poolctl.runtime.ownership.half_sync_half_async.arrivals import Arrivals, ThreadArrivals, bounded
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

    def __init__(self) -> None:
        self._inboxes: list[ThreadInbox] = []  # by their index, or
        self._ringing: list[RingingInbox] = []  # where workers wait for them with a poller

    def inbox(
        self,
        index: int,
        row: memoryview,
        workers: Sequence[memoryview],
        *,
        slots: Sequence[memoryview],
        rings: bool,
        threads: bool,
        beats: bool,
    ) -> Inbox:
        if rings:
            ringing = RingingInbox(index, row, workers, slots, beats=beats)
            self._ringing.append(ringing)
            return ringing
        made = ThreadInbox(index, row, workers, slots, beats=beats)
        self._inboxes.append(made)
        return made

    def lending_front(self, site: Workshop, life: Life, *, retries: bool = False) -> FrontThatLends:
        if retries:
            raise ValueError("a front cannot retry the requests of threads: they die with it")
        self._front = ThreadLendingFront(
            life.lifeline, site.protocol, site.router(), site.timeouts, site.at_once, site.waiting
        )
        return self._front

    def handing_front(self, site: Workshop, life: Life) -> FrontThatHandsOver:
        return ThreadHandingFront(life.lifeline, site.protocol, site.router(site.once), site.at_once)

    def task_executor(self, site: Workshop, worker: int, thread: int, life: Life) -> Executor:
        index = site.inbox(worker).index
        if self._ringing:  # the workers wait in event loops
            # asyncio is slow to import
            from poolctl.runtime.ownership.half_sync_half_reactive.async_executor import AsyncThreadExecutor

            service, slots = site.service(worker), site.slots_of(worker)
            inbox, sessions = self._ringing[index], self._sessions(site, worker)
            return AsyncThreadExecutor(inbox, service, slots, site.timeouts, life, self._front, sessions)
        service = site.service(worker, thread, self._sessions(site, worker))
        return ThreadTaskExecutor(self._inboxes[index], service, self._front)

    def _sessions(self, site: Workshop, worker: int) -> Sessions | None:
        """Return the observer that reports this worker's new sessions to the front; None if the affinity does not
        learn."""
        if not site.affinity.learns:
            return None
        index, sessions = site.inbox(worker).index, self._front.sessions
        return Sessions(site.affinity, lambda key: sessions.append((key, index)))

    def arrivals(self, loop: ConnectionLoop, site: Workshop, worker: int) -> Arrivals:
        inbox = self._ringing[site.inbox(worker).index]
        return bounded(ThreadArrivals(loop, inbox, site.shared_listeners, site.returns.urgent_writer), site.settings)
