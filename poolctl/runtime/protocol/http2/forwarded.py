"""HTTP/2 from proxies: the same words as in HTTP/1, on each stream (see ``http.forwarded``)."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from h2.events import RequestReceived

from poolctl.runtime.protocol.http.conversation import HttpConversation
from poolctl.runtime.protocol.http.either import Either, EitherConversation
from poolctl.runtime.protocol.http.forwarded import Forwarded, ForwardedConversation
from poolctl.runtime.protocol.http.forwarded_streaming import ForwardedStreaming
from poolctl.runtime.protocol.http2.conversation import Http2Conversation
from poolctl.runtime.protocol.http2.streaming import StreamingHttp2
from poolctl.runtime.task import Peer

if TYPE_CHECKING:
    from poolctl.runtime.protocol.http.protocol import Http


class ForwardedEither(EitherConversation, ForwardedConversation):
    """A connection from a trusted proxy, of either version."""

    def __init__(self, http: Http, peer: Peer, forwarded: Forwarded) -> None:
        ForwardedConversation.__init__(self, http, peer, forwarded)

    def _http2(self) -> Http2Conversation:
        return ForwardedHttp2(self._http, self.peer, self._forwarded)


class ForwardedHttp2(Http2Conversation):
    """One of HTTP/2: each of its streams may come from another client."""

    def __init__(self, http: Http, peer: Peer, forwarded: Forwarded) -> None:
        super().__init__(http, peer)
        self._forwarded = forwarded

    def _begin(self, event: RequestReceived) -> None:
        super()._begin(event)
        _place(self, self._forwarded, event)


class ForwardedEitherStreaming(Either, ForwardedStreaming):
    """As ``ForwardedEither``, for asynchronous apps."""

    def __init__(self, http: Http, peer: Peer, forwarded: Forwarded) -> None:
        ForwardedStreaming.__init__(self, http, peer, forwarded)

    def _http2(self) -> StreamingHttp2:
        return ForwardedStreamingHttp2(self._http, self.peer, self._forwarded)


class ForwardedStreamingHttp2(StreamingHttp2):
    """As ``ForwardedHttp2``, for asynchronous apps."""

    def __init__(self, http: Http, peer: Peer, forwarded: Forwarded) -> None:
        super().__init__(http, peer)
        self._forwarded = forwarded

    def _begin(self, event: RequestReceived) -> None:
        super()._begin(event)
        _place(self, self._forwarded, event)


def _place(conversation: Http2Conversation, forwarded: Forwarded, event: RequestReceived) -> None:
    """Whose request a stream has."""
    request = conversation._streams[event.stream_id or 0].request
    origin = forwarded.origin(cast(HttpConversation, conversation), request.headers)
    if origin is not None:
        request.conversation = cast(HttpConversation, origin)
        request.headers = origin.headers
