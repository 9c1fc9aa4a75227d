"""Makes services, routers, loops, fronts and executors from the data that the processes of a generation share.

    ownership --> Workshop.lending_front, .task_executor ... --> Medium --> Workshop.router, .service ... --> a loop

Everything is made in the process in which it will run. Which front, executor and arrivals fit together depends on
whether workers are processes or threads, so the pool's medium chooses them.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from poolctl.runtime.affinity import Affinity
from poolctl.runtime.app import AsyncApp
from poolctl.runtime.buffers.observer import Observer
from poolctl.runtime.channels.inbox import Inbox
from poolctl.runtime.dispatch import Dispatch, built_in
from poolctl.runtime.dispatch.guarded import Guarded
from poolctl.runtime.lifeline import Life, stacks_on_signal
from poolctl.runtime.listen.moves import adopt_in
from poolctl.runtime.loop.loop import Loop
from poolctl.runtime.loop.source import Source
from poolctl.runtime.routing.gradient import Gradient
from poolctl.runtime.routing.router import Router
from poolctl.runtime.scoreboard import DONE, READY, SINCE, STATE, TAKEN, TICKET, WANTED
from poolctl.runtime.serving.connection_loop import ConnectionLoop
from poolctl.runtime.serving.health import HealthService
from poolctl.runtime.serving.kinds import connection_of
from poolctl.runtime.serving.service import Service
from poolctl.runtime.serving.stream_limit import StreamWatch
from poolctl.runtime.site import Executor, FrontThatHandsOver, FrontThatLends
from poolctl.runtime.site.data import SiteData
from poolctl.runtime.system import forked


class Medium(ABC):
    """The medium between front and workers: channels between processes, or the memory that threads share. The pool
    makes it once for each generation."""

    @abstractmethod
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
        """Return an inbox. ``slots``: rows of the tasks that its workers may have at once; ``rings``: its workers wait
        for it in a poller; ``threads``: its workers are the threads of one process; ``beats``: they are event loops,
        which say how late they are."""

    @abstractmethod
    def lending_front(self, site: Workshop, life: Life, *, retries: bool = False) -> FrontThatLends:
        """Return a front that lends connections, ready to take them back. ``retries``: see ``Site.lending_front``."""

    @abstractmethod
    def handing_front(self, site: Workshop, life: Life) -> FrontThatHandsOver:
        """Return a front that hands connections over."""

    @abstractmethod
    def task_executor(self, site: Workshop, worker: int, thread: int, life: Life) -> Executor:
        """Return the executor of one worker thread, which calls its ``run``. An async app has started by then."""

    @abstractmethod
    def arrivals(self, loop: ConnectionLoop, site: Workshop, worker: int) -> Source[Service]:
        """Return a worker's inbox as a source of its loop."""


@dataclass(frozen=True, kw_only=True)
class Workshop(SiteData):
    """The data of a site with the methods that make what runs there; the caller owns the results."""

    medium: Medium

    def load(self) -> None:
        """Import the app, unless this process or the mold has done so."""
        self.loader.load()

    def warm(self) -> None:
        """Have the app answer its warm requests. Called in a worker after ``load``."""
        self.loader.warm()

    def service(self, worker: int, thread: int = 0, *observers: Observer | None) -> Service:
        """Return the service of one worker thread, with its row. ``observers``: called with its responses."""
        name = str(worker) if self.threads == 1 else f"{worker}/{thread}"
        row = self.scoreboard.enter(worker * self.slots + thread)
        forked.register_row(row)
        return self.serving(row, name, *observers)

    def serving(self, row: memoryview, name: str, *observers: Observer | None) -> Service:
        """Return a service that counts in the given row. ``name``: of the worker, for the access log."""
        entries = None
        if self.access is not None:
            from poolctl.runtime.access_log.entries import Entries  # imported only if the access log is on

            entries = Entries(self.access, name)
        streams = None if self.streams is None else StreamWatch(self.streams)
        of = self.app, self.protocol, row, self.loader.context, entries, observers, streams
        return Service(*of) if self.health is None else HealthService(self.health, *of)

    def heed_drain(self, life: Life) -> None:
        """Have timeouts.stream begin with the drain of this process."""
        if self.streams is not None:
            life.when_draining(self.streams.begin)

    def slots_of(self, worker: int) -> list[memoryview]:
        """Return the rows of one worker, marked as having no task in flight."""
        rows = [self.row(worker, slot) for slot in range(self.slots)]
        for row in rows:
            row[TICKET] = 0
        return rows

    def router(self, affinity: Affinity | None = None) -> Router:
        """Return the router of a front."""
        dispatch = self.guarded(self.settings.dispatch())
        return Router(
            dispatch,
            affinity or self.affinity,
            self.inboxes,
            self.waiting,
            self.scoreboard.front(),
            self.vacant,
            Gradient(self.slots) if self.adapts else None,
        )

    def guarded(self, dispatch: Dispatch) -> Dispatch:
        """Return the strategy, a plugin's behind a guard. Called in the thread of the front."""
        if built_in(dispatch):
            return dispatch
        stacks_on_signal()  # the mold sends the signal to a front that hangs
        return Guarded(dispatch, self.scoreboard.enter_front())

    # loops that own connections

    def connection_loop(self, life: Life, *, shared: bool, counted: bool = False) -> ConnectionLoop:
        """Return a loop for one worker's connections. ``counted``: a front already enforces the limit."""

        def limit() -> int:
            wanted = self.scoreboard.front()[WANTED] if self.workers > self.size else 0
            return self.at_once if counted else self.share(wanted or self.size)

        self.heed_drain(life)
        loops = 1 if self.multiprocess else self.size  # in one process, so they share its descriptors
        if isinstance(self.app, AsyncApp):
            from poolctl.runtime.serving_async import kinds  # asyncio is slow to import
            from poolctl.runtime.serving_async.loop import AsyncConnectionLoop

            kind = kinds.connection_of(self.app, checked=self.health is not None)
            loop: ConnectionLoop = AsyncConnectionLoop(life, self.timeouts, limit(), self.app, kind, loops=loops)
        else:
            new = connection_of(self.app, shared=shared)
            owned = self.app.owns_connection
            loop = ConnectionLoop(life.lifeline, self.timeouts, limit(), new, owned=owned, shared=shared, loops=loops)
        if self.workers > self.size and not counted:
            loop.limit_by(limit)
        self.settings.follow(lambda: loop.limit_to(limit()))
        loop.leave_with(life.leave)
        loop.move_by(self.moves)
        if not self.inboxes:  # otherwise they arrive at the front
            adopt_in(loop, self.moves, self.shared_listeners, self._crowded if self.multiprocess else None)
        return loop

    def _crowded(self, service: Service) -> bool:
        """Whether another worker that is idle has fewer connections than the one with this service."""
        row = service.row
        count = row[TAKEN] - row[DONE] - 1  # equal ones are not worth a wait
        rows = (self.scoreboard.worker(number) for number in range(self.workers * self.slots))
        return any(other[TAKEN] - other[DONE] < count and other[STATE] == READY and not other[SINCE] for other in rows)

    def threads_of(self, loop: Loop[Service], worker: int) -> list[Callable[[], None]]:
        """Return a function for each thread of a worker whose threads all run one loop."""

        def runs(thread: int) -> Callable[[], None]:
            return lambda: loop.run(self.service(worker, thread))

        return [runs(thread) for thread in range(self.threads)]

    def fewer_elsewhere(self, worker: int) -> Callable[[], bool]:
        """Return a function that returns whether another process has an idle thread and fewer connections than this
        worker's."""
        rows = [self.scoreboard.worker(row) for row in range(self.workers * self.slots)]
        each = [rows[number * self.slots : (number + 1) * self.slots] for number in range(self.workers)]
        own = each.pop(worker)

        def fewer() -> bool:
            count = sum(row[TAKEN] - row[DONE] for row in own)
            return count > 0 and any(
                sum(row[TAKEN] - row[DONE] for row in other) < count
                and any(row[STATE] == READY and not row[SINCE] for row in other)
                for other in each
            )

        return fewer

    # made by the medium: fronts, and the parts that take tasks or connections from them

    def lending_front(self, life: Life, *, retries: bool = False) -> FrontThatLends:
        """Return a front that lends connections, ready to take them back. ``retries``: an idempotent request whose
        worker process died goes to another one, once."""
        front = self.medium.lending_front(self, life, retries=retries)
        self.settings.serve(front)
        front.join_moves(self.moves, self.shared_listeners)
        if self.health is not None:
            front.answer_checks(self.health)
        front.tell(self.scoreboard.notes)
        front.classify_by(self.settings.classes)
        front.bound_by(self.settings.overload)
        return front

    def handing_front(self, life: Life) -> FrontThatHandsOver:
        """Return a front that hands connections over."""
        front = self.medium.handing_front(self, life)
        self.settings.serve(front)
        front.join_moves(self.moves, self.shared_listeners)
        return front

    def task_executor(self, worker: int, thread: int, life: Life) -> Executor:
        """Return the executor of one worker thread."""
        self.heed_drain(life)
        return self.medium.task_executor(self, worker, thread, life)

    def arrivals(self, loop: ConnectionLoop, worker: int) -> Source[Service]:
        """Return a worker's inbox as a source of its loop."""
        return self.medium.arrivals(loop, self, worker)
