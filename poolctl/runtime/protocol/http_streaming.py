"""The worker's half of an HTTP connection for apps that read a body while it comes."""

from __future__ import annotations

from asyncio import AbstractEventLoop, Future
from collections import deque
from typing import TYPE_CHECKING, Any

from poolctl.runtime.protocol import Conversation
from poolctl.runtime.protocol.http_body import Keep
from poolctl.runtime.protocol.http_reader import HttpReader
from poolctl.runtime.protocol.http_request import HttpRequest
from poolctl.runtime.task import Peer

if TYPE_CHECKING:
    from poolctl.runtime.protocol.http import Http


class Inflow:
    """The body of one request on its way in. ``size``: bytes that have come and were not taken."""

    __slots__ = ("_pieces", "_waiter", "done", "failed", "size")

    def __init__(self) -> None:
        self._pieces: list[bytes] = []
        self._waiter: Future[None] | None = None
        self.size = 0
        self.done = False  # the last byte has come
        self.failed = False  # it never will

    def feed(self, data: bytes) -> None:
        """The next bytes."""
        self._pieces.append(data)
        self.size += len(data)
        self._wake()

    def finish(self) -> None:
        """That was all."""
        self.done = True
        self._wake()

    def fail(self) -> None:
        """The rest will not come."""
        self.failed = True
        self._wake()

    @property
    def awaited(self) -> bool:
        """Whether the app waits for more."""
        return self._waiter is not None

    def take(self) -> bytes:
        """What has come."""
        data = self._pieces[0] if len(self._pieces) == 1 else b"".join(self._pieces)
        self._pieces.clear()
        self.size = 0
        return data

    async def more(self, events: AbstractEventLoop) -> None:
        """Until something has changed."""
        while not (self.size or self.done or self.failed):
            self._waiter = waiter = events.create_future()
            try:
                await waiter
            finally:
                self._waiter = None

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)


class StreamingConversation(HttpReader, Conversation):
    """Requests as soon as their head is complete. The ``body`` of one that has a body is an Inflow."""

    def __init__(self, http: Http, peer: Peer) -> None:
        super().__init__(http)
        self.requests: deque[HttpRequest] = deque()
        self.peer = peer
        self.memo: Any = None
        self.inflow: Inflow | None = None  # of the request that is coming

    def _read(self, data: bytes) -> None:
        super()._read(data)
        if self.failure and self.inflow is not None:
            self.inflow.fail()
            self.inflow = None

    def ended(self) -> None:
        """The client sends no more: what was begun cannot be completed."""
        super().ended()
        if self.inflow is not None:
            self.inflow.fail()
            self.inflow = None

    def _complete(self, head: bytes) -> None:
        self.requests.append(self._head.request(self))  # type: ignore[arg-type]  # the app of such requests knows

    def _begin(self, head: bytes) -> Keep | None:
        self.inflow = inflow = Inflow()
        request = self._head.request(self)  # type: ignore[arg-type]
        request.body = inflow  # type: ignore[assignment]
        self.requests.append(request)
        return inflow.feed

    def _finish(self) -> None:
        assert self.inflow is not None
        self.inflow.finish()
        self.inflow = None
