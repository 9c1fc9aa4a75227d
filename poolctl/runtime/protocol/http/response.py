"""Sends one HTTP response: framing (RFC 9112, 6), persistence (RFC 9112, 9.3), and as few sends as possible.

Call ``begin``, then either ``whole`` with the complete body, which takes one send if it is small; or ``write`` for each
part, the first of which is sent together with the head, and ``finish``. The file is long because framing and
persistence depend on all that is known of a response, which is kept here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Final, TypeAlias

from mypy_extensions import mypyc_attr

from poolctl.runtime.buffers.file_range import read_range
from poolctl.runtime.protocol.http.encode import (
    HAS_CLOSE,
    HAS_LENGTH,
    HAS_SERVER_OR_DATE,
    MEMO_ENTRIES,
    MEMO_LINE_BYTES,
    Line,
    Status,
    encode_header,
    known_lines,
    known_statuses,
    server_and_date,
    server_or_date,
    status_line,
)
from poolctl.runtime.protocol.http.request import HttpRequest
from poolctl.runtime.protocol.output import Output

JOINED_BYTES: Final = 64 * 1024  # bytes of a body that are joined with the head, or with each other
UNKNOWN_LENGTH: Final = -1
WITHOUT: Final = {
    204: UNKNOWN_LENGTH,
    205: 0,
}  # the Content-Length of statuses without a body; 204 must not have one (RFC 9110, 8.6 and 15.3.6)
FEW_HEADERS: Final = 6  # headers of a head that is remembered as a whole

# A head as it was sent, and the Server and Date lines in it: of a response that closes its connection, and of one that
# keeps it. Saves building it again within a second.
SentHeads: TypeAlias = list[tuple[bytes, bytes]]

# The results of ``begin`` by status and headers; any thread may add, and a full memo is emptied. Saves the pass over
# the headers. The heads are None if other lines than those depend on the request.
known_heads: Final[dict[tuple[Any, ...], tuple[Status, int, int, bytes, SentHeads | None]]] = {}


@mypyc_attr(allow_interpreted_subclasses=True)
class HttpResponse:
    """The answer to ``request``, sent through ``out``.

    ``keep``      whether the connection can be kept; final after ``whole`` or ``finish``
    ``mismatch``  how the body differs from the length that the app declared, for the log; empty if it does not
    """

    __slots__ = (
        "_bodiless",
        "_chunked",
        "_headed",
        "_kinds",
        "_left",
        "_length",
        "_lines",
        "_sent",
        "_status",
        "keep",
        "mismatch",
        "out",
        "request",
    )

    _sent: SentHeads | None  # of this head, if it is remembered

    def __init__(self, request: HttpRequest, out: Output) -> None:
        self.request = request
        self.out = out
        self._status: Status | None = None
        self._headed = False  # the head was passed to ``out``
        self.keep = True
        self.mismatch = ""

    @property
    def headed(self) -> bool:
        """Whether the head was sent."""
        return self._headed

    @property
    def started(self) -> bool:
        """Whether ``begin`` was called, even if nothing was sent."""
        return self._status is not None

    def begin(self, status: str, headers: Iterable[Any], encode: Callable[[Any], Line] = encode_header) -> None:  # noqa: C901, PLR0915  # one pass over the headers
        """Set the status and headers, without sending them; a second call replaces the first.

        ``encode`` encodes a header that is not in the memo. Raises TypeError or ValueError for an invalid one.
        """
        heads = known_heads
        key: tuple[Any, ...] = ()
        if type(headers) is list and len(headers) <= FEW_HEADERS:
            key = (status, *headers)
            try:
                found = heads.get(key)
            except TypeError:  # a header that is a list is not hashable
                key = ()
            else:
                if found is not None:
                    self._status, self._kinds, self._length, self._lines, self._sent = found
                    return
        kinds = 0
        length = UNKNOWN_LENGTH
        lines = []
        for header in headers:
            line = known_lines.get(header) if type(header) is tuple else None
            if line is None:
                line = encode(header)
                key = ()  # a head with a new line may never be repeated
            if line[1]:
                kinds |= line[1]
                if line[1] == HAS_LENGTH:
                    if length not in (UNKNOWN_LENGTH, line[2]):
                        raise ValueError("Content-Length headers with different values; send one")
                    if length == line[2]:
                        continue
                    length = line[2]
                elif line[1] == HAS_CLOSE:
                    self.out.last = True
            lines.append(line[0])
        known = known_statuses.get(status) or status_line(status)
        if known.code in WITHOUT:
            lines = [line for line in lines if not line.lower().startswith(b"content-length:")]
            kinds &= ~HAS_LENGTH
            length = WITHOUT[known.code]
        self._kinds = kinds
        self._length = length
        self._lines = encoded = b"".join(lines)
        self._status = known
        self._sent = None
        if key and not kinds & HAS_CLOSE and len(encoded) <= MEMO_LINE_BYTES:
            if len(heads) >= MEMO_ENTRIES:
                heads.clear()
            plain = kinds == HAS_LENGTH and not known.bodiless
            heads[key] = known, kinds, length, encoded, [(b"", b""), (b"", b"")] if plain else None

    def only(self, body: bytes) -> None:
        """Send the response with this complete body."""
        size = len(body)
        if size > JOINED_BYTES or self._length not in (UNKNOWN_LENGTH, size):
            self.whole((body,))
            return
        if size or self.request.method != "HEAD":  # for HEAD, b"" need not be the body of GET (8.6)
            self._length = size
        head = self._head()
        self.out.send(head if self._bodiless else head + body)
        self._left = 0

    def whole(self, chunks: Sequence[bytes]) -> None:
        """Send the response with a complete body, given in chunks."""
        body = chunks[0] if len(chunks) == 1 else None
        size = len(body) if body is not None else sum(map(len, chunks))
        if self._length == UNKNOWN_LENGTH:
            if size or self.request.method != "HEAD":  # as in ``only``
                self._length = size
        elif self._length != size and not self._silent():
            for chunk in chunks:
                self.write(chunk)
            self.finish()
            return
        head = self._head()
        if self._bodiless or not size:
            self.out.send(head)
        elif size <= JOINED_BYTES:
            self.out.send(head + body if body is not None else b"".join((head, *chunks)))
        else:
            self.out.send(head)
            for piece in _joined(chunks):
                self.out.send(piece)
        self._left = 0

    def write(self, chunk: bytes) -> None:
        """Send a part of the body now, with the head before the first; an empty part does nothing."""
        if not chunk:
            return
        head = b"" if self._headed else self._head()
        if self._bodiless:
            if head:
                self.out.send(head)
            return
        if self._chunked:
            framed = b"%s%x\r\n%s\r\n" % (head, len(chunk), chunk)
            self.out.send(framed)
            return
        if self._length != UNKNOWN_LENGTH:
            if len(chunk) > self._left:
                self.mismatch = f"the body is longer than its Content-Length of {self._length}, and was truncated"
                chunk = chunk[: self._left]
            self._left -= len(chunk)
        if head and len(chunk) <= JOINED_BYTES:
            self.out.send(head + chunk)
            return
        if head:
            self.out.send(head)
        if chunk:
            self.out.send(chunk)

    def write_file(self, file: int, offset: int, count: int) -> None:  # noqa: C901  # a branch for each framing
        """Send ``count`` bytes of a regular file, starting at ``offset``, as a part of the body.

        The file must have had them a moment ago. If nothing was sent and no length is known, they are the whole body.
        """
        if not self._headed:
            if count <= JOINED_BYTES and not self._silent():
                data = read_range(file, offset, count)  # one send with the head
                if self._length == UNKNOWN_LENGTH:
                    self._length = len(data)
                self.write(data)
                return
            if self._length == UNKNOWN_LENGTH:
                self._length = count
            self.out.send(self._head())
        if self._bodiless:
            return
        if self._chunked:
            if count:
                self.out.send(b"%x\r\n" % count)
                self.out.send_file(file, offset, count)
                self.out.send(b"\r\n")
            return
        if self._length != UNKNOWN_LENGTH:
            if count > self._left:
                self.mismatch = f"the body is longer than its Content-Length of {self._length}, and was truncated"
                count = self._left
            self._left -= count
        if count:
            self.out.send_file(file, offset, count)

    def finish(self) -> None:
        """End the body; sends the head if nothing was sent."""
        if not self._headed:
            if self._length == UNKNOWN_LENGTH and self.request.method != "HEAD":
                self._length = 0
            head = self._head()
            if self._chunked:
                head += b"0\r\n\r\n"
            self.out.send(head)
        elif self._chunked and not self._bodiless:
            self.out.send(b"0\r\n\r\n")
        if self._length > 0 and self._left > 0 and not self._bodiless:
            self.mismatch = f"the body is {self._left} bytes short of its Content-Length of {self._length}"
            self.keep = False

    def _silent(self) -> bool:
        """Return whether the response has no body, whatever the app writes (RFC 9110, 9.3.2, 15.3.5 and 15.4.5)."""
        assert self._status is not None
        return self._status.bodiless or self.request.method == "HEAD"

    def _head(self) -> bytes:  # noqa: PLR0915  # the usual head first: a call for it would cost as much as half of it
        self._headed = True
        request = self.request
        sent = self._sent
        if sent is not None and request.version == "1.1":
            self.keep = keep = request.keep_alive and not self.out.last
            before, head = sent[keep]
            common = server_and_date()
            if before is not common:
                end = b"\r\n" if keep else b"Connection: close\r\n\r\n"
                assert self._status is not None
                head = b"%b%b%b%b" % (self._status.encoded, common, self._lines, end)
                sent[keep] = common, head
            self._bodiless = request.method == "HEAD"
            self._chunked = False
            self._left = self._length
            return head
        status = self._status
        assert status is not None
        kinds = self._kinds
        lines = self._lines
        length = self._length
        newest = request.version == "1.1"
        keep = request.keep_alive and not self.out.last
        self._bodiless = status.bodiless or request.method == "HEAD"
        self._chunked = False
        self._left = length
        if length != UNKNOWN_LENGTH:
            if not kinds & HAS_LENGTH and not status.bodiless:
                lines += b"Content-Length: %d\r\n" % length
        elif not self._bodiless:
            if newest:
                self._chunked = True
                lines += b"Transfer-Encoding: chunked\r\n"
            else:
                keep = False  # the end of the connection ends the body
        self.keep = keep
        if not keep:
            lines += b"Connection: close\r\n"
        elif not newest:
            lines += b"Connection: keep-alive\r\n"
        common = server_or_date(kinds) if kinds & HAS_SERVER_OR_DATE else server_and_date()
        return b"%b%b%b\r\n" % (status.encoded, common, lines)


def _joined(chunks: Sequence[bytes]) -> Iterator[bytes]:
    """Yield the same bytes in larger pieces: small chunks are joined."""
    small: list[bytes] = []
    size = 0
    for chunk in chunks:
        if small and size + len(chunk) > JOINED_BYTES:
            yield b"".join(small)
            small, size = [], 0
        small.append(chunk)
        size += len(chunk)
    yield b"".join(small) if len(small) > 1 else small[0]
