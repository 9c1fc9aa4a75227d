"""HTTP/1.1 and 1.0 (RFC 9110, RFC 9112)."""

from __future__ import annotations

import importlib.util
import re
from dataclasses import dataclass
from http import HTTPStatus
from typing import Annotated, ClassVar

from pydantic import Field

from poolctl.runtime.protocol import Protocol, Provisions
from poolctl.runtime.protocol.http.conversation import HttpConversation, OriginsOf
from poolctl.runtime.protocol.http.encode import server_and_date
from poolctl.runtime.protocol.http.framer import HttpFramer, InspectedHttpFramer
from poolctl.runtime.protocol.http.head import Recent
from poolctl.runtime.protocol.http.request import HttpRequest
from poolctl.runtime.protocol.http.streaming import StreamingConversation
from poolctl.runtime.task import Peer

# RFC 9110, 7.8 and 15.5.22; RFC 6455, 4.4
MORE_HEADERS = {
    426: b"Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\nConnection: upgrade\r\n",
}
SERVICE_UNAVAILABLE = 503  # with Retry-After (RFC 9110, 10.2.3)
_HEAD = re.compile(rb"HEAD(?![!#$%&'*+.^_`|~0-9A-Za-z-])")


def _response(status: int, body: bytes, *, head: bool = False, wait: int = 1, last: bool = True) -> bytes:
    """Return a complete response. ``head``: to a HEAD request, so without the body; ``wait``: the seconds after which
    the client may come again, with 503; ``last``: it ends the connection."""
    content_type = b"Content-Type: text/plain\r\n" if body else b""
    return b"HTTP/1.1 %d %b\r\n%b%bContent-Length: %d\r\n%b%b\r\n%b" % (
        status,
        HTTPStatus(status).phrase.encode("ascii"),
        server_and_date(),
        content_type,
        len(body),
        b"Retry-After: %d\r\n" % wait if status == SERVICE_UNAVAILABLE else MORE_HEADERS.get(status, b""),
        b"Connection: close\r\n" if last else b"",
        b"" if head else body,
    )


def _text(status: int) -> bytes:
    return f"{status} {HTTPStatus(status).phrase}\n".encode("ascii")


@dataclass
class Http(Protocol):
    """HTTP, with the limits on what a client may send."""

    name: ClassVar[str] = "http"
    marks_requests: ClassVar[bool] = True
    portable: ClassVar[bool] = True
    packs = True

    head: Annotated[int, "bytes", Field(ge=256, description="bytes of the request line and headers; more: 431")] = 32768
    target: Annotated[int, "bytes", Field(ge=1, description="bytes of the request target; more: 414")] = 8192
    headers: Annotated[int, Field(ge=1, description="number of headers; more: 431")] = 100
    body: Annotated[int, "bytes", Field(ge=0, description="bytes of a request body, decoded; more: 413")] = (
        16 * 1024 * 1024
    )
    spool: Annotated[
        int, "bytes", Field(ge=0, description="bytes of a request body kept in memory; a larger body goes to a file")
    ] = 262144

    http2: Annotated[
        bool, Field(description="also serve HTTP/2 to clients that begin with it; needs the package h2")
    ] = False

    websocket_message: Annotated[
        int, "bytes", Field(ge=1, description="bytes of a WebSocket message; more: close with 1009")
    ] = 16 * 1024 * 1024
    websocket_ping: Annotated[
        float,
        "seconds",
        Field(
            gt=0,
            le=86400,
            description="silence after which a client gets a ping; after as long again it is disconnected",
        ),
    ] = 20.0
    websocket_deflate: Annotated[
        bool, Field(description="compress WebSocket messages (permessage-deflate) if the client supports it")
    ] = True

    def __post_init__(self) -> None:
        if self.http2 and importlib.util.find_spec("h2") is None:
            raise ValueError("http2 needs the package h2: pip install 'poolctl[http2]'")
        self.alpn = ("h2", "http/1.1") if self.http2 else ("http/1.1",)
        self.renews = not self.http2  # a connection of HTTP/2 has far more state than its conversation
        self.recent = Recent()
        self._origins_of: OriginsOf | None = None  # provisioned

    def provision(self, given: Provisions) -> None:
        """Accept the trusted proxies too."""
        super().provision(given)
        self._origins_of = None if given.forwarded is None else given.forwarded.origins

    def conversation(self, peer: Peer) -> HttpConversation:
        """Return the worker's half of a new connection."""
        if self.http2:
            # h2 is optional
            from poolctl.runtime.protocol.http.either import EitherConversation

            return EitherConversation(self, peer, self._origins_of)
        return HttpConversation(self, peer, self._origins_of)

    def streaming(self, peer: Peer) -> StreamingConversation:
        """Return the worker's half of a new connection, for apps that read a body as it arrives."""
        if self.http2:
            # h2 is optional
            from poolctl.runtime.protocol.http.either import EitherStreaming

            return EitherStreaming(self, peer, self._origins_of)
        return StreamingConversation(self, peer, self._origins_of)

    def framer(self) -> HttpFramer:
        """Return the front's half of a new connection."""
        return InspectedHttpFramer(self) if self.inspected else HttpFramer(self)

    def refusal(self, status: int) -> bytes:
        """Return a complete response that ends the connection, for any status in ``http.HTTPStatus``."""
        return _response(status, _text(status), wait=self.retry_after)

    def dismissal(self, status: int, peer: Peer, line: bytes) -> bytes:
        """As ``farewell``, after which the connection goes on (RFC 9112, 9.3); nothing for a client of HTTP/1.0."""
        if not line.endswith(b"HTTP/1.1"):
            return b""
        self.witness(status, peer, line)
        return _response(status, _text(status), head=_HEAD.match(line) is not None, wait=self.retry_after, last=False)

    def refusal_to(self, line: bytes, status: int) -> bytes:
        """Return the refusal of a request with this first line, which may be incomplete or empty.

        It has no body if the method is HEAD (RFC 9110, 9.3.2), and an empty body if the method is still unknown and
        may be HEAD: the client would read a body as the next response.
        """
        if b"HEAD".startswith(line):
            return _response(status, b"", wait=self.retry_after)
        return _response(status, _text(status), head=_HEAD.match(line) is not None, wait=self.retry_after)

    def refusal_of(self, request: HttpRequest, status: int) -> bytes:
        """Return the refusal of a request that an app got but did not answer; without a body for HEAD."""
        return _response(status, _text(status), head=request.method == "HEAD")
