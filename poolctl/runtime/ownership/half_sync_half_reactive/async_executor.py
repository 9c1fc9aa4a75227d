"""The task executor of async apps: it takes tasks up to its concurrency, and answers them at the same time.

    inbox -- one a turn --> a task of the event loop --> the client's socket
                                  a record of each --> the front

A request has arrived whole, so a task never waits for its client, unless the client reads slowly while the app still
sends. Each task has a slot: a row of the scoreboard whose ticket says which request is in flight, so that the front can
answer each with a 502 if this worker dies. One task is taken per turn and begun at once, so a worker whose app computes
leaves the next tasks to other workers.

The file is long because the two kinds, for fronts in another process and in this one, stand below what they share.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import struct
from _thread import get_ident
from abc import ABC, abstractmethod
from asyncio import current_task, set_event_loop
from collections.abc import Hashable, Sequence
from contextvars import copy_context
from functools import partial
from os import close, write
from time import monotonic
from typing import BinaryIO, Generic
from weakref import WeakSet

from poolctl.errors import ClientGone
from poolctl.runtime.app import ExchangeApp
from poolctl.runtime.buffers.observer import Observer
from poolctl.runtime.channels.inbox import AT_ONCE, ProcessInbox, RingingInbox, ends
from poolctl.runtime.channels.parcel import (
    FLAG_FILE,
    HEAD,
    NO_TIME,
    RECORD,
    TICKET_MISSED,
    TICKET_SHIFT,
    TIME_SHIFT,
    code_of,
    introduced,
)
from poolctl.runtime.channels.returns import Returns
from poolctl.runtime.lifeline import Life, told_to_leave
from poolctl.runtime.listen.listener import Listener
from poolctl.runtime.listen.streams import LEAST_PAUSE_SECONDS
from poolctl.runtime.loop.loop import SWEEP_SECONDS
from poolctl.runtime.loop.overdue import TOO_LATE, Overdue
from poolctl.runtime.loop.source import NO_DESCRIPTOR
from poolctl.runtime.ownership.half_sync_half_reactive.executor import (
    KNOWN_CONVERSATIONS,
    MAX_WORKER_FAILURES,
    ProcessTaskExecutor,
    left_early,
)
from poolctl.runtime.ownership.half_sync_half_reactive.front_thread import ThreadLendingFront
from poolctl.runtime.ownership.half_sync_half_reactive.held_connection import HeldConnection
from poolctl.runtime.ownership.half_sync_half_reactive.lent_request import L, LentRequest, Slot
from poolctl.runtime.protocol.http.streaming import StreamingConversation
from poolctl.runtime.protocol.output import Presence
from poolctl.runtime.scoreboard import DONE, TAKEN, TICKET
from poolctl.runtime.serving.leaving import WAITED_SECONDS
from poolctl.runtime.serving.service import Service
from poolctl.runtime.serving_async.afterwork import Afterwork
from poolctl.runtime.serving_async.boundary import attend
from poolctl.runtime.serving_async.last_words import log_cancelled, log_tasks, stack_of
from poolctl.runtime.serving_async.loop import CANCEL_AGAIN_SECONDS, leave, make_event_loop, started
from poolctl.runtime.serving_async.pulse import Pulse
from poolctl.runtime.serving_async.stopping import CANCELLED, TOLD, Stopping, run_until
from poolctl.runtime.serving_async.task_start import REQUEST_TASK
from poolctl.runtime.system import forked
from poolctl.runtime.system.poller import EXCLUSIVE, IN, SelectorsPoller, make_poller
from poolctl.runtime.timeouts import Timeouts

log = logging.getLogger("poolctl")


class AsyncTaskExecutor(ABC, Generic[L]):
    """Serves tasks until its inbox ends. ``slots``: rows of the scoreboard, one for each task that may be in flight;
    ``events``: the event loop, by default a new one; ``shared``: other workers take from its inbox too."""

    finished = False  # it waits for its tasks even if the front is dead

    def __init__(
        self,
        reader: int,
        service: Service,
        slots: Sequence[memoryview],
        timeouts: Timeouts,
        life: Life,
        sessions: Observer | None,
        events: asyncio.AbstractEventLoop | None = None,
        *,
        shared: bool = False,
    ) -> None:
        self.service = service
        self.timeouts = timeouts
        assert isinstance(service.app, ExchangeApp)  # the other async apps are not lendable
        self._app = service.app
        self.events = make_event_loop() if events is None else events
        self.lifespan = self._app.life(self.events)
        self._reader = reader
        self._stop = life.stop
        self._leave = life.leave
        self._shared = shared
        entries = service.entries
        self._free = [Slot(row, None if entries is None else entries.observe(), sessions) for row in slots]
        self._held: set[LentRequest[L]] = set()  # those with a task of the event loop
        self._ended = False
        self._waits = False  # for a task in the inbox
        self._stumbles = 0  # failures to take a task, one after the other
        self._over: asyncio.Future[None] = self.events.create_future()
        self._context = copy_context()  # of all callbacks here that are not the app's
        self._slots = len(self._free)
        self._cancelled: WeakSet[asyncio.Task[None]] = WeakSet()
        self.after = Afterwork()
        self.pulse = Pulse(self.events, self._context, self._in_flight)
        self.after.row = self.pulse.row = service.row
        self.stopping = Stopping(timeouts, self._stopped)
        self._start = started(self.events, self.lifespan)
        life.when_ended(partial(log_tasks, self.events, get_ident()))
        self._own: set[int] = set()  # the descriptors of its poller
        self.took = 0.0  # seconds of the request that is given back
        forked.register(self)

    def descriptors(self) -> set[int]:
        """The descriptors of its poller, and of the connections that it has borrowed."""
        return self._own | {lent.fd for lent in self._held}

    @abstractmethod
    def take(self) -> bool:
        """Take a task and ``begin`` it. Returns False at the end of the inbox. Raises BlockingIOError if there is
        none."""

    @abstractmethod
    def give_back(self, lent: LentRequest[L], ticket: int, keep: bool, *, reuse: bool) -> None:
        """Give the connection back to the front, with the bytes that its client has not taken. ``reuse``: whether its
        conversation can serve the client's next request; it cannot if the app has not read a body to its end."""

    def run(self) -> None:
        """Serve until the inbox ends, then let the app shut down."""
        set_event_loop(self.events)
        poller = make_poller()
        if isinstance(poller, SelectorsPoller):
            watched = self._reader
            poller.close()
        else:  # the kernel shall wake only one of the workers that wait for one inbox
            poller.register(self._reader, IN | EXCLUSIVE)
            watched = poller.fileno()
            self._own = {watched}
        self._watched = watched
        if self.timeouts.request is not None:
            self._sweep(Overdue(self.timeouts.request_limit))
        if self._stop >= 0:
            self._context.run(self.events.add_reader, self._stop, self._hear_of_stop)
        if self._leave >= 0:
            self._context.run(self.events.add_reader, self._leave, self._hear_of_leave)
        try:
            self._wait()
            run_until(self.events, self._over)
            leave(self.events, self.lifespan)
        finally:
            set_event_loop(None)
            self.events.close()

    def _wait(self) -> None:
        if not self._waits:
            self._waits = True
            self._context.run(self.events.add_reader, self._watched, self._ready)

    def _ready(self) -> None:
        try:
            if not self.take():
                self._ended = True
        except BlockingIOError:
            return  # another worker was quicker
        except BaseException as error:
            forked.leave()
            log.exception("cannot take a task")
            self._stumbles += 1
            if self._stumbles > MAX_WORKER_FAILURES and not self._over.done():
                self._over.set_exception(error)  # the worker exits, and is replaced
        else:
            self._stumbles = 0
        if self._ended or not self._free:
            self._waits = False
            self.events.remove_reader(self._watched)
            self._leave_when_done()

    def _sweep(self, overdue: Overdue[asyncio.Task[None]]) -> None:
        """Cancel the requests that take longer than timeouts.request."""
        self.events.call_later(SWEEP_SECONDS, self._sweep, overdue, context=self._context)
        for lent, task in self._look(overdue, self._held):
            log_cancelled(lent.line, overdue.limit, stack_of(task))
            lent.refused = TOO_LATE
            task.cancel()

    def _end_streams(self, streams: Overdue[asyncio.Task[None]]) -> None:
        """In a drain, cancel the requests whose response goes on for longer than timeouts.stream."""
        pause = max(min(SWEEP_SECONDS, streams.limit / 20), LEAST_PAUSE_SECONDS)
        self.events.call_later(pause, self._end_streams, streams, context=self._context)
        for lent, task in self._look(streams, {lent for lent in self._held if lent.began}):
            self.service.cut(lent.line, streams.limit, failed=False)
            lent.refused = TOO_LATE
            lent.client_left()
            task.cancel()

    def _look(
        self, overdue: Overdue[asyncio.Task[None]], among: set[LentRequest[L]]
    ) -> list[tuple[LentRequest[L], asyncio.Task[None]]]:
        """Return the requests whose time is over. Those whose tasks go on all the same end without them."""
        ours: dict[Hashable, asyncio.Task[None]] = {
            lent.task: lent.task for lent in among if lent.task is not None and lent.exchange is not None
        }
        late = overdue.look(ours, self.events.time())
        for task in overdue.deaf:
            if not self.after.full:
                self._end_without(task)
        return [(self._of(task), task) for task in late]

    def _end_without(self, task: asyncio.Task[None]) -> None:
        """A task goes on although it was cancelled: answer its client without it, and free its slot."""
        lent = self._of(task)
        self.after.add(task)
        lent.refuse(TOO_LATE)
        self.events.call_soon(self._free_slot, self._end(lent, False))  # in a context that is not entered now

    def _of(self, task: asyncio.Task[None]) -> LentRequest[L]:
        """The lent request that a task answers."""
        return next(each for each in self._held if each.task is task)

    def _in_flight(self) -> bool:
        """Whether a request is in flight, or work after a response."""
        return len(self._free) < self._slots or bool(self.after.tasks)

    def _leave_when_done(self) -> None:
        if self._ended and len(self._free) == self._slots and not self.after.tasks and not self._over.done():
            self._over.set_result(None)

    # the stop

    def _hear_of_stop(self) -> None:
        self.events.remove_reader(self._stop)
        self.stopping.begin(self.events, self._context)

    def _hear_of_leave(self) -> None:
        """This worker leaves while others go on: they take what is in an inbox that is shared, and any other inbox
        ends."""
        self.events.remove_reader(self._leave)
        if not told_to_leave(self._leave):
            return  # the mold is dead; the inbox ends too
        self.stopping.begin(self.events, self._context)
        if self._shared and not self._ended:
            self._ended = True
            self._waits = False
            self.events.remove_reader(self._watched)
            self._leave_when_done()

    def _stopped(self, step: int) -> None:
        """A step of the stop has begun."""
        for lent in self._held:
            lent.notify()
        stream = self.timeouts.stream
        if step == TOLD and stream is not None:
            self._end_streams(Overdue(lambda: stream, SWEEP_SECONDS))
        if step == CANCELLED:
            self._cancel()

    def _cancel(self) -> None:
        """Cancel the tasks that are left, and those that begin later; each once, so that its clean-up can run."""
        for task in [*self.after.tasks, *(lent.task for lent in self._held if lent.task is not None)]:
            if task not in self._cancelled:
                self._cancelled.add(task)
                task.cancel()
        self.events.call_later(CANCEL_AGAIN_SECONDS, self._cancel, context=self._context)

    # tasks

    def begin(
        self,
        conversation: StreamingConversation,
        fd: int,
        ticket: int,
        flags: int,
        sent: float,
        data: bytes | BinaryIO,
        lender: L,
    ) -> None:
        """Begin to answer a task that was taken. Its request is complete."""
        row = self.service.row
        row[TAKEN] += 1
        if monotonic() - sent > WAITED_SECONDS and left_early(self.service, fd, conversation, data):
            row[DONE] += 1
            lent = LentRequest(self, fd, None, conversation, ticket, flags, b"", lender)
            self.took = 0.0
            self.give_back(lent, ticket, False, reuse=False)
            return
        if self.pulse.quiet:
            self.pulse.wake()
        slot = self._free.pop()
        slot.row[TICKET] = ticket << 1
        lent = LentRequest(self, fd, slot, conversation, ticket, flags, data, lender)
        lent.started = self.service.begin()
        try:
            self._answer(lent)
        except BaseException as error:  # noqa: BLE001  # the boundary, which logs it
            self.service.fault(error, "a request failed; closing its connection")
            if lent.slot is not None:  # else its task has given the connection back
                if not lent.began:
                    with contextlib.suppress(ClientGone, OSError):
                        lent.send(self.service.protocol.refusal_to(conversation.line, 500))
                self.give_up(lent, False)

    def _answer(self, lent: LentRequest[L]) -> None:
        conversation = lent.conversation
        try:
            request = lent.read()
            if request is None:
                status = conversation.failure or 400
                lent.send(self.service.protocol.farewell(status, conversation.peer, conversation.line))
        except (ClientGone, OSError) as error:
            log.error("cannot read a request: %s", error)
            request = None
        if request is None:
            self.give_up(lent, False)
            return
        lent.exchange = exchange = self._app.exchange(request, lent)
        task = self._start.at_once(attend(exchange, lent, self, self.service), REQUEST_TASK)
        if not task.done():
            if lent.exchange is not exchange:
                self.after.add(task)
            else:
                lent.task = task
                self._held.add(lent)

    def complete(self, lent: LentRequest[L]) -> None:
        """A response is complete: give the connection back at once, and free its slot."""
        if self.after.full:
            return
        if lent.task is not None:
            self.after.add(lent.task)
        assert lent.exchange is not None  # it says so
        self.give_up(lent, lent.exchange.keep)

    def give_up(self, lent: LentRequest[L], keep: bool) -> None:
        """A request is done: give its connection back, whatever fails on the way, and free its slot."""
        self._free_slot(self._end(lent, keep))

    def _free_slot(self, slot: Slot) -> None:
        self._free.append(slot)
        if self._ended:
            self._leave_when_done()
        else:
            self._wait()

    def _end(self, lent: LentRequest[L], keep: bool) -> Slot:
        """End a request and give its connection back. Returns its slot, with the ticket cleared."""
        service, exchange, slot = self.service, lent.exchange, lent.slot
        assert slot is not None  # it had one when its app was called
        lent.exchange = lent.slot = None
        reuse = False
        try:
            service.end(lent.started)
            if lent.task is not None:
                self._held.discard(lent)
                lent.notify()
            if exchange is not None and service.entries is not None:
                service.note(lent.request, slot.sent if lent.began else None, lent.started)
            reuse = lent.done()
        except Exception:
            forked.leave()
            log.exception("cannot end a request; closing its connection")
            keep = False
        # first: a front that is woken by the returned connection may look for an idle worker
        service.row[DONE] += 1
        keep = keep and lent.presence is not Presence.GONE and not lent.last
        self.took = monotonic() - lent.started / 1e9 if lent.started else 0.0
        self.give_back(lent, lent.ticket, keep, reuse=reuse)
        slot.row[TICKET] = 0
        return slot

    def rested(self) -> None:
        """Called in a task that ends after its response was complete."""
        task = current_task(self.events)
        if task is not None:
            self.after.discard(task)
        if self._ended:
            self._leave_when_done()


class AsyncProcessExecutor(AsyncTaskExecutor[bytes]):
    """For clients of a front in another process."""

    def __init__(
        self,
        inbox: ProcessInbox,
        service: Service,
        slots: Sequence[memoryview],
        timeouts: Timeouts,
        life: Life,
        listeners: list[Listener],
        returns: Returns,
        sessions: Observer | None,
        events: asyncio.AbstractEventLoop | None = None,
        *,
        shared: bool = False,
    ) -> None:
        super().__init__(inbox.reader.fileno(), service, slots, timeouts, life, sessions, events, shared=shared)
        self._take = inbox.take
        self._returns = returns.writer
        self._servers = [(listener.server_host, listener.server_port) for listener in listeners]
        self._doors = [listener.door for listener in listeners]
        self._way_back = ProcessTaskExecutor(inbox, service, listeners, returns).give_back
        # Conversations that no request uses now: clients of a unix socket introduce themselves alike.
        self._known: dict[bytes, StreamingConversation] = {}

    def take(self) -> bool:
        message, fds = self._take(AT_ONCE)
        try:
            ticket, flags, length, sent = HEAD.unpack_from(message)
        except struct.error:  # it is no task
            return not ends(message)
        start = HEAD.size + length
        intro = message[HEAD.size : start]
        data: bytes | BinaryIO
        if len(fds) != (2 if flags & FLAG_FILE else 1):
            self._lose(ticket, fds)
            return True
        fd = fds[0]
        data = os.fdopen(fds[1], "rb") if flags & FLAG_FILE else message[start:]
        conversation = self._known.pop(intro, None) or self._meet(intro)
        self.begin(conversation, fd, ticket, flags, sent, data, intro)
        return True

    def _lose(self, ticket: int, found: Sequence[int]) -> None:
        """A connection did not arrive, because the kernel closes a descriptor that this process has no number for
        (unix(7), SCM_RIGHTS): report it to the front, which answers the client."""
        for fd in found:
            close(fd)
        log.error("cannot serve a request: out of file descriptors; %s", NO_DESCRIPTOR)
        self.service.row[TAKEN] += 1
        self.service.row[DONE] += 1
        write(self._returns, RECORD.pack(ticket << 2 | TICKET_MISSED))

    def _meet(self, intro: bytes) -> StreamingConversation:
        peer, number = introduced(intro, self._servers)
        conversation = self._doors[number].streaming(peer)
        assert isinstance(conversation, StreamingConversation)  # apps that exchange speak http
        conversation.upgrades = False
        return conversation

    def give_back(self, lent: LentRequest[bytes], ticket: int, keep: bool, *, reuse: bool) -> None:
        if keep and reuse:
            if len(self._known) >= KNOWN_CONVERSATIONS:
                self._known.clear()
            self._known[lent.lender] = lent.conversation
        if lent.timed:
            ticket |= (code_of(self.took) if self.took else NO_TIME) << TIME_SHIFT - TICKET_SHIFT
        self._way_back(ticket, keep, lent)


class AsyncThreadExecutor(AsyncTaskExecutor[HeldConnection]):
    """For clients of a front in the same process."""

    def __init__(
        self,
        inbox: RingingInbox,
        service: Service,
        slots: Sequence[memoryview],
        timeouts: Timeouts,
        life: Life,
        front: ThreadLendingFront,
        sessions: Observer | None,
        events: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(inbox.reader.fileno(), service, slots, timeouts, life, sessions, events)
        self._take = inbox.take_now
        self._front = front

    def take(self) -> bool:
        item = self._take()
        if item is None:
            return False
        client, ticket, flags, sent, data = item
        if client.conversation is None:
            client.conversation = client.door.streaming(client.peer)
            client.conversation.upgrades = False
        self.begin(client.conversation, client.fd, ticket, flags, sent, data, client)
        return True

    def give_back(self, lent: LentRequest[HeldConnection], ticket: int, keep: bool, *, reuse: bool) -> None:
        if not reuse:
            lent.lender.conversation = None
        self._front.give_back(lent.lender, ticket, keep, lent.outbound, self.took if lent.timed else None)
