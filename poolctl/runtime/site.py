"""The site: what the parts of one generation build on. Made in the mold, before anything is forked."""

from __future__ import annotations

import faulthandler
import signal
import socket
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from contextvars import Context, copy_context
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from poolctl.runtime.affinity import Affinity
from poolctl.runtime.affinity.connection import Connection
from poolctl.runtime.affinity.request import Request
from poolctl.runtime.app import App, AsyncApp, Surroundings
from poolctl.runtime.channels.inbox import Inbox, bells
from poolctl.runtime.channels.notices import Notices
from poolctl.runtime.channels.returns import Returns
from poolctl.runtime.dispatch import Dispatch, built_in
from poolctl.runtime.dispatch.guarded import Guarded
from poolctl.runtime.lifeline import Life
from poolctl.runtime.listen.listener import Listener
from poolctl.runtime.loop.loop import Loop
from poolctl.runtime.loop.source import Source
from poolctl.runtime.protocol import Protocol as Spoken
from poolctl.runtime.routing.router import Router
from poolctl.runtime.scoreboard import DONE, READY, SINCE, STATE, TAKEN, TICKET, Scoreboard
from poolctl.runtime.serving.connection_loop import ConnectionLoop
from poolctl.runtime.serving.kinds import connection_of
from poolctl.runtime.serving.service import Service
from poolctl.runtime.system import forked, threads
from poolctl.runtime.timeouts import Timeouts

if TYPE_CHECKING:
    from poolctl.runtime.access_log.log import AccessLog


class Front(Protocol):
    """A loop that runs in front of the workers."""

    def run(self, service: None) -> None:
        """Until the lifeline ends. A front has no service."""


class FrontThatLends(Front, Protocol):
    """It has every connection, and lends them."""

    def welcome(self, listener: Listener) -> None:
        """Take the connections of a listener."""


class FrontThatHandsOver(Front, Protocol):
    """It gives each connection away for good, or the turn to accept one."""

    def hand_over(self, listener: Listener, number: int) -> None:
        """Accept the connections of the listener of this number, and give each to a worker."""

    def give_turns(self, listener: Listener, number: int, returns: int) -> None:
        """Have workers accept them. ``returns``: descriptor of the pipe in which they tell that they took a turn."""


class Executor(Protocol):
    """What one thread of a worker runs to answer the tasks of its inbox."""

    def run(self) -> None:
        """Until the inbox ends."""


class Medium(ABC):
    """What lies between front and workers: the borders of processes, or the memory that threads share. It knows which
    kind of inbox, front, executor and arrival go together; the pool has it."""

    @abstractmethod
    def inbox(self, index: int, row: memoryview, workers: Sequence[memoryview], *, rings: bool, threads: bool) -> Inbox:
        """An inbox; ``rings`` when its workers wait for it with a poller, ``threads`` when they are those of one
        worker."""

    @abstractmethod
    def lending_front(self, site: Site, life: Life) -> FrontThatLends:
        """A front that lends connections, ready to take them back."""

    @abstractmethod
    def handing_front(self, site: Site, life: Life) -> FrontThatHandsOver:
        """A front that hands connections over."""

    @abstractmethod
    def task_executor(self, site: Site, worker: int, thread: int, life: Life) -> Executor:
        """The executor of one worker thread, which calls its ``run``. An app that is awaited has started."""

    @abstractmethod
    def arrivals(self, loop: ConnectionLoop, site: Site, worker: int) -> Source[Service]:
        """A worker's inbox as a source of its loop."""


@dataclass
class Site:
    """One generation's common ground.

    ``listeners`` has a list for each address: one listener, or under reuse-port one for each worker. A pool of
    ``workers`` with ``threads`` each has ``workers * slots`` rows in the scoreboard: one for each thread, or for each
    task that a worker may have in hand.
    """

    name: str
    app: App
    protocol: Spoken
    dispatch: Dispatch
    affinity: Affinity
    timeouts: Timeouts
    connections: int
    waiting: int
    listeners: list[list[Listener]]
    workers: int
    threads: int
    slots: int
    multithread: bool
    multiprocess: bool
    scoreboard: Scoreboard
    medium: Medium
    inboxes: list[Inbox] = field(default_factory=list)
    returns: Returns = field(default_factory=Returns)
    notices: Notices = field(default_factory=Notices)
    access: AccessLog | None = None
    private: tuple[str, ...] = ()  # files that no app publishes
    is_topology: Callable[[bytes], bool] | None = None  # nor any whose text this says it of
    loaded: bool = False
    most: int = 1 << 62  # connections for which one process has descriptors
    context: Context | None = None  # the context variables as the app's import left them

    @property
    def shared_listeners(self) -> list[Listener]:
        """The listener of each address."""
        return [group[0] for group in self.listeners]

    def load(self) -> None:
        """Import the app, once in a process (or in the mold for all, when the topology says preload)."""
        if not self.loaded:
            self.app.load(Surroundings(self.multithread, self.multiprocess, self.private, self.is_topology))
            threads.settle()
            self.loaded = True
            self.context = copy_context()

    def service(self, worker: int, thread: int = 0) -> Service:
        """The service of one worker thread, with its row."""
        name = str(worker) if self.threads == 1 else f"{worker}/{thread}"
        row = self.scoreboard.enter(worker * self.slots + thread)
        forked.register_row(row)
        return self.serving(row, name)

    def fewer_elsewhere(self, worker: int) -> Callable[[], bool]:
        """A function that says whether another process has fewer connections than this worker's, and a thread with
        nothing to do."""
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

    def slots_of(self, worker: int) -> list[memoryview]:
        """The rows of one worker, none of which has anything in hand."""
        rows = [self.scoreboard.worker(worker * self.slots + slot) for slot in range(self.slots)]
        for row in rows:
            row[TICKET] = 0
        return rows

    def serving(self, row: memoryview, name: str) -> Service:
        """A service that notes what it does in a row; ``name``: the worker's in the access log."""
        if self.access is None:
            return Service(self.app, self.protocol, row, self.context)
        from poolctl.runtime.access_log.entries import Entries  # nothing of it is imported where it is off

        return Service(self.app, self.protocol, row, self.context, Entries(self.access, name))

    def inbox(self, worker: int) -> Inbox:
        """Where this worker takes its tasks from."""
        return self.inboxes[0 if len(self.inboxes) == 1 else worker]

    def router(self, affinity: Affinity | None = None) -> Router:
        """The router of a front."""
        dispatch = self.dispatch
        if not built_in(dispatch):
            dispatch = Guarded(dispatch, self.scoreboard.enter_front())
            if hasattr(faulthandler, "register"):  # the mold asks a front that hangs where it is
                faulthandler.register(signal.SIGUSR2, all_threads=True)
        return Router(dispatch, affinity or self.affinity, self.inboxes, self.waiting, self.scoreboard.front())

    @property
    def queues(self) -> bool:
        """Whether the queue of a dispatch that pulls is in the front, which then may read inboxes too."""
        return self.dispatch.pull and len(self.inboxes) > 1

    @property
    def once(self) -> Affinity:
        """The affinity of a front that dispatches whole connections: one that is dispatched once needs no memory."""
        return Request() if isinstance(self.affinity, Connection) else self.affinity

    def share(self, of: int) -> int:
        """An equal part of the limit on connections, rounded up. Threads share the descriptors of their process."""
        most = self.most if self.multiprocess else max(self.most // max(of, 1), 1)
        return min(-(-self.connections // max(of, 1)), most)

    @property
    def at_once(self) -> int:
        """Connections that a process which has all of them may have."""
        return min(self.connections, self.most)

    def connection_loop(self, life: Life, *, shared: bool, counted: bool = False) -> ConnectionLoop:
        """A loop for one worker's connections. ``counted``: a front has held them to the limit already, so that a
        worker that has more than its share of them need not turn one away."""
        limit = self.at_once if counted else self.share(self.workers)
        if isinstance(self.app, AsyncApp):
            from poolctl.runtime.serving_async import kinds  # asyncio is slow to import
            from poolctl.runtime.serving_async.loop import AsyncConnectionLoop

            kind = kinds.connection_of(self.app)
            loop: ConnectionLoop = AsyncConnectionLoop(life, self.timeouts, limit, self.app, kind)
        else:
            new = connection_of(self.app, shared=shared)
            loop = ConnectionLoop(life.lifeline, self.timeouts, limit, new, shared=shared)
        if not self.multiprocess:  # the others have their share of the descriptors
            loop.farewells.share(self.workers)
        return loop

    def threads_of(self, loop: Loop[Service], worker: int) -> list[Callable[[], None]]:
        """The same loop for each thread of a worker."""
        return [
            lambda thread=thread: loop.run(self.service(worker, thread))  # type: ignore[misc]
            for thread in range(self.threads)
        ]

    def sockets(self) -> set[int]:
        """The descriptors of everything here."""
        front, work = self.returns.ends()
        found = front | work | {self.notices.writer.fileno(), self.notices.reader.fileno()}
        for group in self.listeners:
            found |= {listener.fd for listener in group}
        for inbox in self.inboxes:
            found |= inbox_ends(inbox)
        return found


def inbox_ends(inbox: Inbox) -> set[int]:
    """The descriptors of an inbox; none where it lies in memory."""
    ends: list[socket.socket] = [end for name in ("reader", "writer") if (end := getattr(inbox, name, None))]
    return {end.fileno() for end in ends} | bells(inbox)
