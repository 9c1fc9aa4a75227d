"""One connection of an asynchronous app: its requests are answered in order, each by a task.

    request --> task: the app --> response complete --> the next request
                             ...and the app goes on, if it has more to do: no longer the connection's affair

A request is in hand from its head to the end of its response. ``exchange`` is the one in hand, and None between them.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import sys
from asyncio import shield
from collections.abc import Hashable, Mapping
from time import monotonic_ns
from typing import TYPE_CHECKING, Any, cast

from poolctl.errors import ClientGone, comes_of_leaving
from poolctl.runtime.protocol.http.inflow import Inflow
from poolctl.runtime.protocol.http.reader import SWITCHED
from poolctl.runtime.protocol.http.request import EMPTY, HttpRequest
from poolctl.runtime.protocol.http.streaming import StreamingConversation
from poolctl.runtime.scoreboard import FAILED, REQUESTS, SECONDS, SINCE
from poolctl.runtime.serving.connection import Connection
from poolctl.runtime.serving.pace import drips
from poolctl.runtime.serving.service import Service
from poolctl.runtime.serving_async.inflow import news_of
from poolctl.runtime.serving_async.overdue import TOO_LATE
from poolctl.runtime.serving_async.stopping import CANCELLED, SERVING
from poolctl.runtime.serving_async.task_start import REQUEST
from poolctl.runtime.system import forked
from poolctl.runtime.system.poller import IN, OUT

if TYPE_CHECKING:
    from poolctl.runtime.app import ExchangeApp
    from poolctl.runtime.serving_async.loop import AsyncConnectionLoop

log = logging.getLogger("poolctl")
EAGER = sys.version_info >= (3, 12)  # does a task make its first step where it is made?
FULL = 65536  # bytes of a body that wait for the app; then the client has to
AHEAD = 64  # requests that wait for the one in hand; likewise
UNAVAILABLE = 503


class AsyncConnection(Connection):
    """While ``task`` answers a request, what comes is read ahead as far as there is room, and the end is noticed.
    ``ended``: the client sends no more, and may still read; ``gone``: it has left, or is as good as gone."""

    __slots__ = (
        "_answering", "_drained", "_news", "_service", "_started", "_waited", "app", "ended", "exchange", "gone",
        "request", "task",
    )  # fmt: skip

    loop: AsyncConnectionLoop
    conversation: StreamingConversation

    def __init__(
        self, loop: AsyncConnectionLoop, fd: int, conversation: StreamingConversation, service: Service
    ) -> None:
        super().__init__(loop, fd, conversation)
        self._service = service
        self.app = cast("ExchangeApp", service.app)
        self.task: asyncio.Task[None] | None = None
        self.exchange: Any = None
        self.request: HttpRequest
        self.ended = False
        self.gone = False
        self._news: asyncio.Future[None] | None = None  # the app waits for the end of its client, or of the server
        self._drained: asyncio.Future[None] | None = None  # who waits until the client has taken what was sent
        self._waited = False  # for either of them, ever
        self._answering = False
        self._started = 0  # when the app was given the request in hand (ns)

    def begin(self, service: Service) -> None:
        """Serve what has come with it; then wait for more. Its first request may have made another connection of it."""
        self.on_event(IN, service)
        now = self.loop.handlers.get(self.fd)
        if isinstance(now, AsyncConnection) and now.open:
            self.loop.add(now)

    # what the app waits for

    async def news(self) -> None:
        """Until the client sends no more or has left, the response is complete, or the server stops; perhaps before."""
        self._waited = True
        if self._news is None:
            self._news = self.loop.events.create_future()
        await shield(self._news)

    async def until_drained(self) -> None:
        """Until the client has taken what was sent. Raises ClientGone."""
        if self.outbound is not None and not self.gone:
            if self._drained is None:
                self._waited = True
                self.loop.modify(self, OUT)
                self._drained = self.loop.events.create_future()
            await shield(self._drained)
        if self.gone:
            raise ClientGone("the client has left")

    async def body(self, inflow: Inflow) -> bytes | None:
        """The next bytes of the body, empty at its end; None when they never will come."""
        if self.conversation.reply:
            reply, self.conversation.reply = self.conversation.reply, b""
            self.send(reply)
            self.began = False  # that was not the answer yet
        if not inflow.size:
            await news_of(inflow, self.loop.events)
        if inflow.failed:
            return None
        data = inflow.take() if inflow.size else b""
        if self.mask == 0:
            self._listen()
        return data

    # events

    def _listen(self) -> None:
        """Wait for what the client sends; of one that sends no more only its end is told."""
        self.loop.modify(self, 0 if self.ended else IN)

    def _received(self, data: bytes, service: Service) -> None:
        conversation = self.conversation
        if self.exchange is None:
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
            self._ended()
            return
        self.since = self.loop.now
        if conversation.successor is not None:
            conversation.successor.receive(data)
            return
        conversation.receive(data)
        inflow = conversation.inflow
        if (inflow is not None and inflow.size > FULL) or len(conversation.requests) > AHEAD:
            self.loop.modify(self, 0)

    def _ended(self) -> None:
        """The client sends no more while its request is in hand. One that has sent it whole may wait for the answer,
        so it gets it; one that has left altogether cannot be told from it until something is sent to it."""
        body: Any = self.request.body
        whole = (body is EMPTY or body.done) and not self.ended  # ended before: this is the end of both sides
        self.conversation.ended()
        if not whole:
            self.client_left()
            return
        self.ended = self.leaving = True
        if self.outbound is None:
            self.loop.modify(self, 0)
        self.notify()

    def _nothing(self, service: Service) -> None:
        if self.exchange is None:
            super()._nothing(service)
        else:
            self._listen()  # a drain asked for an event, and a request came first

    def _answer(self, service: Service) -> None:
        """The requests that have come, one after the other."""
        if self._answering:
            return
        self._answering = True
        conversation = self.conversation
        requests = conversation.requests
        try:
            while requests and self.exchange is None and self.outbound is None and self.open:
                request = requests.popleft()
                if self.leaving:
                    self.last = not requests and not conversation.failure
                self._begin(request)
        finally:
            self._answering = False
        if self.exchange is not None or not self.open:
            return
        if self.outbound is not None:
            self.loop.modify(self, OUT)
        elif self.leaving or conversation.failure or conversation.pending:
            self._unanswered(service)

    def _unanswered(self, service: Service) -> None:
        successor = self.conversation.successor
        if successor is None:
            super()._unanswered(service)
        elif successor.multiplexed:
            from poolctl.runtime.serving_async.http2_connection import Http2Connection  # h2 need not be there otherwise

            Http2Connection.take_over(self, service)
        else:
            from poolctl.runtime.serving_async.websocket_connection import WebSocketConnection  # nor wsproto

            WebSocketConnection.take_over(self, service)

    # a request

    def _begin(self, request: HttpRequest) -> None:
        self.request = request
        self.began = False
        if self.mask == 0:
            self._listen()
        row = self._service.row
        self._started = started = monotonic_ns()
        if not row[SINCE]:
            row[SINCE] = started
        self.exchange = exchange = self.app.exchange(request, self)
        self.task = task = self.loop.start(self._work(exchange), REQUEST)
        if EAGER and self.exchange is not exchange:
            self.task = None
            if not task.done():
                self.loop.after.add(task)

    async def _work(self, exchange: Any) -> None:
        """The task: the app, and its error boundary. A response that is complete is no longer this connection's."""
        task = self.task
        keep = True
        try:
            try:
                await exchange.call()
                if self.exchange is exchange:
                    keep = exchange.conclude()
            except ClientGone:
                keep = False
            except BaseException as error:  # the app's, and logged
                forked.leave()
                if self.loop.finished:
                    raise  # the event loop ends without waiting: its front is dead
                keep = self._failed(exchange, error)
            if self.exchange is exchange:
                if not keep and self.loop.stopping.step != SERVING:
                    self._refuse(UNAVAILABLE)  # its app was told that the server stops, and has left without a word
                self._answered(keep)
            elif task is not None and self.loop.after.fresh is task:
                self.loop.after.fresh = None
            elif self.loop.after.tasks:
                self.loop.rested()
        except Exception as error:  # noqa: BLE001  # the boundary, which logs it
            self.loop.fail(self, self._service, error)

    def complete(self, exchange: Any) -> None:
        """The response is: on to the next request, though the app may have more to do."""
        after = self.loop.after
        if self.exchange is not exchange or after.full:
            return
        if after.fresh is not None:
            after.settle()
        after.fresh = self.task
        self._answered(exchange.keep)

    def _failed(self, exchange: Any, error: BaseException) -> bool:
        ours = self.exchange is exchange
        if ours and self.conversation.failure == TOO_LATE:  # said in the log where it was cancelled
            self._service.row[FAILED] += 1
            return False
        if ours and comes_of_leaving(error):
            log.info("a client left in the middle of an answer, and the app raised %r", error)
            return False
        stopped = isinstance(error, asyncio.CancelledError) and self.loop.stopping.step == CANCELLED
        if stopped:
            log.warning("%s was cancelled: timeouts.drain is nearly over", line_of(exchange.request))
        elif ours or not exchange.ended:
            log.error("the app raised while answering a request", exc_info=error)
        else:
            log.error("the app raised after its response", exc_info=error)
        if not (stopped and exchange.ended):
            self._service.row[FAILED] += 1
        if exchange.ended:  # frameworks answer first and raise then, for the log
            kept: bool = exchange.keep
            return kept
        self._refuse(UNAVAILABLE if stopped else 500)
        return False

    def _refuse(self, status: int) -> None:
        """Answer with this instead of the app, if nothing was sent."""
        if not (self.began or self.gone or self.conversation.failure):
            try:
                self.send(self._service.protocol.refusal_of(self.request, status))
            except ClientGone:
                log.info("the client left before it could be told")

    def _answered(self, keep: bool) -> None:
        """The request that was being served is complete."""
        row = self._service.row
        row[SECONDS + (monotonic_ns() - self._started >> 10).bit_length()] += 1
        row[REQUESTS] += 1
        row[SINCE] = 0
        conversation = self.conversation
        self.task = self.exchange = None
        self.served = True
        self.started = False
        self.since = self.loop.now
        if self._waited:
            self.notify()
        body: Any = self.request.body
        unread = body is not EMPTY and not body.done  # is the client in the middle of something?
        if unread:
            keep = False  # nobody will read the rest
            body.fail()
            conversation.inflow = None
        if not keep or self.gone:
            unread = unread or bool(conversation.requests)
            conversation.requests.clear()
            self.leaving = True
            failure = conversation.failure
            if failure and failure != SWITCHED and not self.began:
                self.turn_away(failure, self._service)
            elif self.outbound is not None and not self.gone:
                self.loop.modify(self, OUT)
            elif unread and not (self.gone or self.ended):
                self._linger()
            else:
                self.close(self._service)
            return
        if self.outbound is not None:
            self.loop.modify(self, OUT)
        elif not self._answering and (
            conversation.requests or self.leaving or conversation.failure or conversation.pending
        ):
            self.loop.soon(self, self._go_on)  # not in the middle of a step of the app

    def _go_on(self) -> None:
        if self.open and self.exchange is None:
            self._answer(self._service)

    def _linger(self) -> None:
        """The end, for a client that is still sending: a reset would overtake the answer that it has not read."""
        if self.open:
            self.open = False
            self.loop.remove(self)
            self._over(self._service)
            sock = socket.socket(fileno=self.fd)
            try:
                sock.shutdown(socket.SHUT_WR)
            except OSError:
                sock.close()  # it has gone
            else:
                self.loop.linger(sock)
            self.loop.later()

    def _write(self, service: Service) -> None:
        """The client reads again."""
        try:
            if self.catch_up():
                self.since = self.loop.now
        except ClientGone:
            if self.exchange is None:
                self.close(service)
            else:
                self.client_left()
            return
        if self.outbound is not None:
            return
        if self.exchange is not None:
            self._listen()
            self.notify()
        elif self.leaving and not self.conversation.requests:
            if self.conversation.coming is not None and not self.ended:
                self._linger()
            else:
                self.close(service)
        else:
            self._listen()
            self._answer(service)

    def client_left(self) -> None:
        """The client has left while its request is in hand: the app is told, and the connection ends with the task."""
        self.gone = self.leaving = True
        self.loop.mute(self)
        if self.conversation.inflow is not None:
            self.conversation.inflow.fail()
        self.notify()

    def notify(self) -> None:
        """Something has changed: resume the tasks that wait for it."""
        news, self._news = self._news, None
        if news is not None and not news.done():
            news.set_result(None)
        if self.outbound is None or self.gone or self.exchange is None:
            drained, self._drained = self._drained, None
            if drained is not None and not drained.done():
                drained.set_result(None)

    # time

    def expire(self, now: float, service: Service) -> None:
        """Close it when the client has kept us waiting for too long. How long the app takes is its own affair."""
        if self.exchange is None:
            super().expire(now, service)
            return
        waited = now - self.since
        if self.outbound is not None:
            if waited > self.loop.timeouts.write:
                self.client_left()
            return
        inflow = self.conversation.inflow
        if inflow is not None and ((inflow.awaited and waited > self.loop.timeouts.idle) or self._drips(now, inflow)):
            self.conversation.failure = 408
            self.client_left()

    def _drips(self, now: float, inflow: Inflow) -> bool:
        """Whether the body comes too slowly, while the app waits for it."""
        timeouts, body = self.loop.timeouts, self.conversation.coming
        return bool(timeouts.body_rate) and body is not None and drips(body, now, timeouts, waiting=inflow.awaited)

    @property
    def tasks(self) -> list[asyncio.Task[None]]:
        """Those that the end of the time to drain cancels."""
        return [] if self.task is None else [self.task]

    def cut(self, service: Service) -> None:
        """The time to drain is nearly over: the end, unless an app still has it."""
        if self.exchange is None:
            self.close(service)

    @property
    def in_flight(self) -> Mapping[Hashable, asyncio.Task[None]]:
        task = self.task
        if task is None or self.outbound is not None:  # a client that is slow to read has a time of its own
            return {}
        return {task: task}

    def cancel_overdue(self, task: asyncio.Task[None]) -> str:
        line = line_of(self.request)
        self.conversation.refuse(TOO_LATE, line.encode("latin-1"))
        self.client_left()
        task.cancel()
        return line

    def detach(self, task: asyncio.Task[None]) -> None:
        """The client is answered, and the connection ends; what the app still does is work after its response."""
        self._service.row[FAILED] += 1
        self.loop.after.add(task)
        self._answered(keep=False)

    def drain(self, service: Service) -> None:
        """What has come is answered."""
        self.leaving = True
        if self.exchange is None:
            super().drain(service)

    def close(self, service: Service) -> None:
        """The end of the connection; the app's task, if there is one, ends by itself."""
        if self.exchange is not None:
            self.client_left()
            return
        super().close(service)
        self.loop.later()

    def abort(self, service: Service) -> None:
        """Something raised: the end, whatever its task is doing, which finds the client gone."""
        self.gone = True
        Connection.close(self, service)

    def turn_away(self, status: int, service: Service) -> None:
        """Its last words, and the end."""
        if self.exchange is not None:
            self.client_left()
            return
        super().turn_away(status, service)
        self.loop.later()


def line_of(request: HttpRequest) -> str:
    """The request line, for the log."""
    return f"{request.method} {request.target.decode('latin-1')} HTTP/{request.version}"
