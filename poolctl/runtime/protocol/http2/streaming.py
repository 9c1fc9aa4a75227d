"""The worker's half of an HTTP/2 connection, for apps that read a body as it arrives.

    bytes -> h2 -> streams that have begun -> the app -> frames, as far as the windows allow

A stream begins with its head, and the app takes the body as it arrives. Bytes are acknowledged when the app takes them,
not when they arrive: so the window of a stream whose app does not read closes, and the client has to wait.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any

from h2.events import DataReceived, RequestReceived, StreamEnded
from h2.exceptions import ProtocolError

from poolctl.runtime.protocol.failure import Failure
from poolctl.runtime.protocol.http.forwarded import Origins
from poolctl.runtime.protocol.http.inflow import Inflow
from poolctl.runtime.protocol.http.limits import HttpLimits
from poolctl.runtime.protocol.http2.conversation import Http2Conversation
from poolctl.runtime.protocol.http2.stream import Http2Stream
from poolctl.runtime.task import Peer


class IncomingStream(Http2Stream):
    """A stream that begins with its head. ``inflow``: its body, if it has one; ``gone``: it was closed before the app
    had finished; ``changed``: called when it ends, if set."""

    conversation: StreamingHttp2

    def __init__(self, conversation: StreamingHttp2, number: int) -> None:
        super().__init__(conversation, number)
        self.inflow: Inflow | None = None
        self.gone = False
        self.changed: Callable[[], None] | None = None
        self._size = 0  # bytes of the body received so far

    @property
    def awaited(self) -> bool:
        """Whether a reader waits for more of the body."""
        return self.inflow is not None and self.inflow.awaited

    def receive(self, data: bytes) -> None:
        """Add a part of the request's body, unless the request was refused."""
        if self.inflow is None or self.refused:
            return
        self._size += len(data)
        if self._size > self.conversation.http.body:
            self.inflow.fail()
            self.refused = Failure.CONTENT_TOO_LARGE
        elif data:
            self.inflow.feed(data)

    def take(self, inflow: Inflow) -> bytes:
        """Remove and return the received part of the body, and let the client send as many bytes again."""
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
        """The stream has ended. Untaken bytes of its body no longer count against the connection's window."""
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
    """One connection, for async apps. ``begun``: new streams whose task has not been started, oldest first."""

    def __init__(self, http: HttpLimits, peer: Peer, origins: Origins | None = None) -> None:
        super().__init__(http, peer, origins)
        self.begun: deque[IncomingStream] = deque()

    @property
    def streams(self) -> list[IncomingStream]:
        """All open streams."""
        return list(self._streams.values())  # type: ignore[arg-type]

    def acknowledge(self, number: int, size: int) -> None:
        """Let the client send ``size`` more bytes, because that many of a stream's body were taken."""
        try:
            self.h2.acknowledge_received_data(size, number)
        except ProtocolError:
            return  # the stream was reset in the meantime

    def ended(self) -> None:
        """The client has finished sending: drop incomplete streams; complete ones may still be answered."""
        self._over = self.mute = True
        for stream in self.streams:
            if not stream.received:
                self.forget(stream)

    def forget(self, stream: Http2Stream) -> None:
        """Remove a stream that is done. If it was reset before its task was started, none is."""
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
            stream.inflow = stream.request.inflow = Inflow()
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
        stored = stream is not None and not stream.refused
        kept = len(data) if stored else 0  # acknowledged when the app takes it
        if (size := (event.flow_controlled_length or 0) - kept) > 0:
            self.acknowledge(number, size)

    def _drop(self) -> None:
        self.begun.clear()
        super()._drop()
