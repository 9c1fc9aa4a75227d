"""HTTP/1.1 and 1.0 (RFC 9110, RFC 9112)."""

from __future__ import annotations

import importlib.util
import re
from dataclasses import dataclass
from http import HTTPStatus
from typing import Annotated, ClassVar

from pydantic import Field

from poolctl.runtime.protocol import Protocol, Provisions
from poolctl.runtime.protocol.http.conversation import HttpConversation
from poolctl.runtime.protocol.http.encode import server_and_date
from poolctl.runtime.protocol.http.forwarded import Forwarded
from poolctl.runtime.protocol.http.framer import HttpFramer, InspectedHttpFramer
from poolctl.runtime.protocol.http.head import Recent
from poolctl.runtime.protocol.http.request import HttpRequest
from poolctl.runtime.protocol.http.streaming import StreamingConversation
from poolctl.runtime.task import Peer

# RFC 9110, 10.2.3, 7.8 and 15.5.22; RFC 6455, 4.4
MORE = {
    503: b"Retry-After: 1\r\n",
    426: b"Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\nConnection: upgrade\r\n",
}
_HEAD = re.compile(rb"HEAD(?![!#$%&'*+.^_`|~0-9A-Za-z-])")


def _words(status: int, body: bytes, *, silent: bool = False) -> bytes:
    """A complete response that ends the connection. ``silent``: to HEAD, which is answered without the body."""
    about = b"Content-Type: text/plain\r\n" if body else b""
    return b"HTTP/1.1 %d %b\r\n%b%bContent-Length: %d\r\n%bConnection: close\r\n\r\n%b" % (
        status,
        HTTPStatus(status).phrase.encode("ascii"),
        server_and_date(),
        about,
        len(body),
        MORE.get(status, b""),
        b"" if silent else body,
    )


def _text(status: int) -> bytes:
    return f"{status} {HTTPStatus(status).phrase}\n".encode("ascii")


@dataclass
class Http(Protocol):
    """The limits of what a client may send."""

    name: ClassVar[str] = "http"
    marks_requests: ClassVar[bool] = True

    head: Annotated[int, "bytes", Field(ge=256, description="bytes of request line and headers; more is 431")] = 32768
    target: Annotated[int, "bytes", Field(ge=1, description="bytes of the request target; more is 414")] = 8192
    headers: Annotated[int, Field(ge=1, description="number of headers; more is 431")] = 100
    body: Annotated[int, "bytes", Field(ge=0, description="bytes of a body, decoded; more is 413")] = 16 * 1024 * 1024
    spool: Annotated[
        int, "bytes", Field(ge=0, description="bytes of a body kept in memory; a larger one goes to a file")
    ] = 262144

    http2: Annotated[bool, Field(description="also HTTP/2, for clients that begin with it; needs the package h2")] = (
        False
    )

    websocket_message: Annotated[
        int, "bytes", Field(ge=1, description="bytes of a message of a WebSocket; more closes it with 1009")
    ] = 16 * 1024 * 1024
    websocket_ping: Annotated[
        float,
        "seconds",
        Field(gt=0, le=86400, description="silence after which a client is asked whether it is there, and then has"),
    ] = 20.0
    websocket_deflate: Annotated[
        bool, Field(description="compress messages (permessage-deflate), if the client can")
    ] = True

    def __post_init__(self) -> None:
        if self.http2 and importlib.util.find_spec("h2") is None:
            raise ValueError("http2 needs the package h2: pip install 'poolctl[http2]'")
        self.alpn = ("h2", "http/1.1") if self.http2 else ("http/1.1",)
        self.recent = Recent()
        self._forwarded: Forwarded | None = None  # provisioned

    def provision(self, given: Provisions) -> None:
        """Take the trusted proxies too."""
        super().provision(given)
        self._forwarded = given.forwarded

    def conversation(self, peer: Peer) -> HttpConversation:
        """The worker's half of a new connection."""
        origins = None if self._forwarded is None else self._forwarded.origins(peer)
        if self.http2:
            from poolctl.runtime.protocol.http.either import EitherConversation  # h2 need not be there otherwise

            return EitherConversation(self, peer, origins)
        return HttpConversation(self, peer, origins)

    def streaming(self, peer: Peer) -> StreamingConversation:
        """As ``conversation``, for apps that read a body while it comes."""
        origins = None if self._forwarded is None else self._forwarded.origins(peer)
        if self.http2:
            from poolctl.runtime.protocol.http.either import EitherStreaming

            return EitherStreaming(self, peer, origins)
        return StreamingConversation(self, peer, origins)

    def framer(self) -> HttpFramer:
        """The front's half of a new connection."""
        return InspectedHttpFramer(self) if self.inspected else HttpFramer(self)

    def refusal(self, status: int) -> bytes:
        """A complete response that ends the connection, for any status that ``http.HTTPStatus`` knows."""
        return _words(status, _text(status))

    def refusal_to(self, line: bytes, status: int) -> bytes:
        """The same, without a body where HEAD is the method (RFC 9110, 9.3.2), and with an empty one where it is not
        known yet and may be HEAD: a client would take those bytes for the next response."""
        if b"HEAD".startswith(line):
            return _words(status, b"")
        return _words(status, _text(status), silent=_HEAD.match(line) is not None)

    def refusal_of(self, request: HttpRequest, status: int) -> bytes:
        """The same for a request that is known."""
        return _words(status, _text(status), silent=request.method == "HEAD")
