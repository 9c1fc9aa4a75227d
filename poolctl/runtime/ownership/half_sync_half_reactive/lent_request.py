"""A connection that was lent for one request, as an app that is awaited sees it."""

from __future__ import annotations

import asyncio
from asyncio import wait
from typing import TYPE_CHECKING, Any, BinaryIO, Protocol

from poolctl.errors import ClientGone
from poolctl.runtime.app.asgi.output import AsgiLoop
from poolctl.runtime.channels.parcel import ENDED, LAST
from poolctl.runtime.ownership.half_sync_half_reactive.noted_sending import NotedSending
from poolctl.runtime.protocol.http.inflow import Inflow
from poolctl.runtime.protocol.http.streaming import StreamingConversation
from poolctl.runtime.serving.leaving import state
from poolctl.runtime.timeouts import Timeouts

if TYPE_CHECKING:
    from poolctl.runtime.protocol.http.request import HttpRequest

PIECE = 65536
LOOK = 0.5  # seconds between two looks whether a client has left, while an app waits for that


class Borrower(AsgiLoop, Protocol):
    """The executor, as far as a request asks it."""

    events: asyncio.AbstractEventLoop
    timeouts: Timeouts

    def complete(self, lent: Any) -> None:
        """The response is: the connection goes back."""


class LentRequest(NotedSending):
    """Its request is here whole; a large one in a file, of which the app is given a piece at a time.

    ``exchange`` is set while the request is in hand: until its response is complete. Then the connection is given back,
    and nothing here may touch its descriptor again.
    """

    __slots__ = (
        "_data", "_flags", "_news", "_waiter", "client", "conversation", "exchange", "gone", "holds", "loop",
        "started", "task", "ticket"
    )  # fmt: skip

    ended = False  # who ends its own side may still wait for the answer; only the front could tell

    def __init__(
        self,
        loop: Borrower,
        fd: int,
        row: memoryview,
        conversation: StreamingConversation,
        ticket: int,
        flags: int,
        data: bytes | BinaryIO,
        client: Any,
    ) -> None:
        super().__init__(row)
        self.loop = loop
        self.fd = fd
        self.conversation = conversation
        self.client = client  # what it goes back by
        self.ticket = ticket
        self.exchange: Any = None
        self.task: asyncio.Task[None] | None = None
        self.holds = True  # a slot
        self.started = 0  # when it was taken (ns)
        self.gone = False
        self.last = bool(flags & LAST)
        self._flags = flags
        self._data = data
        self._waiter: asyncio.Future[None] | None = None
        self._news: asyncio.Future[None] | None = None

    def request(self) -> HttpRequest | None:
        """The request; None when its bytes are none, which the front has made sure of."""
        conversation = self.conversation
        if isinstance(self._data, bytes):
            conversation.receive(self._data)
        else:
            while not conversation.requests and not conversation.failure:
                conversation.receive(self._data.read(PIECE))
        if self._flags & ENDED and isinstance(self._data, bytes):
            conversation.ended()
        return conversation.requests.popleft() if conversation.requests else None

    async def body(self, inflow: Inflow) -> bytes | None:
        """The next bytes of the body, empty at its end."""
        if isinstance(self._data, bytes):
            return inflow.take() if inflow.size else b""
        while not inflow.size and not inflow.done:
            piece = self._data.read(PIECE)
            if not piece:
                return None
            self.conversation.receive(piece)
        return inflow.take() if inflow.size else b""

    async def until_drained(self) -> None:
        """Until the client has taken what was sent. Raises ClientGone, also when it takes nothing for too long."""
        events = self.loop.events
        while self.outbound is not None and self.exchange is not None and not self.gone:
            before = self.outbound.left
            if self._waiter is None:
                self._waiter = events.create_future()
                events.add_writer(self.fd, self._writable)
            await wait((self._waiter,), timeout=self.loop.timeouts.write)
            if self.outbound is not None and self._waiter is not None and self.outbound.left == before:
                self.gone = True
                self._let_go()
        if self.gone:
            raise ClientGone("the client reads nothing, or has left")

    def _writable(self) -> None:
        try:
            self.catch_up()
        except ClientGone:
            self.gone = True
        if self.outbound is None or self.gone:
            self._let_go()

    def _let_go(self) -> None:
        """Nobody waits for the client any more."""
        waiter, self._waiter = self._waiter, None
        if waiter is not None:
            self.loop.events.remove_writer(self.fd)
            if not waiter.done():
                waiter.set_result(None)

    async def news(self) -> None:
        """Until the client has left, the response is complete, or the server stops; perhaps before. The client's bytes
        are the front's to read, so this only looks whether the connection was broken off."""
        if self._news is None:
            self._news = self.loop.events.create_future()
        await wait((self._news,), timeout=LOOK)
        if self.exchange is not None and not self.gone:
            self.gone = bool(state(self.fd))

    def notify(self) -> None:
        """Something has changed: resume the tasks that wait for it."""
        news, self._news = self._news, None
        if news is not None and not news.done():
            news.set_result(None)

    def complete(self, exchange: Any) -> None:
        """The response is: the connection goes back, though the app may have more to do."""
        self.loop.complete(self)

    def done(self) -> bool:
        """The app has answered. Whether its request was read to its end, so that the next one begins there."""
        conversation = self.conversation
        self._let_go()
        if not isinstance(self._data, bytes):
            self._data.close()
        return not conversation.failure and conversation.inflow is None


class LoggedLentRequest(LentRequest):
    """Notes what it sends, as the tally of other apps does."""

    __slots__ = ("first", "more")

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.first = b""
        self.more = 0

    def send(self, data: bytes) -> None:
        """Send it, noted."""
        if self.began:
            self.more += len(data)
        else:
            self.first = data
        super().send(data)

    def send_file(self, file: int, offset: int, count: int) -> None:
        """As above; a head has gone before it."""
        self.more += count
        super().send_file(file, offset, count)
