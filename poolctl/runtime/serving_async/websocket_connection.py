"""A connection that has become a WebSocket: one task, messages in both directions, until one side closes it.

    frames --> conversation.messages --> the app --> conversation.out --> frames

It is ANSWERING while the app has it. After the app has returned, the client has ``FAREWELL_SECONDS`` to reply to our
close frame (RFC 6455, 7.1.1); messages that it sends until then are read and dropped. The file is long because both
directions share the closing handshake.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from asyncio import shield
from collections.abc import Hashable, Sequence
from time import monotonic_ns
from typing import TYPE_CHECKING, Any, ClassVar, cast

from poolctl.errors import ClientGone
from poolctl.runtime.app.awaited import WebSocketCall
from poolctl.runtime.loop.overdue import TOO_LATE
from poolctl.runtime.protocol.output import GONE
from poolctl.runtime.protocol.websocket.conversation import ABNORMAL, FAILURE, RESTART, WebSocketConversation
from poolctl.runtime.scoreboard import CLOSED_IDLE
from poolctl.runtime.serving.client_connection import READ_BYTES
from poolctl.runtime.serving.phases import CLOSED, IDLE
from poolctl.runtime.serving.request_line import line_of
from poolctl.runtime.serving.service import WEBSOCKET, Service, Work
from poolctl.runtime.serving_async.boundary import attend
from poolctl.runtime.serving_async.connection import AHEAD_REQUESTS, AsyncConnection
from poolctl.runtime.serving_async.stopping import CANCELLED
from poolctl.runtime.serving_async.task_connection import UNREAD_BYTES, UNSENT_BYTES, TaskConnection
from poolctl.runtime.serving_async.task_loop import TaskLoop
from poolctl.runtime.system.poller import IN, OUT

if TYPE_CHECKING:
    from poolctl.runtime.protocol.http.protocol import Http

log = logging.getLogger("poolctl")
FAREWELL_SECONDS = 5.0  # seconds that a client has to reply to our close frame


class WebSocketConnection(TaskConnection):
    """Takes over the descriptor of the connection on which the handshake arrived. ``websocket``: its conversation."""

    __slots__ = ("_came", "_drained", "_pinged", "_started", "_until", "exchange", "refused", "websocket")

    work: ClassVar[Work] = WEBSOCKET

    def __init__(self, loop: TaskLoop, fd: int, conversation: WebSocketConversation, service: Service) -> None:
        TaskConnection.__init__(self, loop, fd, conversation, service)
        self.websocket = conversation
        self.exchange: WebSocketCall | None = None
        self.refused = 0  # TOO_LATE once a drain has cut it off: otherwise its duration is unbounded
        self._came: asyncio.Future[None] | None = None  # the app waits for a message
        self._drained: asyncio.Future[None] | None = None  # tasks wait until the client has taken what was sent
        self._pinged = False
        self._started = monotonic_ns()
        self._until = 0.0  # when the wait for the client's close frame ends; 0: we have sent none

    @classmethod
    def succeed(cls, before: AsyncConnection) -> None:
        """Replace an HTTP/1 connection whose earlier requests have been answered, and start the app."""
        conversation = before.conversation.successor
        assert isinstance(conversation, WebSocketConversation)
        made = cls(before.loop, before.fd, conversation, before.service)
        made.exchange = exchange = before.app.websocket(conversation, made)  # before: the app may raise
        made.take_over(before)
        made.withdraw_notice(made.service)  # it goes on until the stop itself
        made._wait()
        made.start(attend(exchange, made, made.loop, made.service), "websocket")

    # the shell of its call

    @property
    def line(self) -> str:
        """The request line of its handshake, for the log."""
        return line_of(self.websocket.request)

    def refuse(self, status: int) -> None:
        """Close it; the exchange chooses the close code."""
        assert self.exchange is not None  # its task calls this
        self.exchange.failed()

    def over(self, keep: bool) -> None:
        """The app has returned."""
        self.service.count()
        if self.service.entries is not None:
            self.service.note(self.websocket.request, self.observer if self.began else None, self._started)
        self.task = self.exchange = None
        self.phase = IDLE
        self._settle()

    # what the app does

    async def message(self) -> str | bytes | None:
        """Wait for the next message and return it; None if no more will come."""
        conversation = self.websocket
        while not conversation.messages:
            if conversation.closed is not None or self.presence is GONE:
                return None
            if self._came is None or self._came.done():
                self._came = self.loop.events.create_future()
            await shield(self._came)
        message = conversation.take()
        self._wait()
        return message

    def flush(self) -> None:
        """Send the waiting frames. Raises ClientGone."""
        out = self.websocket.out
        if out:
            data = bytes(out)
            out.clear()
            self.send(data)
            self._wait()

    async def until_drained(self) -> None:
        """Wait until the client has taken all that was sent. Raises ClientGone, also if the client has closed the
        WebSocket."""
        while self.outbound is not None and self.presence is not GONE and self.websocket.closed is None:
            if self._drained is None:
                self._drained = self.loop.events.create_future()
            await shield(self._drained)
        if self.presence is GONE or self.websocket.closed is not None:
            raise ClientGone("the WebSocket is closed")

    def refuse_handshake(self, status: int) -> None:
        """Answer the handshake with an error. Raises ClientGone."""
        self.send(self.service.protocol.refusal(status))

    def _wait(self) -> None:
        """Update the events to wait for. Reads on while bytes wait for the client, which may send its close frame."""
        conversation = self.websocket
        outbound = self.outbound
        full = conversation.size > UNREAD_BYTES or len(conversation.messages) > AHEAD_REQUESTS
        full = full or (outbound is not None and outbound.left > UNSENT_BYTES)  # by pongs, for instance
        mask = (0 if full else IN) | (0 if outbound is None else OUT)
        if mask != self.mask and self.presence is not GONE:
            self.loop.modify(self, mask)

    # events

    def on_event(self, events: int, service: Service) -> None:
        """Its descriptor is readable or writable, or both."""
        if self.outbound is not None:
            self._write(service)
        if self.phase is not CLOSED and self.presence is not GONE and self.mask & IN:
            try:
                data = self.read(self.fd, READ_BYTES)
            except BlockingIOError:
                return
            except OSError:
                data = b""
            self._received(data, service)

    def _received(self, data: bytes, service: Service) -> None:
        conversation = self.websocket
        if self.outbound is None:  # otherwise timeouts.write counts, from the last byte taken
            self.since = self.loop.now
        self._pinged = False
        if data:
            conversation.receive(data)
        else:
            conversation.ended()
        if conversation.closed is not None and conversation.closed[0] == ABNORMAL:
            self.client_left()
        else:
            self._tell()
        self._wait()
        self._part_ways()
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
            self._part_ways()
            self.notify()
            self._settle()

    def notify(self) -> None:
        """Something has changed: resume the waiting tasks."""
        conversation, gone = self.websocket, self.presence is GONE
        came = self._came
        if came is not None and not came.done() and (conversation.messages or conversation.closed or gone):
            came.set_result(None)
        if self.outbound is None or gone or conversation.closed is not None:
            drained, self._drained = self._drained, None
            if drained is not None and not drained.done():
                drained.set_result(None)

    # time

    def expire(self, now: float, service: Service) -> None:
        """Ping a silent client; treat one that does not reply, or takes no bytes for too long, as gone."""
        if self.presence is GONE:
            return
        waited = now - self.since
        if self._until:
            if now > self._until:
                self.client_left()
        elif self.outbound is not None:
            if waited > self.loop.timeouts.at(self.since).write:
                self.say_closed("timeouts.write", waited)
                self.client_left()
        elif self.mask and self.websocket.accepted:
            patience = cast("Http", service.protocol).websocket_ping
            if self._pinged and waited > 2 * patience:
                self.say_closed("websocket_ping", waited)
                self.websocket.close(FAILURE, "no answer to a ping")
                self._tell()
                self.client_left()
            elif not self._pinged and waited > patience:
                self._pinged = True
                self.websocket.ping()
                self._tell()
        self._settle()

    def _tell(self) -> None:
        try:
            self.flush()
        except ClientGone:
            self.client_left()

    # timeouts.stream

    def streams(self) -> Sequence[Hashable]:
        """Return the task; after that what stands for the wait for the client's close frame."""
        return super().streams() if self.task is not None else [self]

    @property
    def _streaming(self) -> bool:
        return self.websocket.accepted or self.began

    def cut_stream(self, stream: Any, service: Service) -> bool:
        """End it; its close frame, 1012, was sent when the drain began. A client that does not answer that, after the
        app has returned, is not worth a line at this level."""
        if stream is self.task:
            return super().cut_stream(stream, service)
        self.say_closed("timeouts.stream", self.loop.timeouts.stream or 0.0)
        self.client_left()
        self._settle()
        return True

    def cancel_overdue(self, task: asyncio.Task[None]) -> str:
        """End the connection and cancel its task. Returns the request line."""
        self.refused = TOO_LATE
        self.client_left()
        task.cancel()
        return self.line

    def detach(self, task: asyncio.Task[None]) -> None:
        """Close the connection; the rest of the task is work after a response."""
        self.service.fail()
        self.loop.after.add(task)
        self.over(keep=False)

    # the end

    def _settle(self) -> None:
        """After the app has returned: close the connection if nothing is left to send or receive, otherwise wait for
        the client's close frame."""
        if self.phase is not IDLE:
            return
        conversation, gone = self.websocket, self.presence is GONE
        if conversation.rude and gone and self.outbound is None:
            self.linger(says_so=False)  # it may still be sending, and must be able to read the reason
        elif (
            gone
            or (self.outbound is None and (conversation.over or not conversation.accepted))
            or self.loop.stopping.step == CANCELLED
        ):
            self.close(self.service)
        elif not self._until:
            self._until = self.loop.now + FAREWELL_SECONDS
            conversation.messages.clear()
            conversation.size = 0
            self._wait()

    def _part_ways(self) -> None:
        """Both sides have sent a close frame: the server closes the TCP connection first (RFC 6455, 7.1.1), whatever
        the app does meanwhile."""
        if self.websocket.over and self.outbound is None and self.presence is not GONE:
            sock = socket.socket(fileno=self.fd)
            try:
                self._shut(sock)
            except OSError:
                log.debug("the client closed the connection first")
            finally:
                sock.detach()
            self.client_left()

    def client_left(self) -> None:
        """The client has left: the app finds that out, and the connection ends when the app returns."""
        if self.presence is GONE:
            self.notify()
        else:
            self.websocket.ended()
            super().client_left()

    def patient(self, service: Service) -> bool:
        return False

    def drain(self, service: Service) -> None:
        """Send a close frame with the code for a restart; the app sees it as it sees any close."""
        self.tally(CLOSED_IDLE, service)
        self.say_draining()
        self.leaving = True
        self.part()

    def part(self) -> None:
        """Close it, if the server stops."""
        if self.leaving and self.presence is not GONE and self.websocket.accepted:
            self.websocket.close(RESTART, "the server is restarted")
            self._tell()
            self.notify()
            self._settle()

    def turn_away(self, status: int, service: Service, line: bytes | None = None) -> None:
        """Close it: after the handshake there is no status to send."""
        self.close(service)
