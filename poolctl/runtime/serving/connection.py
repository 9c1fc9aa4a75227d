"""A connection of a connection loop: its requests are answered in order, as the client takes the answers."""

from __future__ import annotations

import contextlib
import logging
from math import inf
from os import close, read
from time import monotonic
from typing import TYPE_CHECKING

from poolctl.errors import ClientGone
from poolctl.runtime.buffers.outbound import Sending
from poolctl.runtime.loop.source import Delivery
from poolctl.runtime.protocol import Conversation
from poolctl.runtime.scoreboard import DONE
from poolctl.runtime.serving.leaving import BROKEN, WAITED, left, state
from poolctl.runtime.serving.multiplex import multiplex
from poolctl.runtime.serving.pace import drips
from poolctl.runtime.serving.service import Service
from poolctl.runtime.system import forked
from poolctl.runtime.system.poller import IN, OUT

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Hashable, Mapping, Sequence

    from poolctl.runtime.serving.connection_loop import ConnectionLoop

log = logging.getLogger("poolctl")
READ = 65536  # bytes read at once
NEWCOMER = 1.0  # seconds that a drain waits for the first bytes of a client that has just connected


class Connection(Sending):
    """One connection of a connection loop: reads, has its requests answered in order, keeps what the client does not
    take."""

    delivery = Delivery.EDGE

    __slots__ = (
        "again", "conversation", "hung", "leaving", "loop", "mask", "open", "served", "since", "started", "watched",
    )  # fmt: skip

    def __init__(self, loop: ConnectionLoop, fd: int, conversation: Conversation) -> None:
        # Sending.__init__ written out: a call is more than what all of this may cost a connection
        self.began = False
        self.outbound = None
        self.last = False
        self.loop = loop
        self.fd = fd
        self.conversation = conversation
        self.mask = IN
        self.open = True
        self.watched = False  # the poller knows it, or did
        self.again = False  # more may have come; where only edges are told, nobody else would say so
        self.hung = False  # an edge told of the end as well: it follows what has come
        self.leaving = loop.draining  # no request is taken after those that have come
        self.served = False  # a request was answered
        self.started = False  # a part of a request has come
        self.since = loop.now  # when what is being waited for began

    def begin(self, service: Service) -> None:
        """Serve what has come with it; then wait for more."""
        self.on_event(IN, service)
        if self.open:
            self.loop.add(self)

    def was_reset(self, events: int) -> bool:
        """Whether the client has left by a reset, so that nobody waits for what it has asked for."""
        return self.conversation.forgets and left(events, self.conversation.peer)

    def on_event(self, events: int, service: Service) -> None:
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

    def _nothing(self, service: Service) -> None:
        """The event was not for bytes: the loop drains, and asks who can leave; or it is the turn of a response."""
        if self.conversation.multiplexed:
            multiplex(self, service)
        elif self.leaving:
            if self.served and not self.started:
                self.close(service)
            else:
                self.loop.modify(self, IN)

    def _answer(self, service: Service) -> None:
        """All requests that have come whole, in order, until the client falls behind."""
        conversation = self.conversation
        requests = conversation.requests
        while requests:
            request = requests.popleft()
            if self.leaving:
                self.last = not requests and not conversation.failure
            keep = service.answer(request, self)
            if not keep:
                requests.clear()
                self.leaving = True
            if self.outbound is not None:
                self.loop.modify(self, OUT)
                return
            if not keep:
                self.close(service)
                return
            if requests and monotonic() - self.loop.now > WAITED and self.was_reset(state(self.fd)):
                self.close(service)
                return
        self.served = True
        self.started = False
        self.since = self.loop.now
        if self.leaving or conversation.failure or conversation.reply or conversation.pending:
            self._unanswered(service)

    def _unanswered(self, service: Service) -> None:
        """What has come is no complete request, and nothing complete is left."""
        conversation = self.conversation
        if conversation.multiplexed:
            multiplex(self, service)
            return
        if conversation.failure:
            if conversation.successor is not None:
                self.conversation = conversation.successor
                multiplex(self, service)
            else:
                self.turn_away(conversation.failure, service)
            return
        if self.leaving and (self.served or not conversation.pending):
            self.close(service)
            return
        if conversation.reply:
            reply, conversation.reply = conversation.reply, b""
            try:
                self.send(reply)
            except ClientGone:
                self.close(service)
                return
        if not self.started or conversation.in_body:
            self.started = True
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
                self.loop.modify(self, OUT)  # its turn may be over: where only edges are told, nobody else would say so
            return
        if self.leaving and not self.conversation.requests and not self.conversation.multiplexed:
            self.close(service)
            return
        self.loop.modify(self, IN)
        self._answer(service)

    @property
    def tasks(self) -> Sequence[asyncio.Task[None]]:
        """The tasks of an app that is awaited, which the end of the time to drain cancels."""
        return ()

    def notify(self) -> None:
        """The server stops, or a step of that has come: whoever waits for it is to look."""

    def cut(self, service: Service) -> None:
        """The time to drain is nearly over: the end, unless an app still has it."""

    @property
    def in_flight(self) -> Mapping[Hashable, asyncio.Task[None]]:
        """The tasks that answer requests, which ``timeouts.request`` bounds, by a key for each request."""
        return {}

    def cancel_overdue(self, task: asyncio.Task[None]) -> str:
        """The time of one of them is over: cancel it. What it answers."""
        raise NotImplementedError

    def detach(self, task: asyncio.Task[None]) -> None:
        """It goes on although it was cancelled: end its request without it."""

    def expire(self, now: float, service: Service) -> None:
        """Close it when its client has kept the server waiting for too long; a request that has begun gets a 408.
        ``now``: infinite when the time to drain is nearly over."""
        timeouts, waited = self.loop.timeouts, now - self.since
        if self.outbound is not None or self.conversation.stalled:
            if waited > timeouts.write:
                self.close(service)
        elif self.started:
            if waited > (timeouts.idle if self.conversation.in_body else timeouts.head):
                self._overdue(service, now)
            elif timeouts.body_rate and (body := self.conversation.coming) is not None and drips(body, now, timeouts):
                self.turn_away(408, service)
        elif waited > (timeouts.idle if self.served else timeouts.head) or (self.leaving and waited > NEWCOMER):
            self._overdue(service, now)

    def _overdue(self, service: Service, now: float) -> None:
        """Its time is over, unless what it was to send has come while this thread was busy elsewhere."""
        since = self.since
        try:
            self._received(read(self.fd, READ), service)
        except BlockingIOError:
            log.debug("a client was silent for too long")
        except OSError:
            self.close(service)
        if self.open and (self.since == since or now == inf) and self.outbound is None:
            if self.started:
                self.turn_away(408, service)
            else:
                self.close(service)

    def drain(self, service: Service) -> None:
        """What has come is answered. Every idle connection is writable, so asking for that gives each an event at
        once."""
        self.leaving = True
        if not self.started:
            self.since = self.loop.now
        if self.outbound is None:
            self.loop.wake(self)

    def close(self, service: Service) -> None:
        """The end of the connection, and of the task that it was."""
        if self.open:
            self.open = False
            try:
                self.loop.closing(self)
                self._over(service)
            finally:
                if forked.seen():
                    forked.shut(self.fd)
                close(self.fd)

    def abort(self, service: Service) -> None:
        """Something raised: the end, however far it had come."""
        if self.open and not self.began:
            with contextlib.suppress(ClientGone):
                self.send(service.protocol.refusal_to(self.conversation.line, 500))
        self.close(service)

    def turn_away(self, status: int, service: Service) -> None:
        if self.open:
            self.open = False
            self.loop.remove(self)
            self._over(service)
            conversation, protocol = self.conversation, service.protocol
            if conversation.multiplexed:  # the status belongs to no request, and may be that of a good end
                refusal = protocol.refusal(status)
            else:
                refusal = protocol.farewell(status, conversation.peer, conversation.line)
            self.loop.turn_away(self.fd, conversation.last_words(refusal))

    def _over(self, service: Service) -> None:
        self.loop.open -= 1
        service.row[DONE] += 1
        if self.outbound is not None:
            self.outbound.close()
