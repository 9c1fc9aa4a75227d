"""The worker's half of an HTTP/2 connection (RFC 9113), framed by h2.

    bytes -> h2 -> complete streams -> answer(stream) -> frames, as far as the windows allow
                                                         the rest is kept until the client opens a window

A connection is the unit that a worker owns, and its streams are answered one at a time, in the order in which they were
complete: the app is blocking code, so answering two at once would need a second worker. This class does no I/O: the
owner of the connection sends the ``frames``.

The file is long because every event of h2 changes the one table of streams.
"""

from __future__ import annotations

from collections import deque
from typing import Any, Final

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.errors import ErrorCodes
from h2.events import (
    ConnectionTerminated,
    DataReceived,
    Event,
    PingAckReceived,
    RequestReceived,
    StreamEnded,
    StreamReset,
)
from h2.exceptions import ProtocolError
from h2.settings import SettingCodes, Settings

from poolctl.runtime.protocol import Conversation
from poolctl.runtime.protocol.failure import Failure
from poolctl.runtime.protocol.http.forwarded import Origins
from poolctl.runtime.protocol.http.limits import HttpLimits
from poolctl.runtime.protocol.http2.frames import FrameTooLongError, FrameWatch
from poolctl.runtime.protocol.http2.goodbye import Goodbye
from poolctl.runtime.protocol.http2.stream import Http2Stream
from poolctl.runtime.task import Peer

OPEN_STREAMS: Final = 100  # streams that a client may have open at once
# streams that h2 may track at once; those beyond OPEN_STREAMS are refused and forgotten immediately
KNOWN_STREAMS: Final = 2000
# streams that a client may cancel on one connection; more is an attack (CVE-2023-44487)
CANCELLED_STREAMS: Final = 1000


class Http2Settings(Settings):
    """Settings that announce STREAMS to the client but let h2 accept KNOWN. The client may not have read them yet, and
    for one stream too many h2 would end the connection, where only the stream must be refused (RFC 9113, 5.1.2)."""

    max_concurrent_streams = KNOWN_STREAMS  # h2 enforces the attribute, and announces the item


class Http2Conversation(Conversation):
    """One connection. ``complete``: streams that wait to be answered, oldest first."""

    forgets = True
    multiplexed = True

    def __init__(self, http: HttpLimits, peer: Peer, origins: Origins | None = None) -> None:
        self.peer = peer
        self.failure: Failure | None = None
        self.reply = b""  # always empty: see ``frames``
        self.requests = deque()  # always empty: see ``complete``
        self.complete: deque[Http2Stream] = deque()
        self.memo: Any = None  # for the app
        self.origins = origins  # None if the peer is not a trusted proxy
        self.http = http
        self._streams: dict[int, Http2Stream] = {}
        self._resets = 0
        self._over = False
        self.mute = False  # the client has finished sending, so it opens no window
        self.framed = 0  # bytes of responses framed since the last call of ``stands_still``
        self.lost = False  # the client left while a stream was answered, so the others need no answer
        self.h2 = H2Connection(H2Configuration(client_side=False, header_encoding=False))
        self.h2.local_settings = Http2Settings(
            client=False,
            initial_values={
                SettingCodes.MAX_CONCURRENT_STREAMS: OPEN_STREAMS,
                SettingCodes.MAX_HEADER_LIST_SIZE: http.head,
                SettingCodes.ENABLE_CONNECT_PROTOCOL: 0,
            },
        )
        self.h2.decoder.max_header_list_size = http.head  # even before the client has acknowledged it
        self.h2.initiate_connection()
        self._frames = FrameWatch(self.h2.max_inbound_frame_size)
        self._goodbye = Goodbye(self.h2)

    def frames(self) -> bytes:
        """Remove and return the frames that wait to be sent."""
        before = self._goodbye.frames
        if before:
            self._goodbye.frames = b""
            return before + self.h2.data_to_send()
        return self.h2.data_to_send()

    def leave(self, now: float) -> None:
        """Take the next step to the end of the connection, if it is time (see ``Goodbye``). Called again and again from
        the beginning of a drain on. ``now``: seconds of the monotonic clock."""
        if not self._over and not self.failure:
            self._goodbye.leave(now, busy=bool(self._streams))

    @property
    def told(self) -> bool:
        """Whether all streams have come that the client opened before it knew that the connection ends."""
        return self._over or self._goodbye.last is not None

    def push(self) -> int:
        """Frame what the windows allow of each waiting response, up to a turn's worth. Returns how many bytes."""
        count = 0
        for stream in list(self._streams.values()):
            left = stream.left
            if left is not None:
                count += left.left
                if stream.push():
                    self.forget(stream)
                else:
                    count -= left.left
        return count

    @property
    def open_streams(self) -> list[Http2Stream]:
        """All streams that are not done."""
        return list(self._streams.values())

    @property
    def broken(self) -> bool:
        """Whether the connection ends because of what the client sent."""
        return bool(self.failure)

    @property
    def pending(self) -> bool:
        """Whether a stream is open: incomplete, waiting for its answer, or waiting for a window."""
        return bool(self._streams)

    @property
    def in_body(self) -> bool:
        """Always True: each frame restarts the timeout."""
        return True

    @property
    def over(self) -> bool:
        """Whether the connection is done: no further requests will arrive, and no stream is open."""
        return self._over and not self._streams

    def receive(self, data: bytes) -> None:
        """Parse bytes from the client, split anywhere. Never raises because of what a client sent."""
        if self.failure:
            return
        try:
            for event in self.h2.receive_data(self._frames.sift(data)):
                self._take(event)
                if self.broken:
                    return
            self._over |= self._frames.leaving
        except FrameTooLongError:
            self.h2.close_connection(ErrorCodes.FRAME_SIZE_ERROR)
            self._fail()
        except ProtocolError:  # h2 has queued a GOAWAY with the reason
            self._fail()

    def ended(self) -> None:
        """The client has finished sending: drop incomplete streams."""
        self._over = self.mute = True
        for stream in [each for each in self._streams.values() if not each.received]:
            self.forget(stream)

    def stands_still(self) -> bool:
        """Return whether a response waits for a window, and no bytes were framed since the last call."""
        framed, self.framed = self.framed, 0
        return not framed and self.stalled

    @property
    def stalled(self) -> bool:
        """Whether a response waits for a window."""
        return any(stream.left is not None for stream in self._streams.values())

    def give_up(self) -> None:
        """Reset the streams that wait for a window which the client, having finished sending, can no longer open."""
        if self.mute:
            for stream in list(self._streams.values()):
                if stream.left is not None:
                    stream.cut()

    def last_words(self, refusal: bytes) -> bytes:
        """Return the last frames, with GOAWAY, instead of ``refusal``: a status would belong to a stream."""
        if not self.failure and self._goodbye.last is None:
            self.h2.close_connection(ErrorCodes.NO_ERROR)
        return self.frames()

    def forget(self, stream: Http2Stream) -> None:
        """Remove a stream that is done, and close it."""
        if self._streams.pop(stream.number, None) is not None:
            stream.close()

    def _fail(self) -> None:
        self.failure = Failure.MALFORMED
        self._drop()

    def _drop(self) -> None:
        self.complete.clear()
        for stream in list(self._streams.values()):
            self.forget(stream)

    def _take(self, event: Event) -> None:
        if isinstance(event, RequestReceived):
            if len(self._streams) < OPEN_STREAMS and not self._goodbye.before(event.stream_id or 0):
                self._begin(event)
            else:  # the client may retry it (RFC 9113, 8.7)
                self.h2.reset_stream(event.stream_id or 0, ErrorCodes.REFUSED_STREAM)
                self._count_reset()
        elif isinstance(event, DataReceived):
            self._body(event)
        elif isinstance(event, StreamEnded):
            stream = self._streams.get(event.stream_id or 0)
            if stream is not None:
                stream.finish()
                self.complete.append(stream)
        elif isinstance(event, StreamReset):
            self._reset(event)
        elif isinstance(event, PingAckReceived):
            self._goodbye.answered(event.ping_data or b"")
        elif isinstance(event, ConnectionTerminated):  # h2 sends nothing more after it
            self._over = True
            self._drop()

    def _begin(self, event: RequestReceived) -> None:
        assert event.stream_id is not None  # h2 always sets it
        assert event.headers is not None
        stream = self._streams[event.stream_id] = Http2Stream(self, event.stream_id)
        self._begin_stream(stream, event)

    def _begin_stream(self, stream: Http2Stream, event: RequestReceived) -> None:
        stream.begin(event.headers or (), ended=event.stream_ended is not None)
        if self.origins is not None:
            self.origins.place(stream.request, self)

    def _body(self, event: DataReceived) -> None:
        number = event.stream_id or 0
        self.h2.acknowledge_received_data(event.flow_controlled_length or 0, number)
        stream = self._streams.get(number)
        if stream is not None:
            stream.receive(event.data or b"")

    def _reset(self, event: StreamReset) -> None:
        stream = self._streams.get(event.stream_id or 0)
        if stream is not None:
            if stream in self.complete:
                self.complete.remove(stream)
            self.forget(stream)
        self._count_reset()

    def _count_reset(self) -> None:
        self._resets += 1
        if self._resets > CANCELLED_STREAMS:
            self.h2.close_connection(ErrorCodes.ENHANCE_YOUR_CALM)
            self._fail()
