"""One stream of an HTTP/2 connection: its request and its response.

Apps answer in HTTP/1, whose head has all the information that is needed. The stream is their Output: it turns the head
into a HEADERS frame and the body into DATA frames, as far as the client's windows allow, and buffers the rest.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final, Protocol

from h2.connection import H2Connection
from h2.errors import ErrorCodes

from poolctl.errors import ClientGone
from poolctl.runtime.buffers.observer import Observer
from poolctl.runtime.buffers.outbound import Outbound
from poolctl.runtime.buffers.spool import Spool
from poolctl.runtime.protocol.failure import Failure
from poolctl.runtime.protocol.http.limits import HttpLimits
from poolctl.runtime.protocol.http.request import HttpRequest, Provenance
from poolctl.runtime.protocol.http.response import UNKNOWN_LENGTH
from poolctl.runtime.protocol.http2.head import refusal_of_head
from poolctl.runtime.protocol.output import Output

HTTP1_ONLY = frozenset((b"connection", b"keep-alive", b"transfer-encoding"))  # RFC 9113, 8.2.2
FRAMED_BYTES: Final = 256 * 1024  # bytes of a response that are framed before other streams have their turn


class StreamOwner(Provenance, Protocol):
    """What a stream needs of its connection's conversation."""

    http: HttpLimits
    h2: H2Connection
    lost: bool  # the client left while a stream was answered
    mute: bool  # the client has finished sending, so it opens no window
    framed: int  # bytes of responses framed since the last check

    def frames(self) -> bytes:
        """Remove and return the frames that wait to be sent."""

    def forget(self, stream: Http2Stream) -> None:
        """Remove a stream that is done."""


class Http2Stream:
    """One stream. ``refused``: the status that answers the request instead of the app; 0 while the request is valid.
    ``out``: where frames go while the app answers."""

    out: Output | None = None
    observer: Observer | None = None

    def __init__(self, conversation: StreamOwner, number: int) -> None:
        self.conversation = conversation
        self.number = number
        self.request: HttpRequest
        self.refused: int = 0
        self.received = False  # the request is complete
        self.began = False
        self.last = False
        self.left: Outbound | None = None  # the part of the response that waits for a window
        self._spool: Spool | None = None
        self._expected = UNKNOWN_LENGTH  # missing bytes of the response's body
        self._silent = False  # the response has no body, whatever its Content-Length
        self._done = False  # the app has finished
        self._closed = False  # END_STREAM or RST_STREAM was sent

    # in

    def begin(self, headers: Iterable[tuple[Any, ...]], *, ended: bool) -> None:
        """Read the request's head: pseudo-headers, then the others, which h2 has checked (RFC 9113, 8.2 and 8.3).
        ``ended``: no body follows."""
        pseudo: dict[bytes, bytes] = {}
        found: list[tuple[bytes, bytes]] = []
        for name, value in headers:
            if name[:1] == b":":
                pseudo[name] = value
            else:
                found.append((name, value))
        if b":authority" in pseudo:
            found = [(b"host", pseudo[b":authority"]), *(each for each in found if each[0] != b"host")]
        target = pseudo.get(b":path", b"")
        method = pseudo[b":method"].decode("latin-1")
        http = self.conversation.http
        self.refused = refusal_of_head(http, pseudo[b":method"], target, found, ended=ended) or 0
        self.request = HttpRequest(method, target, "2", found, True, self.conversation)

    @property
    def line(self) -> bytes:
        """The request line, as HTTP/1 would have it."""
        return b"%b %b HTTP/2" % (self.request.method.encode("latin-1"), self.request.target)

    def receive(self, data: bytes) -> None:
        """Store a part of the request's body."""
        if self.refused:
            return
        if self._spool is None:
            self._spool = Spool(self.conversation.http.spool)
        try:
            self._spool.write(data)
        except OSError:  # the client can do nothing about a full disk
            self.refused = Failure.NOT_STORED
        if self._spool.size > self.conversation.http.body:
            self.refused = Failure.CONTENT_TOO_LARGE

    def finish(self) -> None:
        """The request is complete: set its body."""
        self.received = True
        if self._spool is not None:
            self.request.length = self._spool.size
            self.request.body = self._spool.file()

    # out

    def send(self, data: bytes) -> None:
        """Send a part of the response: the head first, then the body. Raises ClientGone."""
        if self._closed and not self._silent:
            raise ClientGone("the stream was reset")
        if self.observer is not None:
            if self.began:
                self.observer.more(len(data))
            else:
                self.observer.first(data)
        if self.began:
            self._body(data)
        else:
            self.began = True
            head, _, body = data.partition(b"\r\n\r\n")
            self._head(head)
            if body:
                self._body(body)
        if not self._closed and self.out is not None:
            self._flush(self.out)

    def _flush(self, out: Output) -> None:
        """Send each part before the app produces the next."""
        try:
            out.send(self.conversation.frames())
        except ClientGone:
            self.conversation.lost = True
            raise

    def send_file(self, file: int, offset: int, count: int) -> None:
        """Send ``count`` bytes of a regular file from ``offset`` on, read as the windows open. Raises ClientGone."""
        if self._closed and not self._silent:
            raise ClientGone("the stream was reset")
        if self.observer is not None:
            self.observer.more(count)
        if self._silent:
            return
        if self._expected != UNKNOWN_LENGTH:
            self._expected -= count
        if self.left is None:
            self.left = Outbound()
        self.left.add_file(file, offset, count)

    def discard(self) -> None:
        """Drop what the client has not taken: the response will not be completed, and ``end`` resets the stream."""
        if self.left is not None:
            self.left.close()
            self.left = None

    def end(self, whole: bool) -> None:
        """The app has finished. ``whole``: without an error."""
        self._done = True
        if self._closed:
            self.conversation.forget(self)
        elif not whole or self._expected > 0:
            self.cut()
        elif self.push():
            self.conversation.forget(self)

    def push(self) -> bool:
        """Frame what the windows allow now, up to TURN. Returns whether the stream is done."""
        left, turn = self.left, FRAMED_BYTES
        try:
            while left is not None and not left.empty and turn > 0 and (room := self._room()):
                turn -= room
                self._frame(left.take(room))
        except ClientGone:  # a file became shorter
            self.cut()
            return True
        if left is not None and left.empty:
            left.close()
            left = self.left = None
        if left is None and self._done and not self._closed:
            self._closed = True
            self.conversation.h2.end_stream(self.number)
        return self._closed

    def close(self) -> None:
        """Discard the rest of the response."""
        self._closed = True
        if self.left is not None:
            self.left.close()
            self.left = None

    def _head(self, head: bytes) -> None:
        first, *lines = head.split(b"\r\n")
        headers = [(b":status", first[9:12])]
        for line in lines:
            name, _, value = line.partition(b": ")
            lowered = name.lower()
            if lowered == b"content-length":
                self._expected = int(value)
            if lowered not in HTTP1_ONLY:
                headers.append((lowered, value))
        self._silent = self.request.method == "HEAD" or first[9:12] in (b"204", b"304")
        if self._silent or self._expected == 0:
            self._expected = 0
            self._closed = True
        self.conversation.h2.send_headers(self.number, headers, end_stream=self._closed)

    def _body(self, data: bytes) -> None:
        if self._silent:
            return
        if self._expected != UNKNOWN_LENGTH:
            self._expected -= len(data)
        view = memoryview(data)
        while view and self.left is None and (room := self._room()):
            self._frame(bytes(view[:room]), last=self._expected == 0 and len(view) <= room)
            view = view[room:]
        if view:
            if self.conversation.mute:
                self.cut()
                raise ClientGone("the window is closed, and the client sends no more")
            if self.left is None:
                self.left = Outbound()
            self.left.add(view)

    def _frame(self, data: bytes, last: bool = False) -> None:
        self._closed = last
        self.conversation.framed += len(data)
        self.conversation.h2.send_data(self.number, data, end_stream=last)

    def _room(self) -> int:
        """Return the bytes that may be sent now, by both windows and the frame size."""
        h2 = self.conversation.h2
        return max(0, min(h2.local_flow_control_window(self.number), h2.max_outbound_frame_size))

    def cut(self) -> None:
        """Reset the stream, so that the client can tell that the response is incomplete."""
        self.conversation.h2.reset_stream(self.number, ErrorCodes.INTERNAL_ERROR)
        self.conversation.forget(self)
