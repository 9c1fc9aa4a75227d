"""The connection loop for asynchronous apps: the same sources and connections, inside an event loop of asyncio.

    asyncio (or uvloop) -- readable: the poller --> one turn of the connection loop --> reads, parses, starts a task
                        -- the task goes on -------> the app awaits, sends

Listeners, inboxes, timeouts and the drain are those of every connection loop; its poller is one descriptor that the
event loop watches. So each ownership is written once. What is different is the connection: its requests are answered by
tasks, so a worker has many in hand, and an app that awaits makes nobody wait.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib.util
import logging
import threading
from collections.abc import Sequence
from time import monotonic
from typing import TYPE_CHECKING, Any

from poolctl.runtime.connection import Connection, Timeouts
from poolctl.runtime.connection_loop import ConnectionLoop
from poolctl.runtime.door import Door
from poolctl.runtime.loop import SWEEP
from poolctl.runtime.overdue import Overdue
from poolctl.runtime.poller import SelectorsPoller
from poolctl.runtime.service import Service
from poolctl.runtime.task import Peer

if TYPE_CHECKING:
    from poolctl.runtime.app import AsyncApp

log = logging.getLogger("poolctl")


def new_event_loop() -> asyncio.AbstractEventLoop:
    """uvloop's where it is installed, asyncio's otherwise."""
    if importlib.util.find_spec("uvloop") is not None:
        import uvloop

        loop: asyncio.AbstractEventLoop = uvloop.new_event_loop()
        return loop
    return asyncio.new_event_loop()


class AsyncConnectionLoop(ConnectionLoop):
    """Serves the connections it owns; run by one thread. The app has started when this is made."""

    def __init__(self, lifeline: int, timeouts: Timeouts, limit: int, app: AsyncApp, *, logged: bool = False) -> None:
        super().__init__(lifeline, timeouts, limit)
        self.events = new_event_loop()
        self._app = app
        self._kind = app.connections(logged=logged)
        self._timer: asyncio.Handle | None = None
        self._late = None if timeouts.request is None else Overdue(timeouts.request)
        self._service: Service
        self._drain_over: asyncio.Future[None] = self.events.create_future()
        self.lifespan = app.life(self.events)
        self.events.run_until_complete(self.lifespan.startup())

    def connection(self, fd: int, peer: Peer, service: Service, door: Door) -> Connection:
        """A new connection of this loop."""
        made: Connection = self._kind(self, fd, door.streaming(peer), service)
        return made

    def run(self, service: Any = None) -> None:
        """Serve until drained, then let the app shut down."""
        asyncio.set_event_loop(self.events)
        self._service = service
        self.events.call_soon(self._ready)
        try:
            if isinstance(self.poller, SelectorsPoller):
                threading.Thread(target=self._wait, args=(self.poller,), name="poller", daemon=True).start()
                self.events.run_until_complete(self._drain_over)
            else:
                watched: Any = self.poller  # an epoll, which is a descriptor itself
                self.events.add_reader(watched.fileno(), self._ready)
                self.events.run_until_complete(self._drain_over)
                self.events.remove_reader(watched.fileno())
            self.events.run_until_complete(leave(self.lifespan))
        finally:
            asyncio.set_event_loop(None)
            self.events.close()

    def later(self) -> None:
        """A connection has closed outside of a turn: the drain may be over."""
        if self.ending:
            self.events.call_soon(self._ready)

    def _wait(self, poller: SelectorsPoller) -> None:
        """In a thread of its own: the fallback has no descriptor that the event loop could watch."""
        while not self.finished:
            events = poller.poll(None, 256)
            turned = threading.Event()
            self.events.call_soon_threadsafe(self._told, events, turned)
            turned.wait()

    def _told(self, events: list[tuple[int, int]], turned: threading.Event) -> None:
        self._turn(events)
        turned.set()

    def _ready(self) -> None:
        """Hand out what has come."""
        self._turn(() if self._explicit else self.poller.poll(0, 256))

    def _turn(self, events: Sequence[tuple[int, int]]) -> None:
        """One turn, and the next one when it is time."""
        if self._drain_over.done():
            return
        try:
            self._serve(events)
        except BaseException as error:  # noqa: BLE001  # an event loop would log it and go on, with a loop that is broken
            self._drain_over.set_exception(error)
            return
        if self.finished:
            self._drain_over.set_result(None)
            return
        patience = self._patience()
        if patience == 0:
            self.events.call_soon(self._ready)
        elif patience is not None and self._timer is None:
            self._timer = self.events.call_later(patience, self._tick)

    def _serve(self, events: Sequence[tuple[int, int]]) -> None:
        handlers, service = self.handlers, self._service
        self.before = self.now
        self.now = now = monotonic()
        for fd, event in events:
            handler = handlers.get(fd)
            if handler is not None:
                handler.on_event(event, service)
        if now >= self._next_sweep:
            self._next_sweep = now + SWEEP
            self._sweep(now, service)
        if self.ending:
            self._drained(not events, service)

    def _sweep(self, now: float, service: Any) -> None:
        super()._sweep(now, service)
        if self._late is not None:
            self._end_overdue(now, self._late)

    def _end_overdue(self, now: float, late: Overdue) -> None:
        """Cancel what takes too long."""
        connections = [each for each in self.handlers.values() if isinstance(each, Connection)]
        in_hand = {key: (task, each) for each in connections for key, task in each.in_hand.items()}
        holders = dict(in_hand.values())
        for task in late.look({key: task for key, (task, _) in in_hand.items()}, now):
            what = holders[task].overdue(task)
            log.error("%s takes longer than timeouts.request (%g s): cancelled", what, late.limit)

    def _tick(self) -> None:
        self._timer = None
        self._ready()


async def leave(lifespan: Any) -> None:
    """The app's shutdown, then the end of what it left running in this event loop."""
    await lifespan.shutdown()
    left = asyncio.all_tasks() - {asyncio.current_task()}
    for task in left:
        task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await asyncio.gather(*left, return_exceptions=True)
    events = asyncio.get_running_loop()
    await events.shutdown_asyncgens()
    await events.shutdown_default_executor()
