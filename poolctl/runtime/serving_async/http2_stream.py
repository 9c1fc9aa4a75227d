"""One stream of HTTP/2, which an async app sees as its connection."""

from __future__ import annotations

from asyncio import Future, Task, shield
from typing import ClassVar, Protocol

from poolctl.errors import ClientGone
from poolctl.runtime.app.awaited import Exchange
from poolctl.runtime.buffers.observer import Observer
from poolctl.runtime.loop.source import Handler
from poolctl.runtime.protocol.http.inflow import Inflow
from poolctl.runtime.protocol.http2.streaming import IncomingStream, StreamingHttp2
from poolctl.runtime.protocol.output import Presence
from poolctl.runtime.serving.service import REQUEST, Service, Work
from poolctl.runtime.serving_async.inflow import news_of
from poolctl.runtime.serving_async.stopping import SERVING
from poolctl.runtime.serving_async.task_loop import TaskLoop


class StreamCarrier(Handler[Service], Protocol):
    """The connection that carries the stream. ``presence``: whether its client is still there."""

    loop: TaskLoop
    presence: Presence

    @property
    def outbound(self) -> object:
        """Not None while the client has to take bytes first."""

    def complete(self, out: TaskStream) -> None:
        """The response of a stream is complete."""

    def end_stream(self, out: TaskStream, *, whole: bool) -> None:
        """End a stream whose request is done. ``whole``: its response is complete."""

    def fail(self, error: Exception) -> None:
        """Something that is wrong with the connection itself ends it."""

    def go_on(self) -> None:
        """Begin new streams, and send what waits."""

    def flush(self) -> None:
        """Send the waiting frames."""


class TaskStream:
    """The output of the task that answers a stream, and the shell of ``boundary.attend``. ``exchange``: the call of the
    app, until its response is complete; ``task``: the task, unless it ended at once; ``started``: when the request
    began, in nanoseconds of the monotonic clock."""

    __slots__ = (
        "_drained",
        "_news",
        "_refused",
        "connection",
        "exchange",
        "last",
        "service",
        "started",
        "stream",
        "task",
    )

    work: ClassVar[Work] = REQUEST

    def __init__(self, connection: StreamCarrier, stream: IncomingStream, service: Service) -> None:
        self.connection = connection
        self.stream = stream
        self.service = service
        self.started = service.begin()
        self.exchange: Exchange | None = None
        self.task: Task[None] | None = None
        self.last = False  # never the last response of a connection: a stream ends anyway
        self._refused = False  # the client got a refusal instead of a response of the app
        self._news: Future[None] | None = None
        self._drained: Future[None] | None = None
        if service.entries is not None:
            stream.observer = service.entries.observe()
        stream.changed = self.notify

    @property
    def loop(self) -> TaskLoop:
        """The loop of the connection."""
        return self.connection.loop

    @property
    def conversation(self) -> StreamingHttp2:
        """The conversation of the connection."""
        return self.stream.conversation

    @property
    def began(self) -> bool:
        """Whether a byte of the response was sent."""
        return self.stream.began

    @property
    def observer(self) -> Observer | None:
        """The observer of the response."""
        return self.stream.observer

    @property
    def presence(self) -> Presence:
        """Whether the client is still there: GONE when the stream or the connection was reset."""
        return Presence.GONE if self.stream.gone else self.connection.presence

    @property
    def outbound(self) -> object:
        """Not None while the client has to take bytes first."""
        return self.stream.left or self.connection.outbound

    # the shell of its call

    @property
    def refused(self) -> int:
        """The status with which the request was refused; 0: it was not."""
        return self.stream.refused

    @property
    def line(self) -> str:
        """The request line, for the log."""
        return self.stream.line.decode("latin-1")

    def refuse(self, status: int) -> None:
        """Answer with this status instead of the app, if nothing was sent."""
        if not self.stream.gone:
            self._refused = self.service.refuse(self.stream.request, self, status)

    def over(self, keep: bool) -> None:
        """The app is done with the stream."""
        exchange = self.exchange
        self.connection.end_stream(self, whole=self._refused or (exchange is not None and exchange.ended))

    def fail(self, error: Exception) -> None:
        """Something that is wrong with the connection itself ends it."""
        self.connection.fail(error)

    # what the app does

    def send(self, data: bytes) -> None:
        """Send the head of a response, then its body in pieces. Raises ClientGone."""
        self.stream.send(data)

    def send_file(self, file: int, offset: int, count: int) -> None:
        """Send a range of a regular file; the connection reads it in the next round of its event loop."""
        self.stream.send_file(file, offset, count)
        self.loop.soon(self.connection, self.connection.go_on)

    def complete(self, exchange: Exchange) -> None:
        """The response is complete."""
        self.connection.complete(self)

    def notify(self) -> None:
        """Something has changed: resume the waiting tasks."""
        if self.outbound is None or self.stream.gone or self.exchange is None:
            drained, self._drained = self._drained, None
            if drained is not None and not drained.done():
                drained.set_result(None)
        stopping = self.loop.stopping.step != SERVING
        if self._news is not None and (self.presence is not Presence.HERE or self.exchange is None or stopping):
            news, self._news = self._news, None
            if not news.done():
                news.set_result(None)

    async def news(self) -> None:
        """Wait until the client cancels the request or has left, the response is complete, or the server stops; may
        return earlier."""
        if self._news is None:
            self._news = self.loop.events.create_future()
        await shield(self._news)  # frameworks let several tasks wait here, and cancel some

    async def until_drained(self) -> None:
        """Wait until the client has taken all that was sent. Raises ClientGone."""
        while self.outbound is not None and not (self.stream.gone or self.exchange is None):
            if self._drained is None:
                self._drained = self.loop.events.create_future()
            await shield(self._drained)
        if self.stream.gone:
            raise ClientGone("the client has left")

    async def body(self, inflow: Inflow) -> bytes | None:
        """Return the next bytes of the body, empty at its end; None if they will never come."""
        if not inflow.size:
            await news_of(inflow, self.loop.events)
        if inflow.failed:
            return None
        data = self.stream.take(inflow)
        if data:
            self.connection.flush()
        return data
