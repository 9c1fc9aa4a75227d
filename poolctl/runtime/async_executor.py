"""The task executor of apps that are awaited: I take tasks up to my concurrency, and answer them at the same time.

    inbox -- one a turn --> a task of the event loop --> the client's socket
                                  a record of each --> the front

A request has come whole, and so a task never waits for its client, but for one that reads slowly while the app still
sends. Each task has a slot: a row of the scoreboard whose ticket says what is in hand, so that all of them can be
answered with a 502 when this worker dies. One task is taken a turn, and begun at once: so a worker whose app computes
leaves what comes next to others.
"""

from __future__ import annotations

import asyncio
import logging
import os
import sys
from abc import ABC, abstractmethod
from collections.abc import Callable, Coroutine, Sequence
from time import monotonic, monotonic_ns
from typing import TYPE_CHECKING, Any, BinaryIO, cast

from poolctl.errors import ClientGone, comes_of_leaving
from poolctl.runtime.access.service import LoggedService
from poolctl.runtime.async_loop import leave, new_event_loop
from poolctl.runtime.channel import descriptors
from poolctl.runtime.client import Client
from poolctl.runtime.connection import Timeouts
from poolctl.runtime.inbox import FD, NOW, ProcessInbox, RingingInbox
from poolctl.runtime.leaving import WAITED
from poolctl.runtime.lending_thread import ThreadLendingFront
from poolctl.runtime.lent import Lent, LoggedLent
from poolctl.runtime.listener import Listener
from poolctl.runtime.loop import SWEEP
from poolctl.runtime.overdue import TOO_LATE, Overdue
from poolctl.runtime.parcel import FILE, HEAD, LAST, introduced
from poolctl.runtime.poller import EXCLUSIVE, IN, SelectorsPoller, make_poller
from poolctl.runtime.protocol.http_streaming import StreamingConversation
from poolctl.runtime.returns import Returns
from poolctl.runtime.scoreboard import DONE, FAILED, REQUESTS, SECONDS, SINCE, TAKEN, TICKET
from poolctl.runtime.service import Service
from poolctl.runtime.task_executor import KNOWN, ProcessTaskExecutor, left_early

if TYPE_CHECKING:
    from poolctl.runtime.app import ExchangeApp

log = logging.getLogger("poolctl")
Choose = Callable[[type[Lent]], type[Lent]]  # of what requests are answered by, one like it that does more
EAGER = sys.version_info >= (3, 12)  # does a task know how to begin at once?


class AsyncTaskExecutor(ABC):
    """Serves tasks until its inbox ends. ``slots``: rows of the scoreboard, as many as tasks may be in hand."""

    def __init__(
        self, reader: int, service: Service, slots: Sequence[memoryview], timeouts: Timeouts, sends_by: Choose
    ) -> None:
        self.service = service
        self.timeouts = timeouts
        self._app = cast("ExchangeApp", service.app)
        self.events = new_event_loop()
        self.lifespan: Any = self._app.life(self.events)
        self._kind: type[Lent] = sends_by(LoggedLent if isinstance(service, LoggedService) else Lent)
        self._reader = reader
        self._free = list(slots)
        self._in_hand = 0
        self._ended = False
        self._waits = False  # for a task
        self._over: asyncio.Future[None] = self.events.create_future()
        self._caught: tuple[Any, Any]
        self._late: set[asyncio.Task[None]] = set()  # cancelled, for their time is over
        self.events.run_until_complete(self.lifespan.startup())

    @abstractmethod
    def take(self) -> bool:
        """Take a task, if there is one, and ``begin`` it; False at the end of the inbox. Raises BlockingIOError."""

    @abstractmethod
    def forget(self, lent: Lent) -> None:
        """The conversation stands in the middle of a body that nobody read: the next request needs another."""

    @abstractmethod
    def give_back(self, lent: Lent, ticket: int, keep: bool) -> None:
        """The connection goes back to the front, with what its client has not taken."""

    def run(self) -> None:
        """Serve until the inbox ends, then let the app shut down."""
        asyncio.set_event_loop(self.events)
        poller = make_poller()
        if isinstance(poller, SelectorsPoller):
            watched = self._reader
            poller.close()
        else:  # of several workers that wait for one inbox the kernel is to wake one
            poller.register(self._reader, IN | EXCLUSIVE)
            watched = poller.fileno()  # type: ignore[attr-defined]  # an epoll, which is a descriptor itself
        self._watched = watched
        if self.timeouts.request is not None:
            self._sweep(Overdue(self.timeouts.request))
        try:
            self._wait()
            self.events.run_until_complete(self._over)
            self.events.run_until_complete(leave(self.lifespan))
        finally:
            asyncio.set_event_loop(None)
            self.events.close()

    def _wait(self) -> None:
        if not self._waits:
            self._waits = True
            self.events.add_reader(self._watched, self._ready)

    def _ready(self) -> None:
        try:
            if not self.take():
                self._ended = True
        except BlockingIOError:
            return  # another worker was quicker
        except BaseException as error:  # noqa: BLE001  # an event loop would log it and go on, with a worker that is broken
            self._over.set_exception(error)
        if self._ended or not self._free:
            self._waits = False
            self.events.remove_reader(self._watched)
            self._leave_when_done()

    def _sweep(self, overdue: Overdue) -> None:
        """Cancel what takes too long; which tasks are there is asked of the event loop, so none is noted for it."""
        tasks = asyncio.all_tasks(self.events)
        ours = [
            task for task in tasks if getattr(task.get_coro(), "cr_code", None) is AsyncTaskExecutor._answer.__code__
        ]
        self._late.intersection_update(ours)
        for task in overdue.look({task: task for task in ours}, monotonic()):
            log.error("a request takes longer than timeouts.request (%g s): cancelled", overdue.limit)
            self._late.add(task)
            task.cancel()
        self.events.call_later(SWEEP, self._sweep, overdue)

    def _leave_when_done(self) -> None:
        if self._ended and not self._in_hand and not self._over.done():
            self._over.set_result(None)

    def begin(
        self,
        conversation: StreamingConversation,
        fd: int,
        ticket: int,
        flags: int,
        sent: float,
        data: bytes | BinaryIO,
        client: Any,
    ) -> None:
        """A task was taken; its request is complete."""
        if monotonic() - sent > WAITED and left_early(self.service, fd, conversation, data):
            self._forsake(self._kind(self, fd, self.service.row, conversation, b"", flags, client), ticket)
            return
        row = self._free.pop()
        row[TICKET] = ticket << 1
        self.service.row[TAKEN] += 1
        self._in_hand += 1
        lent = self._kind(self, fd, row, conversation, data, flags, client)
        self._start(self._answer(lent, ticket, flags))

    def _forsake(self, lent: Lent, ticket: int) -> None:
        """The client has left while its request waited."""
        self.service.row[TAKEN] += 1
        self.service.row[DONE] += 1
        self.give_back(lent, ticket, False)

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        """Begin a task at once. Before Python 3.12 a task asks its loop to call its first step soon
        (asyncio.Task.__init__); that call is caught here and made."""
        events: Any = self.events
        if EAGER:
            asyncio.Task(work, loop=events, name="request", eager_start=True)  # type: ignore[call-arg]
            return
        events.call_soon = self._catch
        try:
            task = asyncio.Task(work, loop=events, name="request")
        finally:
            del events.call_soon
        step, context = self._caught
        context.run(step)
        del task

    def _catch(self, step: Any, *, context: Any) -> None:
        self._caught = step, context

    async def _answer(self, lent: Lent, ticket: int, flags: int) -> None:
        service = self.service
        row = service.row
        started = monotonic_ns()
        if not row[SINCE]:
            row[SINCE] = started
        keep = False
        request = lent.request()
        exchange = self._app.exchange(request, lent) if request is not None else None
        try:
            if exchange is None:
                conversation = lent.conversation
                lent.send(service.protocol.farewell(conversation.failure or 400, conversation.peer, conversation.line))
            else:
                await exchange.call()
                keep = exchange.conclude()
        except ClientGone:
            keep = False
        except (Exception, SystemExit, asyncio.CancelledError) as error:  # noqa: BLE001  # the app's, and logged
            keep = self._failed(lent, exchange, error)
        now = monotonic_ns()
        row[SECONDS + (now - started >> 10).bit_length()] += 1
        row[REQUESTS] += 1
        row[SINCE] = 0
        if request is not None and isinstance(service, LoggedService):
            service.note(request, lent, now - started, now)  # type: ignore[arg-type]  # a LoggedLent then
        if not lent.done():
            self.forget(lent)
        row[DONE] += 1  # first: a front that is woken by what comes back may look for somebody with nothing to do
        self.give_back(lent, ticket, keep and not lent.gone and not flags & LAST)
        lent.row[TICKET] = 0
        self._in_hand -= 1
        self._free.append(lent.row)
        if self._ended:
            self._leave_when_done()
        else:
            self._wait()

    def _failed(self, lent: Lent, exchange: Any, error: BaseException) -> bool:
        if asyncio.current_task() in self._late:
            return self._refused(lent, exchange.request, TOO_LATE)
        if comes_of_leaving(error):
            log.info("a client left in the middle of an answer, and the app raised %r", error)
            return False
        log.error("the app raised while answering a request", exc_info=error)
        self.service.row[FAILED] += 1
        if exchange.ended:  # frameworks answer first and raise then, for the log
            kept: bool = exchange.keep
            return kept
        return self._refused(lent, exchange.request, 500)

    def _refused(self, lent: Lent, request: Any, status: int) -> bool:
        if not lent.began:
            try:
                lent.send(self.service.protocol.refusal_of(request, status))
            except ClientGone:
                log.info("the client left before it could be told")
        return False


class AsyncProcessExecutor(AsyncTaskExecutor):
    """For clients of a front in another process."""

    def __init__(
        self,
        inbox: ProcessInbox,
        service: Service,
        slots: Sequence[memoryview],
        timeouts: Timeouts,
        listeners: list[Listener],
        returns: Returns,
        sends_by: Choose,
    ) -> None:
        super().__init__(inbox.reader.fileno(), service, slots, timeouts, sends_by)
        self._take = inbox.take
        self._servers = [(listener.server_host, listener.server_port) for listener in listeners]
        self._doors = [listener.door for listener in listeners]
        self._way_back = ProcessTaskExecutor(inbox, service, listeners, returns).give_back
        self._known: dict[bytes, StreamingConversation] = {}

    def take(self) -> bool:
        message, ancillary = self._take(NOW)
        if not message:
            return False
        ticket, flags, length, sent = HEAD.unpack_from(message)
        start = HEAD.size + length
        intro = message[HEAD.size : start]
        conversation = self._known.get(intro) or self._meet(intro)
        if flags & FILE:
            fd, file = descriptors(ancillary)
            self.begin(conversation, fd, ticket, flags, sent, os.fdopen(file, "rb"), intro)
        else:
            (fd,) = FD.unpack(ancillary[0][2])
            self.begin(conversation, fd, ticket, flags, sent, message[start:], intro)
        return True

    def _meet(self, intro: bytes) -> StreamingConversation:
        if len(self._known) >= KNOWN:
            self._known.clear()
        peer, number = introduced(intro, self._servers)
        conversation: StreamingConversation = self._doors[number].streaming(peer)
        conversation.upgrades = False
        self._known[intro] = conversation
        return conversation

    def forget(self, lent: Lent) -> None:
        self._known.pop(lent.client, None)

    def give_back(self, lent: Lent, ticket: int, keep: bool) -> None:
        if not keep:
            self.forget(lent)
        self._way_back(ticket, keep, lent)


class AsyncThreadExecutor(AsyncTaskExecutor):
    """For clients of a front in the same process."""

    def __init__(
        self,
        inbox: RingingInbox,
        service: Service,
        slots: Sequence[memoryview],
        timeouts: Timeouts,
        front: ThreadLendingFront,
        sends_by: Choose,
    ) -> None:
        super().__init__(inbox.reader.fileno(), service, slots, timeouts, sends_by)
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

    def forget(self, lent: Lent) -> None:
        lent.client.conversation = None

    def give_back(self, lent: Lent, ticket: int, keep: bool) -> None:
        client: Client = lent.client
        self._front.give_back(client, ticket, keep, lent.outbound)
