"""HTTP/1 or HTTP/2 for asynchronous apps (see ``either``)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from poolctl.runtime.protocol.http.either import Either
from poolctl.runtime.protocol.http.streaming import StreamingConversation
from poolctl.runtime.protocol.http2.streaming import StreamingHttp2
from poolctl.runtime.task import Peer

if TYPE_CHECKING:
    from poolctl.runtime.protocol.http.protocol import Http


class EitherStreaming(Either, StreamingConversation):
    """HTTP/1, unless the connection begins with the preface of HTTP/2."""

    def __init__(self, http: Http, peer: Peer) -> None:
        StreamingConversation.__init__(self, http, peer)

    def _http2(self) -> StreamingHttp2:
        return StreamingHttp2(self._http, self.peer)
