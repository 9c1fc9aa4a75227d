"""One connection of an asynchronous app: its requests are answered in order, each by a task."""

from __future__ import annotations

import asyncio
import logging
import sys
from collections.abc import Hashable, Mapping
from time import monotonic_ns
from typing import TYPE_CHECKING, Any, cast

from poolctl.errors import ClientGone, comes_of_leaving
from poolctl.runtime.connection import Connection
from poolctl.runtime.overdue import TOO_LATE
from poolctl.runtime.pace import drips
from poolctl.runtime.poller import IN, OUT
from poolctl.runtime.protocol.http_reader import SWITCHED
from poolctl.runtime.protocol.http_request import EMPTY, HttpRequest
from poolctl.runtime.protocol.http_streaming import Inflow, StreamingConversation
from poolctl.runtime.scoreboard import FAILED, REQUESTS, SECONDS, SINCE
from poolctl.runtime.service import Service

if TYPE_CHECKING:
    from poolctl.runtime.app import ExchangeApp
    from poolctl.runtime.async_loop import AsyncConnectionLoop

log = logging.getLogger("poolctl")
FULL = 65536  # bytes of a body that wait for the app; then the client has to
AHEAD = 64  # requests that wait for the one in hand; likewise
NAME = "request"  # of tasks: to make one for each would cost a request more than its scope does
EAGER = sys.version_info >= (3, 12)  # a task may begin at once, not in the next round of the event loop


class AsyncConnection(Connection):
    """While ``task`` answers a request, what comes is read ahead as far as there is room, and the end is noticed."""

    __slots__ = ("_answering", "_drained", "_gone", "_service", "app", "failed", "gone", "request", "task")

    loop: AsyncConnectionLoop
    conversation: StreamingConversation

    def __init__(
        self, loop: AsyncConnectionLoop, fd: int, conversation: StreamingConversation, service: Service
    ) -> None:
        super().__init__(loop, fd, conversation)
        self._service = service
        self.app = cast("ExchangeApp", service.app)
        self.task: asyncio.Task[None] | None = None
        self.request: HttpRequest
        self.gone = False  # the client has left, or is as good as gone
        self._gone: asyncio.Future[None] | None = None  # who waits for that
        self._drained: asyncio.Future[None] | None = None  # who waits until the client has taken what was sent
        self._answering = False

    def begin(self, service: Service) -> None:
        """Serve what has come with it; then wait for more. Its first request may have made another connection of it."""
        self.on_event(IN, service)
        now = self.loop.handlers.get(self.fd)
        if isinstance(now, AsyncConnection) and now.open:
            self.loop.handle(now)

    # what the app waits for

    async def until_gone(self) -> None:
        """Until the client has left."""
        if not self.gone:
            if self._gone is None:
                self._gone = self.loop.events.create_future()
            await asyncio.shield(self._gone)

    async def until_drained(self) -> None:
        """Until the client has taken what was sent. Raises ClientGone."""
        while self.outbound is not None and not self.gone:
            if self._drained is None:
                self.loop.want(self, OUT)
                self._drained = self.loop.events.create_future()
            await asyncio.shield(self._drained)
        if self.gone:
            raise ClientGone("the client has left")

    async def body(self, inflow: Inflow) -> bytes | None:
        """The next bytes of the body, empty at its end; None when they never will come."""
        if self.conversation.reply:
            reply, self.conversation.reply = self.conversation.reply, b""
            self.send(reply)
            self.began = False  # that was not the answer yet
        if not inflow.size:
            await inflow.more(self.loop.events)
        if inflow.failed:
            return None
        data = inflow.take() if inflow.size else b""
        if self.mask == 0:
            self.loop.want(self, IN)
        return data

    # events

    def _received(self, data: bytes, service: Service) -> None:
        conversation = self.conversation
        if self.task is None:
            if not data:
                super()._received(data, service)
                return
            conversation.receive(data)
            if conversation.requests:
                self._answer(service)
            else:
                self._unanswered(service)
            return
        if not data:
            conversation.ended()
            self._lost()
            return
        self.since = self.loop.now
        if conversation.successor is not None:
            conversation.successor.receive(data)
            return
        conversation.receive(data)
        inflow = conversation.inflow
        if (inflow is not None and inflow.size > FULL) or len(conversation.requests) > AHEAD:
            self.loop.want(self, 0)

    def _nothing(self, service: Service) -> None:
        if self.task is None:
            super()._nothing(service)
        else:
            self.loop.want(self, IN)  # a drain asked for an event, and a request came first

    def _answer(self, service: Service) -> None:
        """The requests that have come, one after the other."""
        if self._answering:
            return
        self._answering = True
        conversation = self.conversation
        requests = conversation.requests
        while requests and self.task is None and self.outbound is None and self.open:
            request = requests.popleft()
            if self.leaving:
                self.last = not requests and not conversation.failure
            self._begin(request)
        self._answering = False
        if self.task is not None or not self.open:
            return
        if self.outbound is not None:
            self.loop.want(self, OUT)
        elif self.leaving or conversation.failure or conversation.pending:
            self._unanswered(service)

    def _unanswered(self, service: Service) -> None:
        successor = self.conversation.successor
        if successor is None:
            super()._unanswered(service)
        elif successor.multiplexed:
            from poolctl.runtime.http2_connection import Http2Connection  # h2 need not be there otherwise

            Http2Connection.take_over(self, service)
        else:
            from poolctl.runtime.websocket_connection import WebSocketConnection  # nor wsproto

            WebSocketConnection.take_over(self, service)

    def _begin(self, request: HttpRequest) -> None:
        self.request = request
        self.began = False
        if self.mask == 0:
            self.loop.want(self, IN)
        row = self._service.row
        started = monotonic_ns()
        if not row[SINCE]:
            row[SINCE] = started
        work = self._work(request, started)
        events = self.loop.events
        if EAGER:
            task = asyncio.Task(work, loop=events, name=NAME, eager_start=True)  # type: ignore[call-arg]
            if not task.done():
                self.task = task
        else:
            self.task = asyncio.Task(work, loop=events, name=NAME)

    async def _work(self, request: HttpRequest, started: int) -> None:
        """The task: the app, its error boundary, and what comes after."""
        exchange = self.app.exchange(request, self)
        try:
            await exchange.call()
            keep = exchange.conclude()
        except ClientGone:
            keep = False
        except (Exception, SystemExit, asyncio.CancelledError) as error:  # the app's, and logged
            if self.loop.finished:
                raise  # the event loop ends without waiting: its front is dead
            keep = self._failed(exchange, error)
        row = self._service.row
        row[SECONDS + (monotonic_ns() - started >> 10).bit_length()] += 1
        row[REQUESTS] += 1
        row[SINCE] = 0
        self._answered(keep)

    def _failed(self, exchange: Any, error: BaseException) -> bool:
        if self.conversation.failure == TOO_LATE:  # said in the log where it was cancelled
            self._service.row[FAILED] += 1
            return False
        if comes_of_leaving(error):
            log.info("a client left in the middle of an answer, and the app raised %r", error)
            return False
        log.error("the app raised while answering a request", exc_info=error)
        self._service.row[FAILED] += 1
        if exchange.ended:  # frameworks answer first and raise then, for the log
            kept: bool = exchange.keep
            return kept
        if not self.began and not self.conversation.failure:
            try:
                self.send(self._service.protocol.refusal_of(self.request, 500))
            except ClientGone:
                log.info("the client left before it could be told")
        return False

    def _answered(self, keep: bool) -> None:
        conversation = self.conversation
        self.task = None
        self.served = True
        self.started = False
        self.since = self.loop.now
        body: Any = self.request.body
        if body is not EMPTY and not body.done:
            keep = False  # nobody will read the rest
            conversation.inflow = None
        if not keep or self.gone:
            service = self._service
            conversation.requests.clear()
            self.leaving = True
            failure = conversation.failure
            if failure and failure != SWITCHED and not self.began:
                self.turn_away(failure, service)
            elif self.outbound is not None and not self.gone:
                self.loop.want(self, OUT)
            else:
                self.close(service)
            return
        if self.outbound is not None:
            self.loop.want(self, OUT)
        elif self._answering:
            return
        elif conversation.requests or self.leaving or conversation.failure or conversation.pending:
            self._answer(self._service)

    def _write(self, service: Service) -> None:
        if self.task is None:
            super()._write(service)
            return
        try:
            if self.catch_up():
                self.since = self.loop.now
        except ClientGone:
            self._lost()
            return
        if self.outbound is None:
            self.loop.want(self, IN)
            self._wake()

    def _lost(self) -> None:
        """The client has left while its request is in hand: the app is told, and the connection ends with the task."""
        self.gone = self.leaving = True
        self.loop.sleep(self)
        if self.conversation.inflow is not None:
            self.conversation.inflow.fail()
        self._wake()

    def _wake(self) -> None:
        for waiter in (self._drained, self._gone if self.gone else None):
            if waiter is not None and not waiter.done():
                waiter.set_result(None)
        self._drained = None

    # time

    def expire(self, now: float, service: Service) -> None:
        """Close it when the client has kept us waiting for too long. How long the app takes is its own affair."""
        if self.task is None:
            super().expire(now, service)
            return
        waited = now - self.since
        if self.outbound is not None:
            if waited > self.loop.timeouts.write:
                self._lost()
            return
        inflow = self.conversation.inflow
        if inflow is not None and ((inflow.awaited and waited > self.loop.timeouts.idle) or self._drips(now, inflow)):
            self.conversation.failure = 408
            self._lost()

    def _drips(self, now: float, inflow: Inflow) -> bool:
        """Whether the body comes too slowly, while the app waits for it."""
        timeouts, body = self.loop.timeouts, self.conversation.coming
        return bool(timeouts.body_rate) and body is not None and drips(body, now, timeouts, waiting=inflow.awaited)

    @property
    def in_hand(self) -> Mapping[Hashable, asyncio.Task[None]]:
        task = self.task
        if task is None or self.outbound is not None:  # a client that is slow to read has a time of its own
            return {}
        return {task: task}

    def overdue(self, task: asyncio.Task[None]) -> str:
        request = self.request
        line = f"{request.method} {request.target.decode('latin-1')} HTTP/{request.version}"
        self.conversation.refuse(TOO_LATE, line.encode("latin-1"))
        self._lost()
        task.cancel()
        return line

    def drain(self, service: Service) -> None:
        """What has come is answered."""
        self.leaving = True
        if self.task is None:
            super().drain(service)

    def close(self, service: Service) -> None:
        """The end of the connection; the app's task, if there is one, ends by itself."""
        if self.task is not None:
            self._lost()
            return
        super().close(service)
        self.loop.later()

    def turn_away(self, status: int, service: Service) -> None:
        """Its last words, and the end."""
        if self.task is not None:
            self._lost()
            return
        super().turn_away(status, service)
        self.loop.later()
