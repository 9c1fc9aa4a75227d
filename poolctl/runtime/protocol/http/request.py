"""One HTTP request, as HTTP apps get it."""

from __future__ import annotations

import io
from typing import Any, BinaryIO, Final, Protocol, cast

from mypy_extensions import mypyc_attr

from poolctl.runtime.protocol.http.inflow import Inflow
from poolctl.runtime.task import Peer


@mypyc_attr(allow_interpreted_subclasses=True)
class Provenance(Protocol):
    """Where a request comes from: its connection, or the client that proxies name. ``memo``: data that the app keeps
    as long as the connection lasts."""

    peer: Peer
    scheme: str  # of the URL: http or https
    memo: Any


class EmptyBody(io.BufferedIOBase):
    """The body of a request without a body. It has no state, so all requests share one; closing it does nothing."""

    def readable(self) -> bool:
        return True

    def read(self, size: int | None = -1, /) -> bytes:
        return b""

    def read1(self, size: int = -1, /) -> bytes:
        return b""

    def readline(self, size: int | None = -1, /) -> bytes:
        return b""

    def close(self) -> None:
        """Do nothing: other requests use it too."""


EMPTY: Final[BinaryIO] = cast(BinaryIO, EmptyBody())


class HttpRequest:
    """A request, with its body or, for async apps, with the place where the body arrives.

    ``method``        as received, case-sensitive: "GET"
    ``target``        the request target as received: b"/shop?item=3"
    ``version``       "1.1", "1.0" or "2"
    ``headers``       (name, value) in the order received; values without the white space around them
    ``body``          a binary file, positioned at its start; EMPTY where the app reads the body as it arrives
    ``inflow``        the body, where the app reads it as it arrives; None where there is none
    ``length``        bytes of the decoded body; -1 if the request announced no body
    ``keep_alive``    whether the client may send further requests on this connection
    ``conversation``  the connection on which it arrived, or its ``Origin``
    """

    __slots__ = ("body", "conversation", "headers", "inflow", "keep_alive", "length", "method", "target", "version")

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
        self.inflow: Inflow | None = None
        self.length = -1
        self.keep_alive = keep_alive
        self.conversation: Provenance = conversation  # type: ignore[assignment]  # set before anyone else sees it
