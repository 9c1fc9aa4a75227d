"""The worker's half of an HTTP connection."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any, ClassVar, TypeAlias

from mypy_extensions import mypyc_attr

from poolctl.runtime.buffers.spool import Spool
from poolctl.runtime.protocol import Conversation
from poolctl.runtime.protocol.http.body import Keep
from poolctl.runtime.protocol.http.forwarded import Origins
from poolctl.runtime.protocol.http.limits import HttpLimits
from poolctl.runtime.protocol.http.reader import HttpReader
from poolctl.runtime.protocol.http.request import HttpRequest
from poolctl.runtime.task import Peer

# Returns what finds the origins of requests from this peer, if it is a trusted proxy.
OriginsOf: TypeAlias = Callable[[Peer], Origins | None]


@mypyc_attr(allow_interpreted_subclasses=True)
class HttpWorkerHalf(HttpReader):
    """The common base of HTTP/1 conversations.

    ``reply`` must be sent after the responses to the ``requests`` before it. ``memo`` is data that the app keeps
    as long as the connection lasts. ``origins`` finds the origins of requests from a trusted proxy; None if
    the peer is not one, which ``origins_of`` knows; None if the topology trusts nobody.
    """

    scheme: str = "http"
    multiplexed: ClassVar[bool] = False

    def __init__(self, http: HttpLimits, peer: Peer, origins_of: OriginsOf | None = None) -> None:
        HttpReader.__init__(self, http)
        self.requests: deque[HttpRequest] = deque()
        self.peer = peer
        self.memo: Any = None
        self._origins_of = origins_of
        self.origins = None if origins_of is None else origins_of(peer)
        self.successor: Conversation | None = None

    def unpack(self, packed: bytes) -> None:
        """Take a request that a framer has packed."""
        self._head.unpack(packed)
        self._over = not self._head.keep_alive
        self._complete(packed)

    def renew(self, peer: Peer) -> None:
        """Serve another client as if this object were new. Its scheme stays, which is that of its door."""
        self.clear()
        if self.requests:
            self.requests.clear()
        self.peer = peer
        self.memo = None
        if self._origins_of is not None:
            self.origins = self._origins_of(peer)
        self.successor = None

    @property
    def stalled(self) -> bool:
        """Always False: HTTP/1 has no flow control of its own."""
        return False

    @property
    def taken(self) -> bytes:
        """The request line of the last complete request; empty while further ones wait or arrive."""
        return b"" if self.requests or self._held or self._body is not None else self._head.line

    def last_words(self, refusal: bytes) -> bytes:
        """Return the refusal unchanged."""
        return refusal

    def hand_over(self, successor: Conversation) -> None:
        """Stop reading: the client has switched to another protocol, which ``successor`` handles."""
        self._over = True
        self.successor = successor


@mypyc_attr(allow_interpreted_subclasses=True)
class HttpConversation(HttpWorkerHalf):
    """Yields complete requests, including pipelined ones (RFC 9112, 9.3.2)."""

    _coming: HttpRequest | None = None  # the request whose body is incomplete
    _spool: Spool | None = None  # its body

    def ended(self) -> None:
        """The client has finished sending: drop an incomplete request."""
        super().ended()
        self._coming = self._spool = None

    def clear(self) -> None:
        """Forget all that was received."""
        super().clear()
        self._coming = self._spool = None

    def _complete(self, head: bytes) -> None:
        request = self._head.request(self)
        if self.origins is not None:
            self.origins.place(request, self)
        self.requests.append(request)

    def _begin(self, head: bytes) -> Keep | None:
        self._coming = self._head.request(None)  # its conversation is set later: together they would be a cycle
        self._spool = Spool(self._http.spool)
        return self._spool.write

    def _finish(self) -> None:
        request = self._coming
        spool = self._spool
        assert request is not None
        assert spool is not None
        self._coming = self._spool = None
        request.conversation = self
        request.length = spool.size
        request.body = spool.file()
        if self.origins is not None:
            self.origins.place(request, self)
        self.requests.append(request)
