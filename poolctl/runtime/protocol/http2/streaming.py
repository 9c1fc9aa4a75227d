"""The worker's half of an HTTP/2 connection for apps that read a body while it comes.

    bytes -> h2 -> streams that have begun -> who answers them -> frames, as far as the windows allow

A stream begins with its head, and its body is given out as it comes. What was taken is acknowledged, not what has come:
so the window of a stream whose app does not read closes, and its client has to wait.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any

from h2.events import DataReceived, RequestReceived, StreamEnded
from h2.exceptions import ProtocolError

from poolctl.runtime.protocol.http.forwarded import Origins
from poolctl.runtime.protocol.http.inflow import Inflow
from poolctl.runtime.protocol.http.limits import HttpLimits
from poolctl.runtime.protocol.http2.conversation import Http2Conversation
from poolctl.runtime.protocol.http2.stream import Http2Stream
from poolctl.runtime.task import Peer


class IncomingStream(Http2Stream):
    """``inflow``: its body, where it has one; ``gone``: the stream or the connection was reset; ``changed``: called
    when it is over, for whoever waits."""

    conversation: StreamingHttp2

    def __init__(self, conversation: StreamingHttp2, number: int) -> None:
        super().__init__(conversation, number)
        self.inflow: Inflow | None = None
        self.gone = False
        self.changed: Callable[[], None] | None = None
        self._size = 0  # bytes of the body so far

    @property
    def awaited(self) -> bool:
        """Whether somebody waits for more of the body."""
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

    def take(self, inflow: Inflow) -> bytes:
        """What has come of the body; the client may send as much again."""
        data = inflow.take() if inflow.size else b""
        if data:
            self.conversation.acknowledge(self.number, len(data))
        return data

    def finish(self) -> None:
        """The request is complete."""
        self.received = True
        if self.inflow is not None:
            self.inflow.finish()

    def close(self) -> None:
        """The stream is over. What was not taken of its body no longer counts against the connection's window."""
        super().close()
        if self.inflow is not None and self.inflow.size:
            self.take(self.inflow)
        if not self._done:
            self.gone = True
            if self.inflow is not None:
                self.inflow.fail()
        if self.changed is not None:
            self.changed()
            self.changed = None


class StreamingHttp2(Http2Conversation):
    """``begun``: streams that the runtime has not begun yet, oldest first."""

    def __init__(self, http: HttpLimits, peer: Peer, origins: Origins | None = None) -> None:
        super().__init__(http, peer, origins)
        self.begun: deque[IncomingStream] = deque()

    @property
    def streams(self) -> list[IncomingStream]:
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
        stream = IncomingStream(self, event.stream_id)
        self._streams[event.stream_id] = stream
        self._begin_stream(stream, event)
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
