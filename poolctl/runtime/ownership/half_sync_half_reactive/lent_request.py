"""A connection that was lent for one request, as an async app sees it."""

from __future__ import annotations

import asyncio
import logging
from asyncio import wait
from typing import TYPE_CHECKING, Any, BinaryIO, ClassVar, Generic, Protocol, TypeVar

from poolctl.errors import ClientGone
from poolctl.runtime.app.asgi.output import AsgiLoop
from poolctl.runtime.app.awaited import Exchange
from poolctl.runtime.buffers.observer import Observer, observers
from poolctl.runtime.buffers.outbound import Sending
from poolctl.runtime.channels.parcel import FLAG_ENDED, FLAG_LAST, FLAG_PACKED, FLAG_TIMED, PIECE_BYTES
from poolctl.runtime.ownership.half_sync_half_reactive.first_byte import FirstByte
from poolctl.runtime.protocol.http.inflow import Inflow
from poolctl.runtime.protocol.http.streaming import StreamingConversation
from poolctl.runtime.protocol.output import Presence
from poolctl.runtime.serving.request_line import line_of
from poolctl.runtime.serving.service import REQUEST, Service, Work
from poolctl.runtime.system.state import state
from poolctl.runtime.timeouts import Timeouts

if TYPE_CHECKING:
    from poolctl.runtime.protocol.http.request import HttpRequest

log = logging.getLogger("poolctl")
L = TypeVar("L")  # what a connection goes back by
LOOK_SECONDS = 0.5  # seconds between two checks whether a client has left, while the app waits for that


class Borrower(AsgiLoop, Protocol):
    """What a lent request needs of its executor."""

    events: asyncio.AbstractEventLoop
    timeouts: Timeouts
    service: Service

    def complete(self, lent: LentRequest[Any]) -> None:
        """The response is complete, though the app may go on: give the connection back."""

    def give_up(self, lent: LentRequest[Any], keep: bool) -> None:
        """The app is done: give the connection back. ``keep``: whether it may be kept."""


class Slot:
    """The place of one request in flight. ``row``: its row of the scoreboard, with the ticket; ``sent``: the access
    log's observer of its responses, or None."""

    def __init__(self, row: memoryview, sent: Observer | None, sessions: Observer | None) -> None:
        self.row = row
        self.sent = sent
        self.observer = observers(sessions, FirstByte(row), sent)


class LentRequest(Sending, Generic[L]):
    """The output of the app, and the shell of ``boundary.attend``. Its request has arrived whole; a large one is in a
    file, which the app gets piece by piece.

    ``exchange`` is the call of the app until its response is complete. Then the connection is given back, and nothing
    here may touch its descriptor again. ``slot``: its slot until the request is done. ``refused``: the status with
    which the request was refused; 0: it was not.
    """

    __slots__ = (
        "_data", "_flags", "_news", "_waiter", "conversation", "exchange", "lender", "loop", "presence", "refused",
        "request", "slot", "started", "task", "ticket", "timed",
    )  # fmt: skip

    work: ClassVar[Work] = REQUEST

    def __init__(
        self,
        loop: Borrower,
        fd: int,
        slot: Slot | None,
        conversation: StreamingConversation,
        ticket: int,
        flags: int,
        data: bytes | BinaryIO,
        lender: L,
    ) -> None:
        super().__init__(None if slot is None else slot.observer)
        self.loop = loop
        self.fd = fd
        self.conversation = conversation
        self.lender = lender  # between processes the client's introduction, between threads its held connection
        self.ticket = ticket
        self.exchange: Exchange | None = None
        self.task: asyncio.Task[None] | None = None
        self.slot = slot
        self.started = 0  # when the app was given it (ns)
        # A client that ends its sending side may still wait for the response; only the front sees that, so never ENDED.
        self.presence = Presence.HERE
        self.refused = 0
        self.request: HttpRequest
        self.last = bool(flags & FLAG_LAST)
        self.timed = bool(flags & FLAG_TIMED)
        self._flags = flags
        self._data = data
        self._waiter: asyncio.Future[None] | None = None
        self._news: asyncio.Future[None] | None = None

    def read(self) -> HttpRequest | None:
        """Return the request; None if its bytes are no valid request, which the front's framer should rule out."""
        conversation = self.conversation
        if isinstance(self._data, bytes):
            if self._flags & FLAG_PACKED:
                conversation.unpack(self._data)
            else:
                conversation.receive(self._data)
        else:
            while not conversation.requests and not conversation.failure and (piece := self._data.read(PIECE_BYTES)):
                conversation.receive(piece)
        if self._flags & FLAG_ENDED and isinstance(self._data, bytes):
            conversation.ended()
        if not conversation.requests:
            return None
        self.request = conversation.requests.popleft()
        return self.request

    # the shell of its call

    @property
    def line(self) -> str:
        """The request line, for the log."""
        return line_of(self.request)

    def refuse(self, status: int) -> None:
        """Answer with this status instead of the app, if nothing was sent."""
        if self.presence is Presence.HERE:
            self.loop.service.refuse(self.request, self, status)

    def over(self, keep: bool) -> None:
        """The app is done: give the connection back."""
        self.loop.give_up(self, keep)

    def fail(self, error: Exception) -> None:
        """Log an exception outside of the app, and close the connection."""
        log.error("a lent connection failed; closing it: %r", error, exc_info=error)
        if self.exchange is not None:
            self.loop.give_up(self, False)

    def complete(self, exchange: Exchange) -> None:
        """The response is complete: give the connection back, though the app may go on."""
        if self.exchange is not None:
            self.loop.complete(self)

    # what the app waits for

    async def body(self, inflow: Inflow) -> bytes | None:
        """Return the next bytes of the body, empty at its end; None if they will never come."""
        if isinstance(self._data, bytes):
            return inflow.take() if inflow.size else b""
        while not inflow.size and not inflow.done:
            piece = self._data.read(PIECE_BYTES)
            if not piece:
                return None
            self.conversation.receive(piece)
        return inflow.take() if inflow.size else b""

    async def until_drained(self) -> None:
        """Wait until the client has taken all that was sent. Raises ClientGone, also if it takes nothing for
        timeouts.write."""
        events = self.loop.events
        while self.outbound is not None and self.exchange is not None and self.presence is Presence.HERE:
            before = self.outbound.left
            if self._waiter is None:
                self._waiter = events.create_future()
                events.add_writer(self.fd, self._writable)
            await wait((self._waiter,), timeout=self.loop.timeouts.write)
            if self.outbound is not None and self._waiter is not None and self.outbound.left == before:
                self.presence = Presence.GONE
                self._let_go()
        if self.presence is Presence.GONE:
            raise ClientGone("the client has left, or read nothing for too long")

    def _writable(self) -> None:
        try:
            self.catch_up()
        except ClientGone:
            self.presence = Presence.GONE
        if self.outbound is None or self.presence is Presence.GONE:
            self._let_go()

    def _let_go(self) -> None:
        """End the wait for the client."""
        waiter, self._waiter = self._waiter, None
        if waiter is not None:
            self.loop.events.remove_writer(self.fd)
            if not waiter.done():
                waiter.set_result(None)

    def client_left(self) -> None:
        """Treat the client as gone: it gets nothing more, and the app finds that out. What it has not taken is
        dropped, since the front would go on to send it."""
        self.presence = Presence.GONE
        self._let_go()
        self.discard()
        self.notify()

    async def news(self) -> None:
        """Wait until the client has left, the response is complete, or the server stops; may return earlier. Only the
        front reads the client's bytes, so this only checks whether the connection is broken."""
        if self._news is None:
            self._news = self.loop.events.create_future()
        await wait((self._news,), timeout=LOOK_SECONDS)
        if self.exchange is not None and state(self.fd):
            self.presence = Presence.GONE

    def notify(self) -> None:
        """Something has changed: resume the waiting tasks."""
        news, self._news = self._news, None
        if news is not None and not news.done():
            news.set_result(None)

    def done(self) -> bool:
        """The app has answered. Returns whether its request was read to its end, so that the conversation can be used
        for the next one."""
        conversation = self.conversation
        self._let_go()
        if not isinstance(self._data, bytes):
            self._data.close()
        return not conversation.failure and conversation.inflow is None
