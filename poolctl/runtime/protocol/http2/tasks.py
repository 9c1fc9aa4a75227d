"""The worker's half of an HTTP/2 connection for asynchronous apps: every stream is answered by a task of its own.

    bytes -> h2 -> streams that have begun -> a task each -> frames, as far as the windows allow

A stream begins with its head, and its body is given to the app as it comes. What the app has taken is acknowledged, not
what has come: so the window of a stream whose app does not read closes, and its client has to wait.
"""

from __future__ import annotations

from asyncio import Future, Task, shield
from collections import deque
from typing import TYPE_CHECKING, Any

from h2.events import DataReceived, RequestReceived, StreamEnded
from h2.exceptions import ProtocolError

from poolctl.errors import ClientGone
from poolctl.runtime.protocol.http.streaming import Inflow
from poolctl.runtime.protocol.http2.conversation import Http2Conversation
from poolctl.runtime.protocol.http2.stream import Http2Stream
from poolctl.runtime.serving_async.stopping import SERVING
from poolctl.runtime.task import Peer

if TYPE_CHECKING:
    from poolctl.runtime.protocol.http.protocol import Http
    from poolctl.runtime.serving_async.http2_connection import Http2Connection


class TaskStream(Http2Stream):
    """One stream, as an app that is awaited sees its connection."""

    conversation: TasksConversation

    def __init__(self, conversation: TasksConversation, number: int) -> None:
        super().__init__(conversation, number)
        self.connection: Http2Connection | None = None  # set when it is begun; it may be reset before that
        self.task: Task[None] | None = None  # the same, and only where it does not end at once
        self.started = 0  # when it was begun (ns)
        self.tally: Any = None  # what was sent, for the access log
        self.answered = False
        self.inflow: Inflow | None = None
        self.gone = False  # the stream or the connection was reset
        self._size = 0  # bytes of the body so far
        self._news: Future[None] | None = None
        self._drained: Future[None] | None = None

    @property
    def loop(self) -> Any:
        """The connection's."""
        assert self.connection is not None  # only the app asks
        return self.connection.loop

    @property
    def ended(self) -> bool:
        """Whether the client sends no more, on any stream."""
        return self.connection is not None and self.connection.ended

    def complete(self, exchange: Any) -> None:
        """The response is complete."""
        assert self.connection is not None  # it is the app's
        self.connection.complete(self)

    @property
    def outbound(self) -> object:
        """Not None while the client has to take something first."""
        return self.left or (self.connection and self.connection.outbound)

    def send_file(self, file: int, offset: int, count: int) -> None:
        """A range of a regular file: the connection reads it, in the next round of its event loop."""
        super().send_file(file, offset, count)
        assert self.connection is not None  # it is the app's
        self.loop.soon(self.connection, self.connection.go_on)

    @property
    def awaited(self) -> bool:
        """Whether the app waits for more of the body."""
        return self.inflow is not None and self.inflow.awaited

    def receive(self, data: bytes) -> None:
        """A piece of the request's body."""
        if self.inflow is None or self.refused:
            return
        self._size += len(data)
        if self._size > self.conversation.http.body:
            self.inflow.fail()
            self.refused = 413
        elif data:
            self.inflow.feed(data)

    def finish(self) -> None:
        """The request is complete."""
        self.received = True
        if self.inflow is not None:
            self.inflow.finish()

    def close(self) -> None:
        """The stream is over. What was not taken of its body no longer counts against the connection's window."""
        super().close()
        if self.inflow is not None and self.inflow.size:
            self.conversation.acknowledge(self.number, len(self.inflow.take()))
        if not self._done:
            self.gone = True
            if self.inflow is not None:
                self.inflow.fail()
        self.wake()

    def wake(self) -> None:
        """Something has changed for who waits."""
        if self.outbound is None or self.gone or self.answered:
            drained, self._drained = self._drained, None
            if drained is not None and not drained.done():
                drained.set_result(None)
        step = SERVING if self.connection is None else self.loop.stopping.step
        if self._news is not None and (self.gone or self.answered or self.ended or step != SERVING):
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
            await inflow.more(self.loop.events)
        if inflow.failed:
            return None
        data = inflow.take() if inflow.size else b""
        if data:
            self.conversation.acknowledge(self.number, len(data))
            assert self.connection is not None  # it is the app's
            self.connection.flush()
        return data


class TasksConversation(Http2Conversation):
    """``begun``: streams that have no task yet, oldest first."""

    def __init__(self, http: Http, peer: Peer) -> None:
        super().__init__(http, peer)
        self.begun: deque[TaskStream] = deque()

    @property
    def streams(self) -> list[TaskStream]:
        """All that are open."""
        return list(self._streams.values())  # type: ignore[arg-type]

    def acknowledge(self, number: int, size: int) -> None:
        """The app has taken so many bytes of a stream's body: the client may send as many more."""
        try:
            self.h2.acknowledge_received_data(size, number)
        except ProtocolError:
            return  # the stream was reset meanwhile, and the connection's window with it

    def ended(self) -> None:
        """The client sends no more. Who has asked and ended its side may still be answered."""
        self._over = self.mute = True
        for stream in self.streams:
            if not stream.received:
                self.forget(stream)

    def forget(self, stream: Http2Stream) -> None:
        """The stream is done; one that was reset before it was begun never is, so nobody is called for it."""
        super().forget(stream)
        if self.begun and stream in self.begun:
            self.begun.remove(stream)  # type: ignore[arg-type]

    def _begin(self, event: RequestReceived) -> None:
        assert event.stream_id is not None  # h2 always says which
        assert event.headers is not None
        stream = TaskStream(self, event.stream_id)
        self._streams[event.stream_id] = stream
        stream.begin(event.headers, ended=event.stream_ended is not None)
        if event.stream_ended is None:
            stream.inflow = stream.request.body = Inflow()  # type: ignore[assignment]
        self.begun.append(stream)

    def _take(self, event: Any) -> None:
        if isinstance(event, StreamEnded):
            stream = self._streams.get(event.stream_id or 0)
            if stream is not None:
                stream.finish()
        else:
            super()._take(event)

    def _body(self, event: DataReceived) -> None:
        number, data = event.stream_id or 0, event.data or b""
        stream = self._streams.get(number)
        if stream is not None:
            stream.receive(data)
        waits = stream is not None and not stream.refused
        kept = len(data) if waits else 0  # acknowledged when the app has taken it
        if (size := (event.flow_controlled_length or 0) - kept) > 0:
            self.acknowledge(number, size)

    def _drop(self) -> None:
        self.begun.clear()
        super()._drop()
