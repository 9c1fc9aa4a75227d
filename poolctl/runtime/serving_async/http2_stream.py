"""One stream of HTTP/2, as an app that is awaited sees its connection."""

from __future__ import annotations

from asyncio import Future, Task, shield
from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

from poolctl.errors import ClientGone
from poolctl.runtime.access_log.service import Tally
from poolctl.runtime.protocol.http.inflow import Inflow
from poolctl.runtime.protocol.http2.streaming import IncomingStream, StreamingHttp2
from poolctl.runtime.serving_async.inflow import news_of
from poolctl.runtime.serving_async.stopping import SERVING


class StreamCarrier(Protocol):
    """The connection that has the stream. ``ended``: its client sends no more."""

    loop: Any  # an AsyncConnectionLoop, which app and connection see as protocols of their own
    ended: bool

    @property
    def outbound(self) -> object:
        """Not None while the client has to take something first."""

    def complete(self, out: Any) -> None:
        """The response of a stream is complete."""

    def go_on(self) -> None:
        """Begin what has come, and send what waits."""

    def flush(self) -> None:
        """Send the frames that wait."""


class Unlogged(NamedTuple):
    """What a stream sends with, behind the tally."""

    send: Callable[[bytes], None]
    send_file: Callable[[int, int, int], None]


class TaskStream:
    """What the task that answers a stream sends to and waits for. ``send``, ``send_file``: the stream's, through the
    ``tally`` where there is an access log; ``task``: set where it does not end at once; ``started``: when it was begun
    (ns)."""

    __slots__ = (
        "_drained", "_news", "answered", "connection", "last", "send", "send_file", "started", "stream", "tally",
        "task",
    )  # fmt: skip

    def __init__(self, connection: StreamCarrier, stream: IncomingStream, started: int, *, logged: bool) -> None:
        self.connection = connection
        self.stream = stream
        self.started = started
        self.task: Task[None] | None = None
        self.answered = False
        self.last = False  # of a connection's responses: here the stream ends with it anyway
        self.tally: Tally | None = None
        self.send: Callable[[bytes], None] = stream.send
        self.send_file: Callable[[int, int, int], None] = self._send_file
        self._news: Future[None] | None = None
        self._drained: Future[None] | None = None
        if logged:
            self.tally = tally = Tally()
            tally.out = Unlogged(self.send, self.send_file)
            self.send, self.send_file = tally.send, tally.send_file
        stream.changed = self.notify

    @property
    def loop(self) -> Any:
        """The connection's."""
        return self.connection.loop

    @property
    def conversation(self) -> StreamingHttp2:
        """That of the connection."""
        return self.stream.conversation

    @property
    def began(self) -> bool:
        """Whether a byte of the response was sent."""
        return self.stream.began

    @property
    def gone(self) -> bool:
        """Whether the stream or the connection was reset."""
        return self.stream.gone

    @property
    def ended(self) -> bool:
        """Whether the client sends no more, on any stream."""
        return self.connection.ended

    @property
    def outbound(self) -> object:
        """Not None while the client has to take something first."""
        return self.stream.left or self.connection.outbound

    def complete(self, exchange: Any) -> None:
        """The response is complete."""
        self.connection.complete(self)

    def _send_file(self, file: int, offset: int, count: int) -> None:
        """A range of a regular file: the connection reads it, in the next round of its event loop."""
        self.stream.send_file(file, offset, count)
        self.loop.soon(self.connection, self.connection.go_on)

    def notify(self) -> None:
        """Something has changed: resume the tasks that wait for it."""
        if self.outbound is None or self.gone or self.answered:
            drained, self._drained = self._drained, None
            if drained is not None and not drained.done():
                drained.set_result(None)
        stopping = self.loop.stopping.step != SERVING
        if self._news is not None and (self.gone or self.answered or self.ended or stopping):
            news, self._news = self._news, None
            if not news.done():
                news.set_result(None)

    async def news(self) -> None:
        """Until the client cancels the request or has left, the response is complete, or the server stops; perhaps
        before."""
        if self._news is None:
            self._news = self.loop.events.create_future()
        await shield(self._news)  # frameworks have several tasks wait here, and cancel some

    async def until_drained(self) -> None:
        """Until the client has taken what was sent. Raises ClientGone."""
        while self.outbound is not None and not (self.gone or self.answered):
            if self._drained is None:
                self._drained = self.loop.events.create_future()
            await shield(self._drained)
        if self.gone:
            raise ClientGone("the client has left")

    async def body(self, inflow: Inflow) -> bytes | None:
        """The next bytes of the body, empty at its end; None when they never will come."""
        if not inflow.size:
            await news_of(inflow, self.loop.events)
        if inflow.failed:
            return None
        data = self.stream.take(inflow)
        if data:
            self.connection.flush()
        return data
