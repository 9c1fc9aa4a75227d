"""The front's half of an HTTP connection: whole requests as raw bytes, for a worker to parse."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, BinaryIO

from httptools import HttpParserError, HttpRequestParser

from poolctl.runtime.protocol import Framer
from poolctl.runtime.protocol.http_body import Keep
from poolctl.runtime.protocol.http_reader import END, HttpReader
from poolctl.runtime.protocol.http_request import HttpRequest, Spool

if TYPE_CHECKING:
    from poolctl.runtime.protocol.http import Http

INLINE = 64 * 1024  # a larger request travels as a file
# Headers, in lower case, whose meaning goes beyond the one request at hand: they take the thorough way.
SLOW = (b"\r\ncontent-length:", b"\r\ntransfer-encoding:", b"\r\nexpect:", b"\r\nupgrade:")
COMMON = (b"GET ", b"HEAD ", b"OPTIONS ", b"DELETE ")


class _Nothing:
    """Callbacks for a parser that shall only check."""

    __slots__ = ()


class HttpFramer(HttpReader, Framer):
    """Finds requests by the same reader as the conversation; the usual ones by a shorter way to the same verdict."""

    def __init__(self, http: Http) -> None:
        super().__init__(http)
        self._complete: deque[bytes | BinaryIO] = deque()
        self._check = HttpRequestParser(_Nothing())
        self._raw: bytes | None = None
        self._spool: Spool | None = None

    def receive(self, data: bytes) -> None:
        """Take bytes as they came from the client, split anywhere."""
        if self.failure or self._over or not data:
            return
        if not self._held and self._body is None and self._is_usual(data):
            try:
                self._check.feed_data(data)
            except HttpParserError:
                self.failure = 400
            else:
                self._complete.append(data)
        else:
            self._read(data)

    def _is_usual(self, data: bytes) -> bool:
        """One whole head without a body, nothing after it, and nothing in it that needs a closer look than syntax."""
        size = len(data)
        line = data.find(b"\r\n")
        if (
            data.find(END) != size - 4
            or not data.startswith(COMMON)
            or not data.startswith(b" HTTP/1.1", line - 9)
            or line - 13 > self._http.target
            or size > self._limit
            or data.count(b"\n") - 2 > self._http.headers
        ):
            return False
        lowered = data.lower()
        if lowered.count(b"\r\nhost:") != 1:
            return False
        if lowered.count(b"\r\nconnection:") and (
            lowered.count(b"\r\nconnection:") > 1 or b"\r\nconnection: keep-alive\r\n" not in lowered
        ):
            return False
        return not any(name in lowered for name in SLOW)

    def take(self) -> bytes | BinaryIO | None:
        """The whole bytes of the oldest complete request, and forget them."""
        return self._complete.popleft() if self._complete else None

    def ended(self) -> None:
        """The client sends no more: what was begun is dropped."""
        super().ended()
        self._raw = self._spool = None

    def _begin(self, request: HttpRequest, head: bytes) -> Keep | None:
        self._raw = head
        return None

    def _pass(self, data: bytes, start: int, end: int) -> None:
        if self._spool is None:
            self._spool = Spool(INLINE)
            self._spool.write(self._raw or b"")
        self._spool.write(data[start:end])

    def _finish(self) -> None:
        if self._spool is not None:
            self._complete.append(self._spool.whole())
            self._spool = None
        elif self._raw is not None:
            self._complete.append(self._raw)
        self._raw = None
