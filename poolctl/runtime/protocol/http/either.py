"""HTTP/1 or HTTP/2: the client's first bytes tell (RFC 9113, 3.3)."""

from __future__ import annotations

from poolctl.runtime.protocol import Conversation
from poolctl.runtime.protocol.http.conversation import HttpConversation
from poolctl.runtime.protocol.http.forwarded import Origins
from poolctl.runtime.protocol.http.limits import HttpLimits
from poolctl.runtime.protocol.http.reader import HttpReader
from poolctl.runtime.protocol.http.streaming import StreamingConversation
from poolctl.runtime.protocol.http2.conversation import Http2Conversation
from poolctl.runtime.protocol.http2.frames import PREFACE
from poolctl.runtime.protocol.http2.streaming import StreamingHttp2
from poolctl.runtime.task import Peer


class Either(HttpReader, Conversation):
    """HTTP/1, unless the connection begins with the preface of HTTP/2. Stands before a conversation of HTTP/1."""

    origins: Origins | None
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
            successor = self._http2()
            successor.scheme = self.scheme
            successor.origins = self.origins
            successor.receive(data)
            self.successor = successor
            self._over = True

    def _http2(self) -> Http2Conversation:
        """Who goes on."""
        raise NotImplementedError


class EitherConversation(Either, HttpConversation):
    """For apps that block."""

    def __init__(self, http: HttpLimits, peer: Peer) -> None:
        HttpConversation.__init__(self, http, peer)

    def _http2(self) -> Http2Conversation:
        return Http2Conversation(self._http, self.peer)


class EitherStreaming(Either, StreamingConversation):
    """For apps that are awaited."""

    def __init__(self, http: HttpLimits, peer: Peer) -> None:
        StreamingConversation.__init__(self, http, peer)

    def _http2(self) -> StreamingHttp2:
        return StreamingHttp2(self._http, self.peer)
