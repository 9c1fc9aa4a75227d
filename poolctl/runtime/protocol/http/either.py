"""HTTP/1 or HTTP/2: the client's first bytes tell (RFC 9113, 3.3)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from poolctl.runtime.protocol import Conversation
from poolctl.runtime.protocol.http.conversation import HttpConversation
from poolctl.runtime.protocol.http.reader import SWITCHED, HttpReader
from poolctl.runtime.protocol.http2.conversation import Http2Conversation
from poolctl.runtime.protocol.http2.frames import PREFACE
from poolctl.runtime.task import Peer

if TYPE_CHECKING:
    from poolctl.runtime.protocol.http.protocol import Http


class Either(HttpReader, Conversation):
    """HTTP/1, unless the connection begins with the preface of HTTP/2. Stands before a conversation of HTTP/1."""

    _first: bytes | None = b""  # what has come while that is open

    @property
    def pending(self) -> bool:
        """Whether a part of a request, or of the preface, has come."""
        return bool(self._first) or super().pending

    def receive(self, data: bytes) -> None:
        """Take bytes as they came from the client, split anywhere."""
        if self._first is not None:
            data = self._first + data
            if PREFACE.startswith(data[: len(PREFACE)]):
                self._begin_http2(data)
                return
            self._first = None
        super().receive(data)

    def _begin_http2(self, data: bytes) -> None:
        self._first = data
        if len(data) >= len(PREFACE):
            self._first = None
            self.failure = SWITCHED
            self.successor = self._http2()
            self.successor.scheme = self.scheme
            self.successor.receive(data)

    def _http2(self) -> Conversation:
        """Who goes on."""
        raise NotImplementedError


class EitherConversation(Either, HttpConversation):
    """For apps that block."""

    def __init__(self, http: Http, peer: Peer) -> None:
        HttpConversation.__init__(self, http, peer)

    def _http2(self) -> Http2Conversation:
        return Http2Conversation(self._http, self.peer)
