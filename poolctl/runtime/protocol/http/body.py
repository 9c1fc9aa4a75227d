"""The body of an HTTP/1 request: finds its end and removes the chunked coding (RFC 9112, 6 and 7.1).

A body takes bytes split anywhere and returns where its own end. The conversation, which keeps the decoded bytes, and
the framer, which only needs the end and passes None as ``keep``, use the same classes.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

from httptools import HttpParserCallbackError, HttpParserError, HttpRequestParser

from poolctl.runtime.protocol.failure import Failure

Keep = Callable[[bytes], None]
SEMICOLON: Final = ord(";")

# chunk-size 1*( BWS ";" BWS name [ BWS "=" BWS value ] ) CRLF (RFC 9112, 7.1.1; bad white space: RFC 9110, 5.6.3)
_TOKEN: Final = rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
_QUOTED: Final = rb'"(?:[\t !#-\[\]-~\x80-\xff]|\\[\t -~\x80-\xff])*"'
_EXTENDED: Final = re.compile(
    rb"([0-9A-Fa-f]+)(?:[ \t]*;[ \t]*" + _TOKEN + rb"(?:[ \t]*=[ \t]*(?:" + _TOKEN + rb"|" + _QUOTED + rb"))?)+\r\n"
)


class LengthBody:
    """A body with a known number of bytes.

    ``looked``, ``waited`` and ``pace`` belong to the code that measures its pace: when it last checked the body, the
    seconds that the server has waited for the client, and the limit, which is set when it is first checked.
    """

    __slots__ = ("_keep", "_left", "_length", "done", "failure", "looked", "pace", "waited")
    pace: tuple[float, int]  # set when it is first checked

    def __init__(self, length: int, keep: Keep | None) -> None:
        self._left = self._length = length
        self._keep = keep
        self.done = False
        self.failure: Failure | None = None
        self.looked = self.waited = 0.0

    @property
    def came(self) -> int:
        """Bytes received so far."""
        return self._length - self._left

    def take(self, data: bytes, start: int) -> int:
        """Take the bytes of ``data[start:]`` that belong to the body. Returns where they end."""
        end = min(start + self._left, len(data))
        self._left -= end - start
        if self._keep is not None:
            self._keep(data[start:end])
        self.done = self._left == 0
        return end


class ChunkedBody:
    """A body in chunks.

    It finds the lines (chunk sizes, trailers) and passes each complete one to its own parser, which validates and
    decodes it. This bounds the lines that the parser sees, and the end is exact. Trailers are counted and dropped.
    """

    __slots__ = (
        "_body",
        "_left",
        "_limit",
        "_line",
        "_lines",
        "_parser",
        "_trailer",
        "_trailing",
        "done",
        "failure",
        "looked",
        "pace",
        "size",
        "waited",
    )
    pace: tuple[float, int]  # see LengthBody

    def __init__(self, body: int, line: int, trailers: int, keep: Keep | None) -> None:
        """``body``: the maximum of decoded bytes; ``line``: the maximum of bytes in one line, and in all trailers
        together; ``trailers``: the maximum number of trailers.

        All lines together may have ``body`` plus ``line`` bytes, so that chunk extensions cannot be endless.
        """
        self._body = body
        self._limit = line
        self._lines = body + line  # bytes that further lines may have
        self._trailer = (line, trailers)  # bytes and number of further trailers that are allowed
        self._trailing = False  # the last chunk was received
        self._line = bytearray()  # an incomplete one
        self._left = 0  # missing bytes of the current chunk, including the line end after its data
        self.looked = self.waited = 0.0  # see LengthBody
        self.size = 0
        self.done = False
        self.failure: Failure | None = None
        self._parser = HttpRequestParser(_Data(keep))
        self._parser.feed_data(b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n")

    @property
    def came(self) -> int:
        """Decoded bytes received so far; up to two too many while a chunk is incomplete."""
        return self.size - max(self._left - 2, 0)

    def take(self, data: bytes, start: int) -> int:
        """Take the bytes of ``data[start:]`` that belong to the body. Returns where they end.

        Sets ``failure`` if they are malformed or exceed a limit. Raises what ``keep`` raises.
        """
        try:
            while start < len(data) and not self.done and not self.failure:
                start = self._take_data(data, start) if self._left else self._take_line(data, start)
        except HttpParserCallbackError as error:
            raise error.__context__ or error from None  # what ``keep`` raised
        except HttpParserError:
            self.failure = Failure.MALFORMED
        return start

    def _take_data(self, data: bytes, start: int) -> int:
        end = min(start + self._left, len(data))
        self._left -= end - start
        self._parser.feed_data(data[start:end])
        return end

    def _take_line(self, data: bytes, start: int) -> int:
        newline = data.find(b"\n", start)
        end = len(data) if newline < 0 else newline + 1
        taken = end - start
        self._lines -= taken
        if len(self._line) + taken > self._limit or self._lines < 0:
            self.failure = Failure.HEAD_TOO_LARGE if self._trailing else Failure.CONTENT_TOO_LARGE
        elif newline < 0:
            self._line += data[start:end]
        else:
            line = bytes(self._line) + data[start:end]
            self._line.clear()
            if SEMICOLON in line:
                line = self._plain(line)
            self._parser.feed_data(line)
            self._read_line(line)
        return end

    def _plain(self, line: bytes) -> bytes:
        """Return the line without its chunk extensions; unchanged if it has none or the parser must validate it."""
        extended = None if self._trailing else _EXTENDED.fullmatch(line)
        return line if extended is None else extended[1] + b"\r\n"

    def _read_line(self, line: bytes) -> None:
        """Read a line that the parser found well formed."""
        if self._trailing:
            size, count = self._trailer
            self._trailer = (size - len(line), count - 1)
            self.done = line == b"\r\n"
            if not self.done and (size < len(line) or count < 1):
                self.failure = Failure.HEAD_TOO_LARGE
            return
        size = int(line.partition(b";")[0], 16)
        self.size += size
        if self.size > self._body:
            self.failure = Failure.CONTENT_TOO_LARGE
        self._trailing = size == 0
        self._left = size + 2 if size else 0


class _Data:
    """The callbacks of the chunk parser."""

    __slots__ = ("on_body",)

    def __init__(self, keep: Keep | None) -> None:
        self.on_body = keep
