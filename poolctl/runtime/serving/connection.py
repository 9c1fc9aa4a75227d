"""A connection of a connection loop: requests are answered in order, as fast as the client takes the responses.

    read --> conversation.receive --> requests --> Service.answer --> send
                                                                       +--> outbound, and no request until it is empty

``phases.py`` has its phases and their table. All of this runs in the thread of the loop, or under leader/followers in
the thread that holds the connection's lock (``shared_connection.py``). The file is long because all events of a
connection change its one phase.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Hashable, Sequence
from time import monotonic
from typing import TYPE_CHECKING, Any, Final, Generic, Protocol, TypeVar, cast

from mypy_extensions import mypyc_attr

from poolctl.errors import ClientGone
from poolctl.runtime.buffers.outbound import SecureSocket
from poolctl.runtime.listen.moves import peer_of
from poolctl.runtime.loop.source import AnyHandler, Delivery, Handler
from poolctl.runtime.protocol import Conversation
from poolctl.runtime.scoreboard import DONE
from poolctl.runtime.serving.client_connection import READ_BYTES, WARNED, ClientConnection, ClientLoop
from poolctl.runtime.serving.leaving import BROKEN, WAITED_SECONDS, left
from poolctl.runtime.serving.multiplex import begun_streams, cut_begun, multiplex
from poolctl.runtime.serving.phases import ANSWERING, CLOSED, FINISHING, IDLE, NEW, READING, SENDING, WAITS_FOR_REQUEST
from poolctl.runtime.serving.service import Service
from poolctl.runtime.system import forked
from poolctl.runtime.system.calls import close, read, write
from poolctl.runtime.system.poller import IN, OUT
from poolctl.runtime.system.state import state
from poolctl.runtime.task import NOBODY, Peer

log = logging.getLogger("poolctl")
SPARE_CONNECTIONS: Final = 256  # most connections that a loop keeps for the next clients of one door

if TYPE_CHECKING:
    from poolctl.runtime.protocol.http2.conversation import Http2Conversation


class ServedLoop(ClientLoop, Protocol):
    """What a connection needs of the loop that owns it."""

    draining: bool
    shared: bool  # several threads run it
    open: int  # connections

    def add(self, handler: Handler[Service]) -> None:
        """Watch the descriptor of this handler."""

    def closing(self, handler: AnyHandler) -> None:
        """Forget a handler that is about to close its descriptor."""

    def turn_away(self, fd: int, words: bytes) -> None:
        """Send a client its last bytes, give it time to read them, and close."""

    def fail(self, handler: Handler[Service], service: Service, error: BaseException) -> None:
        """A handler raised: log it, count it, and abort the handler."""


L = TypeVar("L", bound=ServedLoop)


@mypyc_attr(allow_interpreted_subclasses=True)
class Connection(ClientConnection[Service, L], Generic[L]):
    """Reads, lets the app answer requests in order, and keeps the bytes that the client does not take.

    Once it is closed it can serve another client of the same door, which saves making it and its conversation
    (``renew``). ``spares``: where it waits for that; None if it cannot.
    """

    delivery = Delivery.EDGE

    __slots__ = ("conversation", "loop", "spares")

    def __init__(self, loop: L, fd: int, conversation: Conversation, spares: list[Any] | None = None) -> None:
        self.spares = spares
        # ClientConnection.__init__ inlined: saves 2 % of a request on a new connection
        self.began = False
        self.outbound = None
        self.observer = None
        self.last = False
        self.read = read
        self.write = write
        self.tls = None
        self.fd = fd
        self.mask = IN
        self.watched = False
        self.leaving = WARNED if loop.noticing else loop.draining and not loop.moving
        self.phase = NEW
        self.since = loop.now
        self.loop = loop
        self.conversation = conversation

    def renew(self, fd: int, peer: Peer) -> None:
        """Serve another client of the same door as if this object were new."""
        self.conversation.renew(peer)
        loop = self.loop
        # what __init__ sets, inlined there and here as in ClientConnection
        self.began = False
        self.outbound = None
        self.observer = None
        self.last = False
        self.fd = fd
        self.mask = IN
        self.watched = False
        self.leaving = WARNED if loop.noticing else loop.draining and not loop.moving
        self.since = loop.now
        self.phase = NEW

    @property
    def incoming(self) -> Conversation:
        return self.conversation

    @property
    def client(self) -> str:
        peer = self.conversation.peer
        return f"descriptor {self.fd}" if peer is NOBODY else peer.client

    @property
    def stalled(self) -> bool:
        return self.conversation.stalled

    def begin(self, service: Service) -> None:
        """Serve the bytes that came with the connection; then wait for more."""
        self.on_event(IN, service)
        if self.phase is not CLOSED:
            self.loop.add(self)

    def was_reset(self, events: int) -> bool:
        """Whether the client has left with a reset, so that its requests need no response."""
        return self.conversation.forgets and left(events, self.conversation.peer)

    # events

    def on_event(self, events: int, service: Service) -> None:
        """Its descriptor is readable or writable, or the connection is broken."""
        # the event may be that of an earlier connection with this descriptor, closed in the same batch
        if events & BROKEN and self.was_reset(state(self.fd)):
            self.close(service)
            return
        if self.outbound is not None:
            self._write(service)
            return
        read = self.read  # by a name: before Python 3.12 self.read() costs 1 % of a request (docs/performance.md)
        try:
            data = read(self.fd, READ_BYTES)
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
        """There was nothing to read: the event came from a drain, which ends idle connections; or for a response of
        HTTP/2 that has more to send; or with a part of a TLS record."""
        if self.tls is not None and self.tls.came and not self.conversation.multiplexed:
            self._comes()
        elif self.conversation.multiplexed:
            multiplex(self, service)
        elif self.leaving:
            if self.phase is IDLE and not self.stays(service):
                self.close(service)
            else:
                self.loop.modify(self, IN)

    def _answer(self, service: Service) -> None:
        """Answer all complete requests in order, until the client falls behind."""
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
            if requests and monotonic() - self.loop.now > WAITED_SECONDS and self.was_reset(state(self.fd)):
                self.close(service)
                return
        self.phase = IDLE
        self.since = self.loop.now
        if self.leaving or conversation.failure or conversation.reply or conversation.pending:
            self._unanswered(service)

    def _unanswered(self, service: Service) -> None:
        """Decide what follows when no complete request is left."""
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
        if self.leaving and (self.phase is IDLE or not conversation.pending) and not self.stays(service):
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
        self._comes()

    def _comes(self) -> None:
        """A part of a request has come: each part of a body has its own time, all parts of a head have one."""
        if self.phase is not READING or self.conversation.in_body:
            self.phase = READING
            self.since = self.loop.now

    def _write(self, service: Service) -> None:
        """The client takes bytes again."""
        try:
            if self.catch_up():
                self.since = self.loop.now
        except ClientGone:
            self.close(service)
            return
        if self.outbound is not None:
            if self.loop.shared:
                self.loop.modify(self, OUT)  # its turn may be over while it is writable: ask for a new edge
            return
        if self.phase is FINISHING:
            self.close(service)
            return
        self.loop.modify(self, IN)
        if self.phase is SENDING or self.conversation.requests:
            self._answer(service)

    # time

    def expire(self, now: float, service: Service) -> None:
        """Also tell a client of HTTP/2 that the server leaves, which it may not have been told at once."""
        super().expire(now, service)
        if self.leaving and self.conversation.multiplexed and self.phase is not CLOSED:
            self._nothing(service)

    @property
    def owed(self) -> int:
        if not self.conversation.multiplexed:
            return super().owed
        return sum(stream.received for stream in cast("Http2Conversation", self.conversation).open_streams)

    # what goes on in a drain

    def streams(self) -> Sequence[Hashable]:
        """Over HTTP/2: each stream whose response has begun, and the bytes that the client has not taken."""
        if not self.conversation.multiplexed:
            return super().streams()
        return [*begun_streams(self.conversation), *([] if self.outbound is None else [self.outbound])]

    def cut_stream(self, stream: Any, service: Service) -> bool:
        """Over HTTP/2: reset one stream; the connection closes for bytes that the client does not take once no stream
        is open."""
        if not self.conversation.multiplexed:
            return super().cut_stream(stream, service)
        if stream is self.outbound:
            return not self.conversation.pending and super().cut_stream(stream, service)
        cut_begun(stream, service, self.loop.timeouts)
        multiplex(self, service)
        return True

    def say_cut(self, service: Service) -> None:
        line = self.conversation.taken.decode("latin-1")
        service.cut(line or f"a response to {self.client}", self.loop.timeouts.stream or 0.0)

    # moving to another process

    def portable(self, service: Service) -> bool:
        return self.conversation.scheme == "http" and self.patient(service)  # behind TLS, this process has the session

    def patient(self, service: Service) -> bool:
        conversation = self.conversation
        return service.protocol.portable and not conversation.multiplexed and conversation.successor is None

    @property
    def idle(self) -> bool:
        return (self.phase is IDLE or self.phase is NEW) and not self.conversation.requests

    def _introduction(self, service: Service) -> tuple[str, Peer]:
        peer = self.conversation.peer
        return service.protocol.name, peer_of(self.fd) if peer is NOBODY else peer

    def _let_go(self, service: Service) -> None:
        self.phase = CLOSED
        self._over(service)

    # the end

    def _reset(self, service: Service) -> None:
        self.close(service)

    def close(self, service: Service) -> None:
        """Close the connection, and count it as a finished task."""
        if self.phase is not CLOSED:
            self.phase = CLOSED
            try:
                self.loop.closing(self)
                self._over(service)
            finally:
                if self.tls is not None:
                    self._part(self.tls)
                else:
                    self._close()
            if self.spares is not None:
                self._spare()

    def _close(self) -> None:
        """Close the descriptor."""
        if forked.seen():
            forked.shut(self.fd)
        close(self.fd)

    def _part(self, tls: SecureSocket) -> None:
        """Close the descriptor, after the last bytes of TLS: close_notify, or an alert, which the client gets time to
        read, since a reset would overtake it."""
        words = tls.end()
        if tls.broken and words:
            self.loop.turn_away(self.fd, words)
            return
        try:
            write(self.fd, words)
        except OSError as error:
            log.debug("no close_notify for %s: %s", self.client, error)
        self._close()

    def _spare(self) -> None:
        """Wait for another client. In a loop of one thread no caller does more with a closed connection than to look at
        its phase, and none takes the next client before it has returned."""
        spares = self.spares
        if spares is not None and len(spares) < SPARE_CONNECTIONS and not self.loop.draining:
            spares.append(self)

    def abort(self, service: Service) -> None:
        """End the connection after an exception, with a 500 if nothing was sent."""
        self.spares = None  # whatever raised may have it still
        if self.phase is not CLOSED and not self.began:
            with contextlib.suppress(ClientGone):
                self.send(service.protocol.refusal_to(self.conversation.line, 500))
        self.close(service)

    def turn_away(self, status: int, service: Service, line: bytes | None = None) -> None:
        """End the connection with the protocol's message for this status. ``line``: the first line of the refused
        request, if it is not the one that is being received."""
        if self.phase is not CLOSED:
            self.phase = CLOSED
            self.loop.remove(self)
            self._over(service)
            conversation, protocol = self.conversation, service.protocol
            if conversation.multiplexed:  # the status belongs to no request, and may stand for a normal end
                refusal = protocol.refusal(status)
            else:
                refusal = protocol.farewell(status, conversation.peer, conversation.line if line is None else line)
            words = conversation.last_words(refusal)
            self.loop.turn_away(self.fd, words if self.tls is None else self.tls.end(words))

    def _over(self, service: Service) -> None:
        self.loop.open -= 1
        service.row[DONE] += 1
        if self.outbound is not None:
            self.outbound.close()
