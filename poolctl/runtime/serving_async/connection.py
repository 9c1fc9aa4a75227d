"""One connection of an async app over HTTP/1: its requests are answered in order, each by a task.

    request --> task: the app --> response complete --> the next request
                             ...and the app may go on, without the connection

The connection is ANSWERING from the head of a request to the end of its response. ``exchange`` is the call of the app
in that time, and None between them. This is the shell of ``boundary.attend``, and the output of the app.
The file is long because its steps share that one state.
"""

from __future__ import annotations

import asyncio
import sys
from asyncio import shield
from collections.abc import Hashable, Mapping
from typing import Final

from mypy_extensions import mypyc_attr

from poolctl.errors import ClientGone
from poolctl.runtime.app.asgi.output import Exchanges
from poolctl.runtime.app.awaited import Exchange
from poolctl.runtime.loop.overdue import TOO_LATE
from poolctl.runtime.protocol.http.inflow import Inflow
from poolctl.runtime.protocol.http.request import HttpRequest
from poolctl.runtime.protocol.http.streaming import StreamingConversation
from poolctl.runtime.protocol.output import ENDED, GONE, HERE
from poolctl.runtime.serving.pace import drips
from poolctl.runtime.serving.phases import ANSWERING, CLOSED, FINISHING, IDLE, SENDING
from poolctl.runtime.serving.request_line import line_of
from poolctl.runtime.serving.service import Service
from poolctl.runtime.serving_async.boundary import attend
from poolctl.runtime.serving_async.inflow import news_of
from poolctl.runtime.serving_async.task_connection import UNREAD_BYTES, TaskConnection
from poolctl.runtime.serving_async.task_loop import TaskLoop
from poolctl.runtime.serving_async.task_start import REQUEST_TASK
from poolctl.runtime.system.poller import IN, OUT

EAGER: Final = sys.version_info >= (3, 12)  # does a task run its first step when it is created?
AHEAD_REQUESTS: Final = 64  # requests that wait for the one in flight, beyond which reading pauses


@mypyc_attr(allow_interpreted_subclasses=True)
class AsyncConnection(TaskConnection):
    """While the app has a request, the connection reads ahead as far as there is room, and notices the client's end.
    ``http``: its conversation; ``refused``: the status with which a request was refused, which is then its last; 0:
    none was."""

    __slots__ = (
        "_answering", "_drained", "_news", "_started", "_waited", "app", "exchange", "http", "refused", "request",
    )  # fmt: skip

    def __init__(
        self, loop: TaskLoop, fd: int, conversation: StreamingConversation, service: Service, app: Exchanges
    ) -> None:
        TaskConnection.__init__(self, loop, fd, conversation, service)
        self.http = conversation
        self.app = app
        self.exchange: Exchange | None = None
        self.request: HttpRequest
        self.refused = 0
        self._news: asyncio.Future[None] | None = None  # the app waits for its client to leave, or for the stop
        self._drained: asyncio.Future[None] | None = None  # tasks wait until the client has taken what was sent
        self._waited = False  # whether the app has ever waited for either of these
        self._answering = False  # ``_answer`` is running, perhaps below this call
        self._started = 0  # when the app was given the request in flight (ns)

    # what the app waits for

    async def news(self) -> None:
        """Wait until the client has left or ended its side, the response is complete, or the server stops; may return
        earlier."""
        self._waited = True
        if self._news is None:
            self._news = self.loop.events.create_future()
        await shield(self._news)

    async def until_drained(self) -> None:
        """Wait until the client has taken all that was sent. Raises ClientGone."""
        if self.outbound is not None and self.presence is not GONE:
            if self._drained is None:
                self._waited = True
                self.loop.modify(self, OUT)
                self._drained = self.loop.events.create_future()
            await shield(self._drained)
        if self.presence is GONE:
            raise ClientGone("the client has left")

    async def body(self, inflow: Inflow) -> bytes | None:
        """Return the next bytes of the body, empty at its end; None if they will never come."""
        if inflow.reply:
            reply, inflow.reply = inflow.reply, b""
            if not self.began:  # otherwise it would become a part of the response
                self.send(reply)
                self.began = False  # that was not the response yet
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
        """Wait for bytes of the client; after its end of file, only for errors and its reset."""
        self.loop.modify(self, IN if self.presence is HERE else 0)

    def _came_meanwhile(self, data: bytes) -> None:
        conversation = self.http
        if not data:
            self._ended()
            return
        self.since = self.loop.now
        if conversation.successor is not None:
            conversation.successor.receive(data)
            return
        conversation.receive(data)
        inflow = conversation.inflow
        if (inflow is not None and inflow.size > UNREAD_BYTES) or len(conversation.requests) > AHEAD_REQUESTS:
            self.loop.modify(self, 0)

    def _ended(self) -> None:
        """The client sends no more while its request is in flight. If it has sent the whole request it may wait for the
        response, so it gets it; whether it has left altogether shows only when something is sent to it."""
        inflow = self.request.inflow
        # ended before: this is the end of both sides
        whole = (inflow is None or inflow.done) and self.presence is HERE
        self.http.ended()
        if not whole:
            self.client_left()
            return
        self.presence = ENDED
        self.leaving = True
        if self.outbound is None:
            self.loop.modify(self, 0)
        self.notify()

    def _nothing(self, service: Service) -> None:
        if self.phase is ANSWERING:
            if self.tls is not None and self.tls.came:
                self.since = self.loop.now  # a part of a record
            self._listen()  # a drain asked for an event, and a request came first
        else:
            super()._nothing(service)

    def _answer(self, service: Service) -> None:
        """Answer the complete requests, one after the other."""
        if self._answering:
            return
        self._answering = True
        conversation = self.http
        requests = conversation.requests
        try:
            while requests and self.exchange is None and self.outbound is None and self.phase is not CLOSED:
                request = requests.popleft()
                if self.leaving:
                    self.last = not requests and not conversation.failure
                self._begin(request)
        finally:
            self._answering = False
        if self.exchange is not None or self.phase is CLOSED:
            return
        if self.outbound is not None:
            self.loop.modify(self, OUT)
        elif self._has_more():
            self._unanswered(service)

    def _has_more(self) -> int:
        """Whether there is something to do without a complete request."""
        conversation = self.http
        return (
            self.leaving
            or conversation.failure is not None
            or conversation.successor is not None
            or conversation.pending
        )

    def _unanswered(self, service: Service) -> None:
        successor = self.http.successor
        if successor is None:
            super()._unanswered(service)
        elif successor.multiplexed:
            from poolctl.runtime.serving_async.http2_connection import Http2Connection  # h2 is optional

            Http2Connection.succeed(self)
        else:
            from poolctl.runtime.serving_async.websocket_connection import WebSocketConnection  # so is wsproto

            WebSocketConnection.succeed(self)

    def _write(self, service: Service) -> None:
        """The client takes bytes again."""
        try:
            if self.catch_up():
                self.since = self.loop.now
        except ClientGone:
            self.close(service)
            return
        if self.outbound is not None:
            return
        if self.phase is ANSWERING:
            self._listen()
            self.notify()
        elif self.phase is FINISHING:
            if self.http.coming is not None and self.presence is HERE:
                self.linger()
            else:
                self.close(service)
        else:
            if self.phase is SENDING:
                self.phase = IDLE
            self._listen()
            self._answer(service)

    # a request

    def _begin(self, request: HttpRequest) -> None:
        self.request = request
        self.phase = ANSWERING
        self.began = False
        if not self.mask:
            self._listen()
        self._started = self.service.begin()
        self.exchange = exchange = self.app.exchange(request, self)
        self.task = task = self.loop.start.task(attend(exchange, self, self.loop, self.service), REQUEST_TASK)
        if EAGER and self.exchange is not exchange:
            self.task = None
            if not task.done():
                self.loop.after.add(task)

    @property
    def line(self) -> str:
        """The request line, for the log."""
        return line_of(self.request)

    def complete(self, exchange: Exchange) -> None:
        """The response is complete: go on to the next request, though the app may go on."""
        after = self.loop.after
        if self.exchange is not exchange or after.full:
            return
        if after.fresh is not None:
            after.settle()
        after.fresh = self.task
        self.over(exchange.keep)

    def refuse(self, status: int) -> None:
        """Answer with this status instead of the app, if nothing was sent."""
        if self.presence is not GONE and not self.refused and not self.http.failure:
            self.service.refuse(self.request, self, status)

    def over(self, keep: bool) -> None:
        """The request is done. ``keep``: whether the connection may be kept."""
        service, conversation = self.service, self.http
        service.end(self._started)
        if service.entries is not None and not self._refusal:  # a refusal writes its own line
            service.note(self.request, self.observer if self.began else None, self._started)
        self.task = self.exchange = None
        self.since = self.loop.now
        if self._waited:
            self.notify()
        inflow = self.request.inflow
        unread = False
        if inflow is not None and not inflow.done:  # the client is still sending the body
            unread = True
            keep = False  # the rest will not be read
            inflow.fail()
            conversation.inflow = None
        if not keep or self.presence is GONE:
            self._end(unread=unread)
        elif self.outbound is not None:
            self.phase = SENDING
            self.loop.modify(self, OUT)
        else:
            self.phase = IDLE
            if not self._answering and (
                conversation.requests
                # _has_more inlined: saves 1 % of a request (docs/performance.md)
                or self.leaving
                or conversation.failure
                or conversation.successor
                or conversation.pending
            ):
                self.loop.soon(self, self._go_on)  # not in the middle of a step of the app

    @property
    def _refusal(self) -> int:
        """The status to answer the request with instead of the app, which has sent nothing; 0: the app answers it."""
        if self.began:
            return 0
        return self.refused or (self.http.successor is None and self.http.failure) or 0

    def _end(self, *, unread: bool) -> None:
        """End a connection that is not kept. ``unread``: the client is still sending a body."""
        refusal = self._refusal
        requests = self.http.requests
        unread = unread or bool(requests)
        requests.clear()
        self.leaving = True
        if self.outbound is not None and self.presence is not GONE and not refusal:
            self.phase = FINISHING
            self.loop.modify(self, OUT)
            return
        self.phase = IDLE  # nothing keeps it from its end any more
        if refusal:
            self.turn_away(refusal, self.service, self.line.encode("latin-1") if self.refused else None)
        elif unread and self.presence is HERE:
            self.linger()
        else:
            self.close(self.service)

    def _go_on(self) -> None:
        if self.phase is not CLOSED and self.exchange is None:
            self._answer(self.service)

    def client_left(self) -> None:
        """The client has left while its request is in flight: notify the app; the connection ends with the task."""
        if self.http.inflow is not None:
            self.http.inflow.fail()
        super().client_left()

    def notify(self) -> None:
        """Something has changed: resume the waiting tasks."""
        news, self._news = self._news, None
        if news is not None and not news.done():
            news.set_result(None)
        if self.outbound is None or self.presence is GONE or self.exchange is None:
            drained, self._drained = self._drained, None
            if drained is not None and not drained.done():
                drained.set_result(None)

    # time

    def _expire_answering(self, now: float, service: Service) -> None:
        """The app may take any time; a client that has bytes to send, or to take, has its timeouts."""
        waited = now - self.since
        if self.outbound is not None:
            if waited > self.loop.timeouts.at(self.since).write:
                self.say_closed("timeouts.write", waited)
                self.client_left()
            return
        inflow = self.http.inflow
        if inflow is None:
            return
        body = self.http.coming
        if inflow.awaited and waited > self.loop.timeouts.at(self.since).idle:
            self.say_closed("timeouts.idle", waited)
        elif self._drips(now, inflow) and body is not None:
            self.say_closed("timeouts.body", body.waited)
        else:
            return
        self.refused = 408
        self.client_left()

    def _drips(self, now: float, inflow: Inflow) -> bool:
        """Whether the body arrives too slowly, while the app waits for it."""
        timeouts, body = self.loop.timeouts, self.http.coming
        return bool(timeouts.body_rate) and body is not None and drips(body, now, timeouts, waiting=inflow.awaited)

    @property
    def in_flight(self) -> Mapping[Hashable, asyncio.Task[None]]:
        """The task of the request, unless it waits for a client that reads slowly, for which timeouts.write applies."""
        task = self.task
        return {} if task is None or self.outbound is not None else {task: task}

    def cancel_overdue(self, task: asyncio.Task[None]) -> str:
        """Refuse the request, and cancel its task. Returns the request line."""
        self.refused = TOO_LATE
        self.client_left()
        task.cancel()
        return self.line

    def detach(self, task: asyncio.Task[None]) -> None:
        """Answer the client and end the connection; the rest of the task is work after a response."""
        self.service.fail()
        self.loop.after.add(task)
        self.over(keep=False)
