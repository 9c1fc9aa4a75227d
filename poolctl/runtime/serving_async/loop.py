"""The connection loop of async apps: the same sources and connections, inside an asyncio event loop.

    asyncio (or uvloop) -- readable: the poller --> one turn of the connection loop --> reads, parses, starts a task
                        -- the task goes on -------> the app awaits, sends

Listeners, inboxes, timeouts and the drain are those of every connection loop; its poller is one descriptor that the
event loop watches. So each ownership is written once. Only the connections differ: tasks answer their requests, so a
worker has many in flight, and while an app awaits one the others go on. The file is long because the methods that a
connection loop has in common with an event loop share its state.
"""

from __future__ import annotations

import asyncio
import importlib.util
import logging
import threading
from _thread import get_ident
from asyncio import all_tasks, current_task, new_event_loop, set_event_loop, wait
from collections.abc import Callable, Sequence
from contextvars import copy_context
from functools import partial
from time import monotonic
from typing import TYPE_CHECKING
from weakref import WeakSet

from poolctl.runtime.lifeline import Life
from poolctl.runtime.loop.overdue import Overdue
from poolctl.runtime.loop.source import Handler, Source
from poolctl.runtime.serving.connection_loop import ConnectionLoop, NewConnection
from poolctl.runtime.serving.service import Service
from poolctl.runtime.serving_async.afterwork import Afterwork
from poolctl.runtime.serving_async.last_words import log_cancelled, log_tasks, stack_of
from poolctl.runtime.serving_async.pulse import Pulse
from poolctl.runtime.serving_async.stopping import CANCELLED, Stopping, run_until
from poolctl.runtime.serving_async.task_connection import TaskConnection
from poolctl.runtime.serving_async.task_start import TaskStart
from poolctl.runtime.system import threads
from poolctl.runtime.system.poller import Poller, SelectorsPoller, own_descriptors
from poolctl.runtime.timeouts import Timeouts

if TYPE_CHECKING:
    from poolctl.runtime.app import AsyncApp
    from poolctl.runtime.app.awaited import AppLife

log = logging.getLogger("poolctl")
CANCEL_AGAIN_SECONDS = 0.1  # seconds between two checks for tasks that began after the cancellation


def _maker() -> Callable[[], asyncio.AbstractEventLoop]:
    """Return the function that makes event loops: that of uvloop if it is installed, otherwise of asyncio. Called when
    this module is imported, before the app is, and while the process may still read all packages."""
    if importlib.util.find_spec("uvloop") is not None:
        try:
            import uvloop  # optional
        except Exception as error:  # noqa: BLE001  # a broken package may raise anything
            log.warning("uvloop is installed but cannot be imported; using Python's own event loop: %r", error)
        else:
            make: Callable[[], asyncio.AbstractEventLoop] = uvloop.new_event_loop
            return make
    return new_event_loop


make_event_loop = _maker()


class Stop(Source[Service]):
    """The beginning of the stop, for a worker whose own lifeline ends only when its front has exited."""

    def __init__(self, loop: AsyncConnectionLoop, fd: int) -> None:
        self.loop = loop
        self.fd = fd

    def on_event(self, events: int, service: Service) -> None:
        self.loop.remove(self)
        self.loop.stop()

    def drain(self, service: Service) -> None:
        """Leave the loop: it drains, of which `stop` is a part."""
        self.loop.remove(self)


class AsyncConnectionLoop(ConnectionLoop):
    """Serves the connections it owns; run by one thread. The app has started when the constructor returns.

    ``start``     begins a task, in a context of its own
    ``after``     the tasks that go on after their response: a drain waits for them too
    ``pulse``     says how late this loop is
    ``stopping``  the current step between the stop and the end

    ``clock``: seconds, monotonic. ``events``: the event loop, by default a new one.
    """

    def __init__(
        self,
        life: Life,
        timeouts: Timeouts,
        limit: int,
        app: AsyncApp,
        new: NewConnection[AsyncConnectionLoop],
        *,
        loops: int = 1,
        clock: Callable[[], float] = monotonic,
        poller: Poller | None = None,
        events: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(life.lifeline, timeouts, limit, new, loops=loops, clock=clock, poller=poller)
        self.events = make_event_loop() if events is None else events
        self._app = app
        self._timer: asyncio.Handle | None = None
        self._late: Overdue[asyncio.Task[None]] | None = None
        if timeouts.request is not None:
            self._late = Overdue(timeouts.request_limit)
        self._service: Service
        self._drain_over: asyncio.Future[None] = self.events.create_future()
        self._context = copy_context()  # of all callbacks here that are not the app's
        self._cancelled: WeakSet[asyncio.Task[None]] = WeakSet()
        self.after = Afterwork()
        self.pulse = Pulse(self.events, self._context, self._in_flight)
        self._known: asyncio.Task[None] | None = None  # one of the tasks in flight
        self.stopping = Stopping(timeouts, self._stopped)
        if life.stop not in (-1, life.lifeline):
            self.sources.add(life.stop)
            self.add(Stop(self, life.stop))
        self.lifespan = app.life(self.events)
        self.start = started(self.events, self.lifespan)
        life.when_ended(partial(log_tasks, self.events, get_ident()))

    def run(self, service: Service) -> None:
        """Serve until drained, then let the app shut down."""
        set_event_loop(self.events)
        self._service = service
        self.after.row = self.pulse.row = service.row
        self.events.call_soon(self._ready, context=self._context)
        try:
            if isinstance(self.poller, SelectorsPoller):
                poller = self.poller
                threads.start(lambda: self._wait(poller), "poller")
                run_until(self.events, self._drain_over)
            else:
                (watched,) = own_descriptors(self.poller)  # an epoll, which is a descriptor itself
                self._context.run(self.events.add_reader, watched, self._ready)
                run_until(self.events, self._drain_over)
                self.events.remove_reader(watched)
            leave(self.events, self.lifespan)
        finally:
            set_event_loop(None)
            self.events.close()

    # what connections ask for

    def soon(self, handler: Handler[Service], call: Callable[[], None]) -> None:
        """Call a method of a connection in the next round of the event loop."""
        self.events.call_soon(self._guarded, handler, call, context=self._context)

    def _guarded(self, handler: Handler[Service], call: Callable[[], None]) -> None:
        try:
            call()
        except BaseException as error:  # noqa: BLE001  # the boundary, which logs it
            self.fail(handler, self._service, error)

    def fail(self, handler: Handler[Service], service: Service, error: BaseException) -> None:
        if isinstance(handler, TaskConnection):
            for task in handler.tasks:
                task.cancel()
        super().fail(handler, service, error)
        self.later()

    def later(self) -> None:
        """A connection has closed outside of a turn: check whether the drain is over."""
        if self.ending:
            self.events.call_soon(self._ready, context=self._context)

    def rested(self) -> None:
        """Called in a task that ends after its response was complete."""
        task = current_task(self.events)
        if task is not None and self.after.discard(task):
            self.later()

    # turns

    def _wait(self, poller: SelectorsPoller) -> None:
        """Poll in a separate thread: the fallback poller has no descriptor that the event loop could watch."""
        while not self.finished:
            events = poller.poll(None, 256)
            turned = threading.Event()
            self.events.call_soon_threadsafe(self._polled, events, turned, context=self._context)
            turned.wait()

    def _polled(self, events: list[tuple[int, int]], turned: threading.Event) -> None:
        try:
            self._turn(events)
        finally:
            turned.set()

    def _ready(self) -> None:
        """Take a turn with the events that are ready."""
        self._turn(() if self._explicit else self.poller.poll(0, 256))

    def _turn(self, events: Sequence[tuple[int, int]]) -> None:
        """Take one turn, and schedule the next."""
        if self._drain_over.done():
            return
        try:
            self._serve(events)
        except BaseException as error:  # noqa: BLE001  # an app's signal handler, for instance, may raise anywhere
            try:
                self.stumble(error)
            except BaseException as last:  # noqa: BLE001  # asyncio would log it and go on, with this loop broken
                self._drain_over.set_exception(last)
                return
        if self.finished:
            self._drain_over.set_result(None)
            return
        patience = self._patience()
        if patience == 0:
            self.events.call_soon(self._ready, context=self._context)
        elif patience is not None and self._timer is None:
            self._timer = self.events.call_later(patience, self._tick, context=self._context)

    def _serve(self, events: Sequence[tuple[int, int]]) -> None:
        handlers, service = self.handlers, self._service
        if self.after.fresh is not None:
            self.after.settle()
        if events and self.pulse.quiet:
            self.pulse.wake()
        self.before = self.now
        self.now = now = self._clock()
        for fd, event in events:
            handler = handlers.get(fd)
            if handler is not None:
                try:
                    handler.on_event(event, service)
                except BaseException as error:  # noqa: BLE001  # the boundary, which logs it
                    self.fail(handler, service, error)
        if now >= self._next_look:
            self._look_after(now, service)
        if self.ending:
            self._drained(not events, service)
        self._stumbles = 0

    def _sweep(self, now: float, service: Service) -> None:
        super()._sweep(now, service)
        if self._late is not None:
            self._end_overdue(now, self._late)

    def _connections(self) -> list[TaskConnection]:
        return [each for each in self.handlers.values() if isinstance(each, TaskConnection)]

    def _in_flight(self) -> bool:
        """Whether a request is in flight, or work after a response."""
        if self._known is None or self._known.done():
            tasks = (task for each in self._connections() for task in each.in_flight.values())
            self._known = next(tasks, None)
        return self._known is not None or bool(self.after.tasks)

    def _end_overdue(self, now: float, late: Overdue[asyncio.Task[None]]) -> None:
        """Cancel the requests that take longer than timeouts.request."""
        in_flight = {key: (task, each) for each in self._connections() for key, task in each.in_flight.items()}
        holders = dict(in_flight.values())
        for task in late.look({key: task for key, (task, _) in in_flight.items()}, now):
            stack = stack_of(task)
            try:
                what = holders[task].cancel_overdue(task)
            except Exception as error:  # noqa: BLE001  # the boundary, which logs it
                self.fail(holders[task], self._service, error)
            else:
                log_cancelled(what, late.limit, stack)
        for task in late.deaf:
            if not self.after.full:
                self._guarded(holders[task], partial(holders[task].detach, task))

    def _tick(self) -> None:
        self._timer = None
        self._ready()

    # the end

    def drain(self, service: Service) -> None:
        super().drain(service)
        self.stop()

    def stop(self) -> None:
        """The server stops; the drain begins now, or when the front has left."""
        self.stopping.begin(self.events, self._context)
        self.limit_streams(self._service)

    def _stopped(self, step: int) -> None:
        """A step of the stop has begun."""
        for connection in self._connections():
            self._guarded(connection, connection.notify)
        if step == CANCELLED:
            self._cancel()

    def _cancel(self) -> None:
        """Cancel the tasks that are left, each once so that its clean-up can run; close connections without a task."""
        self.after.settle()
        connections = self._connections()
        for task in [*self.after.tasks, *(task for each in connections for task in each.tasks)]:
            if task not in self._cancelled:
                self._cancelled.add(task)
                task.cancel()
        for connection in connections:
            self._guarded(connection, partial(connection.cut, self._service))
        if not self._drain_over.done():
            self.events.call_later(CANCEL_AGAIN_SECONDS, self._cancel, context=self._context)

    def _finish(self) -> None:
        self.after.settle()
        if not self.after.tasks:
            super()._finish()


def started(events: asyncio.AbstractEventLoop, lifespan: AppLife) -> TaskStart:
    """Start the app in an event loop. Returns the function that begins tasks in the context of that start. Raises what
    the app raises, or AppError."""
    run_until(events, asyncio.Task(lifespan.startup(), loop=events))
    return TaskStart(events, lifespan.context.copy())


def leave(events: asyncio.AbstractEventLoop, lifespan: AppLife) -> None:
    """Run the app's shutdown, then cancel the tasks that it left running in this event loop."""
    run_until(events, asyncio.Task(lifespan.shutdown(), loop=events))
    run_until(events, asyncio.Task(_end_all(), loop=events))


async def _end_all() -> None:
    left = all_tasks() - {current_task()}
    for task in left:
        task.cancel()
    if left:
        await wait(left)
    for task in left:
        if not task.cancelled() and task.exception() is not None:
            log.error("a task that the app left running raised when it was cancelled", exc_info=task.exception())
    events = asyncio.get_running_loop()
    await events.shutdown_asyncgens()
    await events.shutdown_default_executor()
