"""The medium between a front and worker processes: messages and descriptors."""

from __future__ import annotations

from collections.abc import Sequence

from poolctl.runtime.channels.inbox import Inbox, ProcessInbox
from poolctl.runtime.lifeline import Life
from poolctl.runtime.ownership.half_sync_half_async.arrivals import Arrivals, ProcessArrivals, bounded
from poolctl.runtime.ownership.half_sync_half_async.front import ProcessHandingFront
from poolctl.runtime.ownership.half_sync_half_reactive.executor import ProcessTaskExecutor
from poolctl.runtime.ownership.half_sync_half_reactive.first_byte import FirstByte
from poolctl.runtime.ownership.half_sync_half_reactive.front_process import ProcessLendingFront
from poolctl.runtime.ownership.half_sync_half_reactive.retrying import RetryingFront
from poolctl.runtime.ownership.half_sync_half_reactive.sessions import INDEX, Sessions
from poolctl.runtime.ownership.half_sync_half_reactive.turns import Turns, turns
from poolctl.runtime.serving.connection_loop import ConnectionLoop
from poolctl.runtime.site import Executor, FrontThatHandsOver, FrontThatLends
from poolctl.runtime.site.workshop import Medium, Workshop
from poolctl.runtime.system.interrupt import allow_interrupts


class BetweenProcesses(Medium):
    """Messages and descriptors in channels. Made once for each generation; each process uses its own side."""

    def __init__(self) -> None:
        self._inboxes: list[ProcessInbox] = []  # by their index
        self._turns: Turns | None = None  # the turns of this worker's threads

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
        made = ProcessInbox(index, row, workers, slots, threads=threads, beats=beats)
        self._inboxes.append(made)
        return made

    def lending_front(self, site: Workshop, life: Life, *, retries: bool = False) -> FrontThatLends:
        front = RetryingFront if retries else ProcessLendingFront
        return front(
            life.lifeline,
            site.protocol,
            site.router(),
            site.timeouts,
            site.at_once,
            site.waiting,
            site.returns,
            site.notices.reader,
            awaited=site.app.asynchronous,
        )

    def handing_front(self, site: Workshop, life: Life) -> FrontThatHandsOver:
        router = site.router(site.once)
        return ProcessHandingFront(life.lifeline, site.protocol, router, site.connections, site.notices.reader)

    def task_executor(self, site: Workshop, worker: int, thread: int, life: Life) -> Executor:
        inbox = self._inboxes[site.inbox(worker).index]
        if site.app.asynchronous:
            # asyncio is slow to import
            from poolctl.runtime.ownership.half_sync_half_reactive.async_executor import AsyncProcessExecutor

            service, slots = site.service(worker), site.slots_of(worker)
            return AsyncProcessExecutor(
                inbox,
                service,
                slots,
                site.timeouts,
                life,
                site.shared_listeners,
                site.returns,
                self._sessions(site, worker),
                shared=site.shares_inbox,
            )
        if thread == 0:
            self._turns = turns(inbox)
        first_byte = FirstByte(site.row(worker, thread))
        service = site.service(worker, thread, first_byte, self._sessions(site, worker))
        executor = ProcessTaskExecutor(
            inbox,
            service,
            site.shared_listeners,
            site.returns,
            self._turns,
            shared=site.shares_inbox,
        )
        if site.shares_inbox and life.leave >= 0:
            allow_interrupts()
            life.when_leaving(executor.leave)
        return executor

    def _sessions(self, site: Workshop, worker: int) -> Sessions | None:
        """Return the observer that reports this worker's new sessions to the front; None if the affinity does not
        learn."""
        told = site.returns.told
        if told is None:
            return None
        index = INDEX.pack(site.inbox(worker).index)
        return Sessions(site.affinity, lambda key: told.sendall(index + key.encode("utf-8", "replace")))

    def arrivals(self, loop: ConnectionLoop, site: Workshop, worker: int) -> Arrivals:
        inbox = self._inboxes[site.inbox(worker).index]
        return bounded(ProcessArrivals(loop, inbox, site.shared_listeners, site.returns.urgent_writer), site.settings)
