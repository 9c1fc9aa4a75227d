"""HTTP/1 or HTTP/2: the client's first bytes tell (RFC 9113, 3.3)."""

from __future__ import annotations

from poolctl.runtime.protocol.http.conversation import HttpConversation
from poolctl.runtime.protocol.http.forwarded import Origins
from poolctl.runtime.protocol.http.limits import HttpLimits
from poolctl.runtime.protocol.http.streaming import StreamingConversation
from poolctl.runtime.protocol.http2.conversation import Http2Conversation
from poolctl.runtime.protocol.http2.frames import PREFACE
from poolctl.runtime.protocol.http2.streaming import StreamingHttp2
from poolctl.runtime.task import Peer


class Preface:
    """Waits for the first bytes. ``held``: what has come while it is open which of the two it is."""

    def __init__(self) -> None:
        self.held = b""

    def take(self, data: bytes) -> bool | None:
        """Whether the client speaks HTTP/2; None while that is open."""
        self.held += data
        if not PREFACE.startswith(self.held[: len(PREFACE)]):
            return False
        return True if len(self.held) >= len(PREFACE) else None


class EitherConversation(HttpConversation):
    """HTTP/1, unless the connection begins with the preface of HTTP/2. For apps that block."""

    def __init__(self, http: HttpLimits, peer: Peer, origins: Origins | None = None) -> None:
        super().__init__(http, peer, origins)
        self._preface: Preface | None = Preface()

    @property
    def pending(self) -> bool:
        """Whether a part of a request, or of the preface, has come."""
        return (self._preface is not None and self._preface.held != b"") or super().pending

    def receive(self, data: bytes) -> None:
        """Take bytes as they came from the client, split anywhere."""
        if self._preface is not None:
            http2 = self._preface.take(data)
            if http2 is None:
                return
            data, self._preface = self._preface.held, None
            if http2:
                self._over = True
                self.successor = Http2Conversation(self._http, self.peer, self.origins)
                self.successor.scheme = self.scheme
                self.successor.receive(data)
                return
        super().receive(data)


class EitherStreaming(StreamingConversation):
    """The same for apps that are awaited."""

    def __init__(self, http: HttpLimits, peer: Peer, origins: Origins | None = None) -> None:
        super().__init__(http, peer, origins)
        self._preface: Preface | None = Preface()

    @property
    def pending(self) -> bool:
        """Whether a part of a request, or of the preface, has come."""
        return (self._preface is not None and self._preface.held != b"") or super().pending

    def receive(self, data: bytes) -> None:
        """Take bytes as they came from the client, split anywhere."""
        if self._preface is not None:
            http2 = self._preface.take(data)
            if http2 is None:
                return
            data, self._preface = self._preface.held, None
            if http2:
                self._over = True
                self.successor = StreamingHttp2(self._http, self.peer, self.origins)
                self.successor.scheme = self.scheme
                self.successor.receive(data)
                return
        super().receive(data)
