"""Splits the bytes of one connection into requests: the common base of the conversation and the framer.

    blank lines | head ... \\r\\n\\r\\n | body (by length or in chunks) | blank lines | head ...

A head is held until its last byte is received, which bounds the parser's memory and makes the result independent of
how the bytes were split. Nothing more is read after a failure, or after the request that the client declared its last.
"""

from __future__ import annotations

import logging
from typing import ClassVar, Final

from mypy_extensions import mypyc_attr

from poolctl.runtime.protocol.failure import Failure
from poolctl.runtime.protocol.http.body import ChunkedBody, Keep, LengthBody
from poolctl.runtime.protocol.http.head import HEAD_END, HeadParser
from poolctl.runtime.protocol.http.limits import HttpLimits
from poolctl.runtime.protocol.http.line import TOKEN_CHARACTERS, malformed

log = logging.getLogger("poolctl.protocol")

CONTINUE: Final = b"HTTP/1.1 100 Continue\r\n\r\n"


@mypyc_attr(allow_interpreted_subclasses=True)
class HttpReader:
    """Subclasses handle the requests: ``_complete`` those without a body, ``_begin`` and ``_finish`` the others."""

    forgets: ClassVar[bool] = True  # a client that resets the connection expects no response

    def __init__(self, http: HttpLimits) -> None:
        self.failure: Failure | None = None
        self.reply = b""
        self._refused = b""  # the refused head, or its beginning
        self._http = http
        self._limit = http.head
        self._head = HeadParser(http.target, http.headers, http.body, http.recent)
        self._held = bytearray()  # the incomplete head
        self._blank = 0  # bytes of blank lines before it
        self._body: LengthBody | ChunkedBody | None = None
        self._over = False  # after the last request, the client's end, or a switch to another protocol

    @property
    def pending(self) -> bool:
        """Whether a request is incomplete."""
        return bool(self._held) or self._body is not None

    @property
    def in_body(self) -> bool:
        """Whether the head of the pending request is complete."""
        return self._body is not None

    @property
    def coming(self) -> LengthBody | ChunkedBody | None:
        """The incomplete body, if there is one."""
        return self._body

    @property
    def line(self) -> bytes:
        """The request line of the refused or late request, or the part of it that was received."""
        begun = self._refused or self._held
        if begun:
            return bytes(begun.partition(b"\r\n")[0])
        return self._head.line if self.failure or self._body is not None else b""

    def receive(self, data: bytes) -> None:
        """Parse bytes from the client, split anywhere."""
        # The usual case first: exactly one head, and nothing pending.
        if data and not (self._held or self._body or self.failure or self._over):
            head = self._head
            if data == head.last:  # what was found in it is still there: saves 4 % of a request (docs/performance.md)
                head.repeated = True
                self._blank = 0
                self._over = not head.keep_alive
                self._complete(data)
                return
            if data[0] > 64 and len(data) <= self._limit:
                _, end, rest = data.partition(HEAD_END)  # its arguments cost less than those of find
                if end and not rest:
                    self._take_head(data, True)
                    return
        if data and not self.failure and not self._over:
            self._read(data)

    def ended(self) -> None:
        """The client has finished sending: drop an incomplete request."""
        self._over = True
        self._body = None
        self._held.clear()

    def clear(self) -> None:
        """Forget all that was received, but for the memo of the last head: it is compared as a whole before it is used,
        and what it remembers depends on nothing else."""
        if self.failure is not None:
            self.failure = None
            self._head = self._head.anew()  # it may have stopped in the middle of a head
        self.reply = b""
        self._refused = b""
        if self._held:
            self._held.clear()
        self._blank = 0
        self._body = None
        self._over = False

    def _complete(self, head: bytes) -> None:
        """Handle a request without a body."""
        raise NotImplementedError

    def _expect(self) -> None:
        """The client waits for 100 Continue before it sends the body (RFC 9110, 10.1.1)."""
        self.reply = CONTINUE

    def _begin(self, head: bytes) -> Keep | None:
        """Handle the head of a request with a body. Returns the function that gets the decoded bytes, if any."""
        raise NotImplementedError

    def _pass(self, data: bytes, start: int, end: int) -> None:
        """``data[start:end]`` is the next part of the raw body."""

    def _finish(self) -> None:
        """Handle the end of the body."""
        raise NotImplementedError

    def _read(self, data: bytes) -> None:
        """Parse bytes, split anywhere."""
        if self._held:
            joined = self._join(data)
            if joined is None:
                return
            data = joined
        position = 0
        while position < len(data) and not self.failure and not self._over:
            position = self._read_head(data, position) if self._body is None else self._read_body(data, position)
        if position < len(data):
            self._rest(data[position:])

    def _rest(self, data: bytes) -> None:
        """Handle bytes after the last request, which belong to the next protocol, if there is one."""

    def _join(self, data: bytes) -> bytes | None:
        """Append ``data`` to the held head. Returns all of it once the head is complete, else None."""
        held = self._held
        searched = max(0, len(held) - 3)
        held += data
        if held.find(HEAD_END, searched, self._limit) < 0:
            if malformed(held, searched, self._limit):
                self._refuse_at_once(bytes(held[: self._limit]))
            elif len(held) >= self._limit:
                self._too_large(bytes(held[: self._limit]))
            return None
        whole = bytes(held)
        held.clear()
        return whole

    def _read_head(self, data: bytes, start: int) -> int:
        """Read one head, or a part of one. Returns where it ends."""
        size = len(data)
        begin = start
        while begin < size and data[begin] in b"\r\n":
            begin += 1
        self._blank += begin - start
        if self._blank > self._limit:
            self.failure = Failure.MALFORMED
            self._refused = b"\r\n"
        if begin == size or self.failure:
            return size
        if data[begin] not in TOKEN_CHARACTERS:  # not a method: a TLS handshake, perhaps
            self._refuse_at_once(data[begin : begin + self._limit])
            return size
        found = data.find(HEAD_END, begin, begin + self._limit)
        if found < 0:
            if malformed(data, begin, begin + self._limit):
                self._refuse_at_once(data[begin : begin + self._limit])
            elif size - begin >= self._limit:
                self._too_large(data[begin : begin + self._limit])
            else:
                self._held += data[begin:]
            return size
        end = found + 4
        self._take_head(data[begin:end], end == size)
        return end

    def _refuse_at_once(self, head: bytes) -> None:
        """Fail now, not after the timeout: ``head`` cannot become a valid request."""
        self.failure = Failure.MALFORMED
        self._refused = head
        self._held.clear()

    def _too_large(self, head: bytes) -> None:
        """Fail: ``head`` has the maximum size, and its end is missing."""
        target = head.partition(b"\r\n")[0].split(b" ")[1:2]
        too_long = bool(target) and len(target[0]) > self._http.target
        self.failure = Failure.TARGET_TOO_LONG if too_long else Failure.HEAD_TOO_LARGE
        self._refused = head
        self._held.clear()

    def _take_head(self, head: bytes, alone: bool) -> None:
        """Handle a complete head. ``alone``: nothing was received after it."""
        self._blank = 0
        parser = self._head
        self.failure = parser.check(head)
        if self.failure:
            self._refused = head
            return
        if not parser.chunked and not parser.length:
            self._over = not parser.keep_alive
            self._complete(head)
            return
        keep = self._begin(head)
        http = self._http
        if parser.chunked:
            self._body = ChunkedBody(http.body, http.head, http.headers, keep)
        else:
            self._body = LengthBody(parser.length, keep)
        if parser.expects and alone:
            self._expect()

    def _read_body(self, data: bytes, start: int) -> int:
        self.reply = b""  # the client did not wait for 100 Continue
        body = self._body
        assert body is not None
        try:
            end = body.take(data, start)
            self._pass(data, start, end)
        except OSError as error:  # the client can do nothing about a full disk
            log.error("cannot store a request body: %s", error)
            self.failure = Failure.NOT_STORED
            self._body = None
            return len(data)
        self.failure = body.failure
        if self.failure:
            self._body = None
        elif body.done:
            self._body = None
            self._over = not self._head.keep_alive
            self._finish()
        return end
