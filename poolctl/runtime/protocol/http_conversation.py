"""The worker's half of an HTTP connection."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any

from poolctl.runtime.protocol import Conversation
from poolctl.runtime.protocol.http_body import Keep
from poolctl.runtime.protocol.http_reader import END, HttpReader
from poolctl.runtime.protocol.http_request import HttpRequest, Spool
from poolctl.runtime.task import Peer

if TYPE_CHECKING:
    from poolctl.runtime.protocol.http import Http


class HttpConversation(HttpReader, Conversation):
    """Complete requests, pipelined ones included (RFC 9112, 9.3.2).

    ``memo`` is for the app: what it wants to keep for the length of the connection.
    """

    def __init__(self, http: Http, peer: Peer) -> None:
        super().__init__(http)
        self.requests: deque[HttpRequest] = deque()
        self.peer = peer
        self.memo: Any = None
        self._coming: HttpRequest | None = None
        self._spool: Spool | None = None

    def receive(self, data: bytes) -> None:
        """Take bytes as they came from the client, split anywhere."""
        # The usual case first: nothing under way, and exactly one head without a body.
        if (
            data.find(END) == len(data) - 4
            and data[0] > 64
            and not (self._held or self._body or self.failure or self._over)
            and len(data) <= self._limit
        ):
            self._take_head(data, True)
        elif data and not self.failure and not self._over:
            self._read(data)

    def ended(self) -> None:
        """The client sends no more: what was begun is dropped."""
        super().ended()
        self._coming = self._spool = None

    def _begin(self, request: HttpRequest, head: bytes) -> Keep | None:
        request.conversation = self
        self._coming = request
        head_parser = self._head
        if not head_parser.chunked and not head_parser.length:
            return None
        self._spool = Spool(self._http.spool)
        return self._spool.write

    def _finish(self) -> None:
        request = self._coming
        assert request is not None
        self._coming = None
        if self._spool is not None:
            request.length = self._spool.size
            request.body = self._spool.file()
            self._spool = None
        self.requests.append(request)
