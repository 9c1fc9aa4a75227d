"""Requests of asynchronous apps from proxies: the same words (see ``forwarded``)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from poolctl.runtime.protocol.http.body import Keep
from poolctl.runtime.protocol.http.conversation import HttpConversation
from poolctl.runtime.protocol.http.forwarded import Forwarded
from poolctl.runtime.protocol.http.request import HttpRequest
from poolctl.runtime.protocol.http.streaming import StreamingConversation
from poolctl.runtime.task import Peer

if TYPE_CHECKING:
    from poolctl.runtime.protocol.http.protocol import Http


class ForwardedStreaming(StreamingConversation):
    """A connection from a trusted proxy: each of its requests may come from another client."""

    def __init__(self, http: Http, peer: Peer, forwarded: Forwarded) -> None:
        super().__init__(http, peer)
        self._forwarded = forwarded

    def _complete(self, head: bytes) -> None:
        super()._complete(head)
        successor: Any = self.successor
        if successor is not None:
            self._place(successor.request)
        elif not self.failure:
            self._place(self.requests[-1])

    def _begin(self, head: bytes) -> Keep | None:
        keep = super()._begin(head)
        self._place(self.requests[-1])
        return keep

    def _place(self, request: HttpRequest) -> None:
        origin = self._forwarded.origin(cast(HttpConversation, self), request.headers)
        if origin is not None:
            request.conversation = cast(HttpConversation, origin)
            request.headers = origin.headers
