"""A connection that has become a WebSocket: one task, messages both ways, until one side closes it."""

from __future__ import annotations

import asyncio
import logging
import socket
from asyncio import shield
from collections.abc import Hashable, Mapping
from os import read
from time import monotonic_ns
from typing import TYPE_CHECKING, Any, cast

from poolctl.errors import ClientGone, comes_of_leaving
from poolctl.runtime.access_log.service import LoggedService
from poolctl.runtime.protocol.websocket.conversation import ABNORMAL, WebSocketConversation
from poolctl.runtime.scoreboard import FAILED, REQUESTS
from poolctl.runtime.serving.connection import READ
from poolctl.runtime.serving.service import Service
from poolctl.runtime.serving_async.connection import AHEAD, FULL, AsyncConnection
from poolctl.runtime.serving_async.stopping import CANCELLED
from poolctl.runtime.system import forked
from poolctl.runtime.system.poller import IN, OUT

if TYPE_CHECKING:
    from poolctl.runtime.protocol.http.protocol import Http

log = logging.getLogger("poolctl")
BEHIND = 1024 * 1024  # bytes that wait for the client, past which it is not read from
FAREWELL = 5.0  # seconds that a client has to answer our close
FAILURE, RESTART = 1011, 1012


class WebSocketConnection(AsyncConnection):
    """Takes over the descriptor of the connection on which the request came."""

    __slots__ = ("_came", "_pinged", "_until", "first", "more")

    conversation: WebSocketConversation  # type: ignore[assignment]

    @classmethod
    def take_over(cls, before: AsyncConnection, service: Service) -> None:
        """The request that stands before it has been answered; from here on the connection is this one's."""
        conversation = cast(WebSocketConversation, before.conversation.successor)
        before.open = False
        made = cls(before.loop, before.fd, conversation, service)  # type: ignore[arg-type]
        made.leaving = before.leaving
        made.watched = before.watched
        before.loop.handlers[made.fd] = made
        made.loop.modify(made, IN)  # whatever was waited for, or nudged, before
        made._began()

    def _began(self) -> None:
        self._came: asyncio.Future[None] | None = None
        self._pinged = False
        self._until = 0.0  # when the wait for the client's close is over; 0: we have not closed it
        self.first = b""
        self.more = 0
        self._wait()
        self.exchange = self.app.websocket(self.conversation, self)
        task = self.loop.start(self._talk(), "websocket")
        if not task.done():
            self.task = task

    @property
    def in_flight(self) -> Mapping[Hashable, asyncio.Task[None]]:
        """None: a WebSocket lasts as long as both want."""
        return {}

    async def _talk(self) -> None:
        """The task: the app, its error boundary, and the close."""
        started = monotonic_ns()
        exchange = self.exchange
        try:
            try:
                await exchange.call()
            except ClientGone as error:
                log.debug("the app was told that the client has gone: %s", error)
            except BaseException as error:  # the app's
                forked.leave()
                if self.loop.finished:
                    raise  # the event loop ends without waiting: its front is dead
                self._failed(exchange, error)
                exchange.failed()
            else:
                exchange.returned()
            self._ended_talk(started)
        except Exception as error:  # noqa: BLE001  # the boundary, which logs it
            self.loop.fail(self, self._service, error)

    def _failed(self, exchange: Any, error: BaseException) -> bool:
        if comes_of_leaving(error):
            log.info("a client left a WebSocket, and the app raised %r", error)
        elif isinstance(error, asyncio.CancelledError) and self.loop.stopping.step == CANCELLED:
            log.warning("a WebSocket was cancelled: timeouts.drain is nearly over")
        else:
            log.error("the app raised while it had a WebSocket", exc_info=error)
            self._service.row[FAILED] += 1
        return False

    def _ended_talk(self, started: int) -> None:
        """The app has returned."""
        self._service.row[REQUESTS] += 1
        if isinstance(self._service, LoggedService):
            now = monotonic_ns()
            self._service.note(self.conversation.request, self, now - started, now)
        self.task = self.exchange = None
        self._settle()

    # what the app does

    async def message(self) -> str | bytes | None:
        """The next message; None when there will be none."""
        conversation = self.conversation
        while not conversation.messages:
            if conversation.closed is not None or self.gone:
                return None
            if self._came is None or self._came.done():
                self._came = self.loop.events.create_future()
            await shield(self._came)
        message = conversation.take()
        self._wait()
        return message

    def send(self, data: bytes) -> None:
        """Send it, noted for the log."""
        if self.began:
            self.more += len(data)
        else:
            self.first = data
        super().send(data)

    def flush(self) -> None:
        """Send the frames that wait. Raises ClientGone."""
        out = self.conversation.out
        if out:
            data = bytes(out)
            out.clear()
            self.send(data)
            self._wait()

    async def until_drained(self) -> None:
        """Until the client has taken what was sent. Raises ClientGone, also when it wants no more."""
        while self.outbound is not None and not self.gone and self.conversation.closed is None:
            if self._drained is None:
                self._drained = self.loop.events.create_future()
            await shield(self._drained)
        if self.gone or self.conversation.closed is not None:
            raise ClientGone("the WebSocket is closed")

    def _wait(self) -> None:
        """Read on while bytes wait for the client, which may be about to say that it wants no more of them."""
        conversation = self.conversation
        outbound = self.outbound
        full = conversation.size > FULL or len(conversation.messages) > AHEAD
        full = full or (outbound is not None and outbound.left > BEHIND)  # by pongs, for instance
        mask = (0 if full else IN) | (0 if outbound is None else OUT)
        if mask != self.mask and not self.gone:
            self.loop.modify(self, mask)

    # events

    def on_event(self, events: int, service: Service) -> None:
        """It can be read or written, or both."""
        if self.outbound is not None:
            self._write(service)
        if self.open and not self.gone and self.mask & IN:
            try:
                data = read(self.fd, READ)
            except BlockingIOError:
                return
            except OSError:
                data = b""
            self._received(data, service)

    def _received(self, data: bytes, service: Service) -> None:
        conversation = self.conversation
        if self.outbound is None:  # or else it is what the client takes that counts
            self.since = self.loop.now
        self._pinged = False
        if data:
            conversation.receive(data)
        else:
            conversation.ended()
        if conversation.closed is not None and conversation.closed[0] == ABNORMAL:
            self.client_left()
        else:
            try:
                self.flush()
            except ClientGone:
                self.client_left()
        self._wait()
        self._part()
        self.notify()
        self._settle()

    def _write(self, service: Service) -> None:
        try:
            if self.catch_up():
                self.since = self.loop.now
        except ClientGone:
            self.client_left()
            self._settle()
            return
        if self.outbound is None:
            self._wait()
            self._part()
            self.notify()
            self._settle()

    def _settle(self) -> None:
        """The end, when the app has returned and there is nothing more to say or to hear."""
        if self.exchange is not None or not self.open:
            return
        conversation = self.conversation
        if conversation.rude and self.gone and self.outbound is None:
            self.open = False
            self.loop.remove(self)
            self._over(self._service)
            self.loop.linger(socket.socket(fileno=self.fd))  # it may still be sending, and is to read what was wrong
            self.loop.later()
        elif (
            self.gone
            or (self.outbound is None and (conversation.over or not conversation.accepted))
            or self.loop.stopping.step == CANCELLED
        ):
            self.close(self._service)
        elif not self._until:
            self._until = self.loop.now + FAREWELL
            conversation.messages.clear()
            conversation.size = 0
            self._wait()

    def _part(self) -> None:
        """Both have said that it is over: it is the server that closes first (RFC 6455, 7.1.1), whatever the app does
        meanwhile."""
        if self.conversation.over and self.outbound is None and not self.gone:
            sock = socket.socket(fileno=self.fd)
            try:
                sock.shutdown(socket.SHUT_WR)
            except OSError:
                log.debug("the client was quicker")
            finally:
                sock.detach()
            self.client_left()

    def client_left(self) -> None:
        if not self.gone:
            self.gone = self.leaving = True
            self.conversation.ended()
            self.loop.mute(self)
        self.notify()

    def notify(self) -> None:
        conversation = self.conversation
        came = self._came
        if came is not None and not came.done() and (conversation.messages or conversation.closed or self.gone):
            came.set_result(None)
        if self.outbound is None or self.gone or conversation.closed is not None:
            super().notify()

    # time

    def expire(self, now: float, service: Service) -> None:
        """A client that is silent is asked whether it is there; one that does not answer, or reads nothing, is not."""
        if self.gone:
            return
        waited = now - self.since
        if self._until:
            if now > self._until:
                self.client_left()
        elif self.outbound is not None:
            if waited > self.loop.timeouts.write:
                self.client_left()
        elif self.mask and self.conversation.accepted:
            patience = cast("Http", service.protocol).websocket_ping
            if self._pinged and waited > 2 * patience:
                self.conversation.close(FAILURE, "no answer to a ping")
                self._tell()
                self.client_left()
            elif not self._pinged and waited > patience:
                self._pinged = True
                self.conversation.ping()
                self._tell()
        self._settle()

    def _tell(self) -> None:
        try:
            self.flush()
        except ClientGone:
            self.client_left()

    def drain(self, service: Service) -> None:
        """The client is told that the server goes; the app hears of it as of any close."""
        self.leaving = True
        self.part()

    def refuse(self, status: int) -> None:
        """Answer the handshake with an error. Raises ClientGone."""
        self.send(self._service.protocol.refusal(status))

    def part(self) -> None:
        """Close it, if the server leaves."""
        if self.leaving and not self.gone and self.conversation.accepted:
            self.conversation.close(RESTART, "the server is restarted")
            self._tell()
            self.notify()
            self._settle()

    def cut(self, service: Service) -> None:
        """The time to drain is nearly over: a client that has not answered our close has had its time."""
        if self.exchange is None:
            self.close(service)

    def close(self, service: Service) -> None:
        """The end of the connection; the app's task, if there is one, ends by itself."""
        if self.exchange is not None:
            self.client_left()
        else:
            super().close(service)

    def turn_away(self, status: int, service: Service) -> None:
        """There is no status any more."""
        self.close(service)
