"""A connection of a connection loop: its requests are answered in order, as the client takes the answers.

    read --> conversation.receive --> requests --> Service.answer --> send
                                                                       +--> outbound, and no request until it is empty

``phases.py`` has its phases and their table; the one that is left out there is who runs this: the thread of the loop,
or under leader/followers the thread whose turn it is (``shared_connection.py``).
"""

from __future__ import annotations

import contextlib
from os import close, read
from time import monotonic
from typing import Protocol

from poolctl.errors import ClientGone
from poolctl.runtime.loop.source import AnyHandler, Delivery, Handler
from poolctl.runtime.protocol import Conversation
from poolctl.runtime.scoreboard import DONE
from poolctl.runtime.serving.client_connection import READ, ClientConnection, ClientLoop
from poolctl.runtime.serving.leaving import BROKEN, WAITED, left, state
from poolctl.runtime.serving.multiplex import multiplex
from poolctl.runtime.serving.phases import ANSWERING, CLOSED, FINISHING, IDLE, NEW, READING, SENDING, WAITS_FOR_REQUEST
from poolctl.runtime.serving.service import Service
from poolctl.runtime.system import forked
from poolctl.runtime.system.poller import IN, OUT


class ServedLoop(ClientLoop, Protocol):
    """The loop, as a connection that it owns asks it."""

    draining: bool
    shared: bool  # several threads run it
    open: int  # connections

    def closing(self, handler: AnyHandler) -> None:
        """The handler is about to close its descriptor."""

    def turn_away(self, fd: int, words: bytes) -> None:
        """Tell a client why it is not served, let it read that, close."""

    def fail(self, handler: Handler[Service], service: Service, error: BaseException) -> None:
        """A handler raised: log it, count it, and end what the handler stands for."""


class Connection(ClientConnection[Service]):
    """Reads, has its requests answered in order, keeps what the client does not take.

    ``again``: more may have come, and where only edges are reported nobody else would say so. ``hung``: an edge
    reported the end as well, which follows what has come.
    """

    delivery = Delivery.EDGE

    __slots__ = ("again", "conversation", "hung", "loop")

    loop: ServedLoop

    def __init__(self, loop: ServedLoop, fd: int, conversation: Conversation) -> None:
        # ClientConnection.__init__ written out: a call would be felt by each new connection
        self.began = False
        self.outbound = None
        self.observer = None
        self.last = False
        self.fd = fd
        self.mask = IN
        self.watched = False
        self.leaving = loop.draining
        self.phase = NEW
        self.since = loop.now
        self.loop = loop
        self.conversation = conversation
        self.again = False
        self.hung = False

    @property
    def incoming(self) -> Conversation:
        return self.conversation

    @property
    def stalled(self) -> bool:
        return self.conversation.stalled

    def begin(self, service: Service) -> None:
        """Serve what has come with it; then wait for more."""
        self.on_event(IN, service)
        if self.phase is not CLOSED:
            self.loop.add(self)

    def was_reset(self, events: int) -> bool:
        """Whether the client has left by a reset, so that nobody waits for what it has asked for."""
        return self.conversation.forgets and left(events, self.conversation.peer)

    # events

    def on_event(self, events: int, service: Service) -> None:
        """It can be read or written, or is broken."""
        # the event may be another's: one that had this descriptor before, in the same batch
        if events & BROKEN and self.was_reset(state(self.fd)):
            self.close(service)
            return
        if self.outbound is not None:
            self._write(service)
            return
        try:
            data = read(self.fd, READ)
        except BlockingIOError:
            self._nothing(service)
            return
        except OSError:
            self.close(service)
            return
        self._received(data, service)

    def _received(self, data: bytes, service: Service) -> None:
        conversation = self.conversation
        if data:
            conversation.receive(data)
            if len(data) == READ or self.hung:
                self.again = True
        else:
            conversation.ended()
            self.leaving = True
        if conversation.requests:
            self._answer(service)
        else:
            self._unanswered(service)
            if not data and self.phase in WAITS_FOR_REQUEST and not conversation.multiplexed:
                self.close(service)

    def _nothing(self, service: Service) -> None:
        """The event was not for bytes: the loop drains, and asks which connections can end; or it is the turn of a
        response."""
        if self.conversation.multiplexed:
            multiplex(self, service)
        elif self.leaving:
            if self.phase is IDLE:
                self.close(service)
            else:
                self.loop.modify(self, IN)

    def _answer(self, service: Service) -> None:
        """All requests that have come whole, in order, until the client falls behind."""
        conversation = self.conversation
        requests = conversation.requests
        self.phase = ANSWERING
        while requests:
            request = requests.popleft()
            if self.leaving:
                self.last = not requests and not conversation.failure
            keep = service.answer(request, self)
            if not keep:
                requests.clear()
                self.leaving = True
            if self.outbound is not None:
                self.phase = SENDING if keep else FINISHING
                self.since = self.loop.now
                self.loop.modify(self, OUT)
                return
            if not keep:
                self.close(service)
                return
            if requests and monotonic() - self.loop.now > WAITED and self.was_reset(state(self.fd)):
                self.close(service)
                return
        self.phase = IDLE
        self.since = self.loop.now
        if self.leaving or conversation.failure or conversation.reply or conversation.pending:
            self._unanswered(service)

    def _unanswered(self, service: Service) -> None:
        """What has come is no complete request, and nothing complete is left."""
        conversation = self.conversation
        if conversation.multiplexed:
            multiplex(self, service)
            return
        if conversation.successor is not None:
            self.conversation = conversation.successor
            multiplex(self, service)
            return
        if conversation.failure:
            self.turn_away(conversation.failure, service)
            return
        if self.leaving and (self.phase is IDLE or not conversation.pending):
            self.close(service)
            return
        if conversation.reply:
            reply, conversation.reply = conversation.reply, b""
            try:
                self.send(reply)
            except ClientGone:
                self.close(service)
                return
            if self.outbound is not None:
                self.loop.modify(self, OUT)
        if self.phase is not READING or conversation.in_body:
            self.phase = READING
            self.since = self.loop.now

    def _write(self, service: Service) -> None:
        """The client reads again."""
        try:
            if self.catch_up():
                self.since = self.loop.now
        except ClientGone:
            self.close(service)
            return
        if self.outbound is not None:
            if self.loop.shared:
                self.loop.modify(self, OUT)  # its turn may be over: where only edges are reported, nobody else says so
            return
        if self.phase is FINISHING:
            self.close(service)
            return
        self.loop.modify(self, IN)
        if self.phase is SENDING or self.conversation.requests:
            self._answer(service)

    # the end

    def _reset(self, service: Service) -> None:
        self.close(service)

    def close(self, service: Service) -> None:
        """The end of the connection, and of the task that it was."""
        if self.phase is not CLOSED:
            self.phase = CLOSED
            try:
                self.loop.closing(self)
                self._over(service)
            finally:
                if forked.seen():
                    forked.shut(self.fd)
                close(self.fd)

    def abort(self, service: Service) -> None:
        """Something raised: the end, however far it had come."""
        if self.phase is not CLOSED and not self.began:
            with contextlib.suppress(ClientGone):
                self.send(service.protocol.refusal_to(self.conversation.line, 500))
        self.close(service)

    def turn_away(self, status: int, service: Service, line: bytes | None = None) -> None:
        """The end, with the protocol's words for this status. ``line``: the first of the request that is refused, where
        it is not the one that is coming."""
        if self.phase is not CLOSED:
            self.phase = CLOSED
            self.loop.remove(self)
            self._over(service)
            conversation, protocol = self.conversation, service.protocol
            if conversation.multiplexed:  # the status belongs to no request, and may be that of a good end
                refusal = protocol.refusal(status)
            else:
                refusal = protocol.farewell(status, conversation.peer, conversation.line if line is None else line)
            self.loop.turn_away(self.fd, conversation.last_words(refusal))

    def _over(self, service: Service) -> None:
        self.loop.open -= 1
        service.row[DONE] += 1
        if self.outbound is not None:
            self.outbound.close()
