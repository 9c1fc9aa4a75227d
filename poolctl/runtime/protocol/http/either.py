"""Chooses HTTP/1 or HTTP/2 by the first bytes of a connection (RFC 9113, 3.3)."""

from __future__ import annotations

from poolctl.runtime.protocol.http.conversation import HttpConversation, HttpWorkerHalf, OriginsOf
from poolctl.runtime.protocol.http.limits import HttpLimits
from poolctl.runtime.protocol.http.streaming import StreamingConversation
from poolctl.runtime.protocol.http2.conversation import Http2Conversation
from poolctl.runtime.protocol.http2.frames import PREFACE
from poolctl.runtime.protocol.http2.streaming import StreamingHttp2
from poolctl.runtime.task import Peer


class Preface:
    """Detects the preface of HTTP/2. ``open``: the protocol is not known yet; ``held``: the bytes received until then.
    ``http2``: the conversation that takes over after the preface."""

    def __init__(self, http2: type[Http2Conversation]) -> None:
        self.held = b""
        self.open = True
        self._http2 = http2

    def pass_on(self, data: bytes, http: HttpLimits, before: HttpWorkerHalf) -> bytes:
        """Take the first bytes. Returns those for HTTP/1: none while ``open``, or if HTTP/2 succeeds ``before``."""
        held = self.held = self.held + data
        if PREFACE.startswith(held[: len(PREFACE)]):
            if len(held) < len(PREFACE):
                return b""
            successor = self._http2(http, before.peer, before.origins)
            successor.scheme = before.scheme
            before.hand_over(successor)
            successor.receive(held)
            held = b""
        self.held = b""
        self.open = False
        return held


class EitherConversation(HttpConversation):
    """HTTP/1, unless the connection begins with the preface of HTTP/2. For sync apps."""

    def __init__(self, http: HttpLimits, peer: Peer, origins_of: OriginsOf | None = None) -> None:
        super().__init__(http, peer, origins_of)
        self._preface = Preface(Http2Conversation)

    @property
    def pending(self) -> bool:
        """Whether a request or the preface is incomplete."""
        return self._preface.held != b"" or super().pending

    def receive(self, data: bytes) -> None:
        """Parse bytes from the client, split anywhere."""
        super().receive(self._preface.pass_on(data, self._http, self) if self._preface.open else data)


class EitherStreaming(StreamingConversation):
    """HTTP/1, unless the connection begins with the preface of HTTP/2. For async apps."""

    def __init__(self, http: HttpLimits, peer: Peer, origins_of: OriginsOf | None = None) -> None:
        super().__init__(http, peer, origins_of)
        self._preface = Preface(StreamingHttp2)

    @property
    def pending(self) -> bool:
        """Whether a request or the preface is incomplete."""
        return self._preface.held != b"" or super().pending

    def receive(self, data: bytes) -> None:
        """Parse bytes from the client, split anywhere."""
        super().receive(self._preface.pass_on(data, self._http, self) if self._preface.open else data)
