"""The front's half of an HTTP connection: complete requests as raw bytes, for a worker to parse."""

from __future__ import annotations

from collections import deque
from typing import BinaryIO, Final

from poolctl.runtime.buffers.spool import Spool
from poolctl.runtime.buffers.temporary import INLINE_BYTES
from poolctl.runtime.protocol.http.body import Keep
from poolctl.runtime.protocol.http.limits import HttpLimits
from poolctl.runtime.protocol.http.reader import HttpReader
from poolctl.runtime.protocol.http.request import HttpRequest
from poolctl.runtime.task import Asked

PACKED_BYTES: Final = 16384  # bytes of a request that is packed, which may double them


class HttpFramer(HttpReader):
    """Finds requests with the same reader as the conversation, and keeps their raw bytes. ``packs``: see ``packed``."""

    _raw: Spool  # the bytes of a request with a body, including its head

    def __init__(self, http: HttpLimits) -> None:
        super().__init__(http)
        self.asked: Asked | None = None
        self.packs = False
        self._found: deque[bytes | BinaryIO] = deque()

    @property
    def over(self) -> bool:
        return self._over

    @property
    def ready(self) -> bool:
        """Whether there is a request to take, a failure or a reply."""
        return bool(self._found or self.failure or self.reply)

    @property
    def taken(self) -> bytes:
        """The request line of the request taken last; empty once more bytes were received."""
        return b"" if self._found or self._held or self._body is not None or self.failure else self._head.line

    def take(self) -> bytes | BinaryIO | None:
        """Remove the oldest complete request and return its bytes; None if there is none."""
        return self._found.popleft() if self._found else None

    def packed(self, request: bytes) -> bytes | None:
        """Return the request that was just taken, and has these bytes, as its first line and what was read of its head.
        None if it has a body, if others have come, if it is large, or if its head is one that the worker has probably
        read too: then it remembers that, and what its app has made of it."""
        if not self.packs or len(request) > PACKED_BYTES:
            return None
        if self._found or self._held or self._body is not None or self.failure:
            return None
        return self._head.packed(request.partition(b"\r\n")[0])

    def _complete(self, head: bytes) -> None:
        self.packs = not self._head.repeated
        self._found.append(head)

    def _begin(self, head: bytes) -> Keep | None:
        self._raw = Spool(INLINE_BYTES)
        self._raw.write(head)
        return None

    def _pass(self, data: bytes, start: int, end: int) -> None:
        self._raw.write(data[start:end])

    def _finish(self) -> None:
        self.packs = False
        self._found.append(self._raw.whole())


class InspectedHttpFramer(HttpFramer):
    """Also keeps each head until its request is taken, for fronts that inspect requests."""

    def __init__(self, http: HttpLimits) -> None:
        super().__init__(http)
        self._heads: deque[HttpRequest] = deque()
        self._coming: HttpRequest | None = None  # the head whose body is incomplete

    def take(self) -> bytes | BinaryIO | None:
        request = super().take()
        if request is not None:
            self.asked = self._heads.popleft()
        return request

    def _complete(self, head: bytes) -> None:
        super()._complete(head)
        self._heads.append(self._head.request(None))

    def _begin(self, head: bytes) -> Keep | None:
        self._coming = self._head.request(None)
        return super()._begin(head)

    def _finish(self) -> None:
        super()._finish()
        assert self._coming is not None  # set when the body began
        self._heads.append(self._coming)
        self._coming = None
