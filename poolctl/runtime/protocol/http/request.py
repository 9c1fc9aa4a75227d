"""One HTTP request, complete: what an HTTP app is given."""

from __future__ import annotations

import io
from typing import Any, BinaryIO, Protocol, cast

from poolctl.runtime.task import Peer


class Provenance(Protocol):
    """Where a request comes from: its connection, or what proxies say of it. ``memo``: what the app wants to keep for
    the length of the connection."""

    peer: Peer
    scheme: str  # of the URL: http or https
    memo: Any


class EmptyBody(io.BufferedIOBase):
    """The body of every request that has none. Holds no state, so all share one; closing it does nothing."""

    def readable(self) -> bool:
        return True

    def read(self, size: int | None = -1, /) -> bytes:
        return b""

    def read1(self, size: int = -1, /) -> bytes:
        return b""

    def readline(self, size: int | None = -1, /) -> bytes:
        return b""

    def close(self) -> None:
        """Stays open: the next request has it too."""


EMPTY: BinaryIO = cast(BinaryIO, EmptyBody())


class HttpRequest:
    """A request whose head and body have come completely.

    ``method``        as it came, upper case: "GET"
    ``target``        the request target as it came: b"/shop?item=3"
    ``version``       "1.1", "1.0" or "2"
    ``headers``       (name, value) as they came, in their order; the value without the white space around it
    ``body``          a binary file, positioned at its start
    ``length``        bytes of the body, decoded; -1 where the request announced none
    ``keep_alive``    whether the client wants to send more on this connection
    ``conversation``  the connection it came on
    """

    __slots__ = ("body", "conversation", "headers", "keep_alive", "length", "method", "target", "version")

    def __init__(
        self,
        method: str,
        target: bytes,
        version: str,
        headers: list[tuple[bytes, bytes]],
        keep_alive: bool,
        conversation: Provenance | None,
    ) -> None:
        self.method = method
        self.target = target
        self.version = version
        self.headers = headers
        self.body = EMPTY
        self.length = -1
        self.keep_alive = keep_alive
        self.conversation: Provenance = conversation  # type: ignore[assignment]  # set before anyone else sees it
