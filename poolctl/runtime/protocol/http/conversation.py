"""The worker's half of an HTTP connection."""

from __future__ import annotations

from collections import deque
from typing import Any, ClassVar

from poolctl.runtime.buffers.spool import Spool
from poolctl.runtime.protocol import Conversation
from poolctl.runtime.protocol.http.body import Keep
from poolctl.runtime.protocol.http.forwarded import Origins
from poolctl.runtime.protocol.http.limits import HttpLimits
from poolctl.runtime.protocol.http.reader import HttpReader
from poolctl.runtime.protocol.http.request import HttpRequest
from poolctl.runtime.task import Peer


class HttpWorkerHalf(HttpReader):
    """What conversations about HTTP/1 have in common.

    ``reply`` is to be sent after the answers to the ``requests`` that came before it. ``memo`` is for the app: what it
    wants to keep for the length of the connection. ``scheme`` is that of the URLs by which clients come. ``origins``
    are those of requests that a trusted proxy passes on.
    """

    scheme: str = "http"
    multiplexed: ClassVar[bool] = False
    successor: Conversation | None = None

    def __init__(self, http: HttpLimits, peer: Peer, origins: Origins | None = None) -> None:
        HttpReader.__init__(self, http)
        self.requests: deque[HttpRequest] = deque()
        self.peer = peer
        self.memo: Any = None
        self.origins = origins

    @property
    def stalled(self) -> bool:
        """Never: HTTP/1 has no flow control of its own."""
        return False

    def last_words(self, refusal: bytes) -> bytes:
        """The refusal as it is."""
        return refusal

    def hand_over(self, successor: Conversation) -> None:
        """Nothing more is read here: the client has begun to speak another protocol."""
        self._over = True
        self.successor = successor


class HttpConversation(HttpWorkerHalf):
    """Complete requests, pipelined ones included (RFC 9112, 9.3.2)."""

    _coming: HttpRequest | None = None  # the request whose body is coming
    _spool: Spool | None = None  # its body

    def ended(self) -> None:
        """The client sends no more: what was begun is dropped."""
        super().ended()
        self._coming = self._spool = None

    def _complete(self, head: bytes) -> None:
        request = self._head.request(self)
        if self.origins is not None:
            self.origins.place(request, self)
        self.requests.append(request)

    def _begin(self, head: bytes) -> Keep | None:
        self._coming = self._head.request(None)  # not this one yet: the two would keep each other alive
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
