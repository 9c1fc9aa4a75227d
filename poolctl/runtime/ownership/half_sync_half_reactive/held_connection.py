"""A connection that the front of half-sync/half-reactive holds, and lends to a worker for each request.

    read --> framer.receive --> framer.take --> front.lend: ANSWERING, until it comes back (``returned``)
                                                  +-- with bytes that the client did not take: SENDING, or FINISHING

Its phases are those of every client's connection (``serving/phases.py``). ``ticket`` identifies the loan, and is 0
while no worker has the connection. A worker in a thread of the front's process only clears the ticket, so a connection
may be back before the front knows: each event of the connection checks that first (``_notice_return``). The file is
long because all events of a connection change its one phase.
"""

from __future__ import annotations

from typing import BinaryIO, Final, Protocol

from poolctl.errors import ClientGone
from poolctl.runtime.buffers.outbound import Outbound
from poolctl.runtime.channels.parcel import introduction
from poolctl.runtime.listen.door import Door
from poolctl.runtime.loop.source import Delivery, Handler
from poolctl.runtime.protocol import Conversation, Framer
from poolctl.runtime.protocol import Protocol as Spoken
from poolctl.runtime.protocol.output import ENDED, GONE, HERE
from poolctl.runtime.routing.router import Router
from poolctl.runtime.scoreboard import CUT
from poolctl.runtime.serving.client_connection import READ_BYTES, WARNED, ClientConnection, ClientLoop
from poolctl.runtime.serving.leaving import BROKEN, left
from poolctl.runtime.serving.phases import ANSWERING, CLOSED, FINISHING, IDLE, NEW, READING, SENDING
from poolctl.runtime.serving.stream_limit import log_cut
from poolctl.runtime.system.calls import close, read
from poolctl.runtime.system.poller import IN, OUT
from poolctl.runtime.system.state import state
from poolctl.runtime.task import Peer

AHEAD_BYTES: Final = 262144  # bytes that a client may send ahead while its connection is lent


class HoldingFront(ClientLoop, Protocol):
    """What a held connection needs of its front."""

    draining: bool
    open: int  # connections
    protocol: Spoken
    router: Router

    def add(self, handler: Handler[None]) -> None:
        """Watch the descriptor of this handler."""

    def lend(self, client: HeldConnection, request: bytes | BinaryIO) -> None:
        """Lend a connection with a complete request to a worker, or answer 503 if too many tasks wait."""

    def expect_back(self, client: HeldConnection) -> bool:
        """From now on the return of this lent connection needs attention at once. Returns False if it has come back
        meanwhile."""

    def deliver(self, handler: Handler[None], event: int, service: None) -> None:
        """Give a handler an event that did not come from the poller."""

    def turn_away(self, fd: int, words: bytes) -> None:
        """Send a client the reason why it is not served, give it time to read it, and close."""


class HeldConnection(ClientConnection[None, HoldingFront]):
    """A connection in the hands of a front. ``presence``: whether the client is still there; ``came``: when its last
    bytes arrived; ``ahead``: how many arrived while the connection was lent; ``conversation``: the worker's parser, if
    workers are threads of this process."""

    delivery = Delivery.ONE_SHOT  # a front is never shared

    __slots__ = ("ahead", "came", "conversation", "door", "framer", "intro", "loop", "peer", "presence", "ticket")

    def __init__(self, front: HoldingFront, fd: int, peer: Peer, door: Door) -> None:
        leaving = WARNED if front.noticing else front.draining and not front.moving
        ClientConnection.__init__(self, fd, front.now, leaving=leaving)
        self.loop = front
        self.peer = peer
        self.door = door
        self.intro = introduction(peer, door.number)
        self.framer = door.framer()
        self.conversation: Conversation | None = None
        self.ticket = 0
        self.ahead = 0
        self.presence = HERE
        self.came = self.since

    def begin(self) -> None:
        """Serve the bytes that came with the connection; then wait for more."""
        loop = self.loop
        loop.deliver(self, IN, None)
        if self.ticket:
            if not self.framer.over:  # its socket is not in the poller until it is back; often no more bytes will come
                loop.expect_back(self)
        elif self.phase is not CLOSED and self.fd not in loop.handlers:
            loop.add(self)

    @property
    def client(self) -> str:
        return self.peer.client

    @property
    def incoming(self) -> Framer:
        return self.framer

    def _notice_return(self) -> None:
        """Notice that a worker thread has given the connection back."""
        if self.phase is ANSWERING and not self.ticket:
            self.phase = IDLE

    # events

    def on_event(self, events: int, service: None) -> None:
        """Its descriptor is readable or writable, or the connection is broken."""
        # the event may be that of an earlier connection with this descriptor, closed in the same batch
        if events & BROKEN and self.framer.forgets and left(state(self.fd), self.peer):
            self._reset(service)
            return
        if self.phase is ANSWERING:
            self._notice_return()
        elif self.outbound is not None:
            self._write()
            return
        try:
            data = read(self.fd, READ_BYTES)
        except BlockingIOError:
            self._nothing()
            return
        except OSError:
            self._reset(service)
            return
        self._received(data, service)

    def _received(self, data: bytes, service: None) -> None:
        if data:
            self.came = self.loop.now
            self.framer.receive(data)
        else:
            self._ended()
        if self.ticket:
            self._ahead(len(data))
            if self.ticket:  # a worker thread may have given it back meanwhile
                return
            self._notice_return()
        request = self.framer.take()
        if request is not None:
            self.loop.lend(self, request)
        else:
            self.unfinished()

    def _ended(self) -> None:
        """The client sends no more. Leave the poller, which would report the end of file again and again."""
        self.framer.ended()
        if self.presence is HERE:
            self.presence = ENDED
        self.leaving = True
        self.loop.remove(self)

    def _reset(self, service: None) -> None:
        """The connection was reset. A worker that has borrowed it will notice by itself. Nothing more is read from it,
        and received requests are not served, unless the protocol requires it."""
        self.presence = GONE if self.framer.forgets else ENDED
        self.leaving = True
        if self.ticket:
            self.loop.remove(self)
            if self.loop.expect_back(self):
                return
        self.close()

    def _ahead(self, count: int) -> None:
        """Count bytes that came while the connection is lent, and stop reading after AHEAD_BYTES."""
        self.ahead += count or 1
        if self.loop.expect_back(self) and self.ahead > AHEAD_BYTES:
            self.loop.remove(self)

    def _nothing(self) -> None:
        if self.leaving and not self.ticket:
            self._notice_return()
            if self.framer.ready:
                self.advance()  # a worker thread has cleared the ticket, and its return is on the way
            elif self.phase is IDLE and not self.stays(None):
                self.close()
            else:
                self.loop.modify(self, IN)

    # requests

    def advance(self) -> None:
        """Lend the connection if its next request is complete; it is not lent now."""
        request = self.framer.take()
        if request is not None:
            self.loop.lend(self, request)
        else:
            self.unfinished()
        if self.phase is CLOSED or self.fd in self.loop.handlers:
            return
        # its socket is not in the poller, so no event would announce its bytes
        if not self.ticket or not self.loop.expect_back(self):
            self.loop.add(self)

    def answer(self, response: bytes, *, keep: bool) -> bool:
        """Send a complete response to a request that was not lent. Returns whether the connection can go on with the
        next one at once."""
        self.phase = ANSWERING
        self.began = False
        try:
            self.send(response)
        except ClientGone:
            self.close()
            return False
        self.since = self.loop.now
        if self.outbound is not None:
            self.phase = SENDING if keep else FINISHING
            self._await_room()
            return False
        if not keep:
            self.close()
            return False
        self.phase = IDLE
        return True

    def unfinished(self) -> None:
        """Decide what follows when no complete request is left."""
        framer = self.framer
        if framer.failure:
            self.turn_away(framer.failure)
            return
        ends = self.leaving and self.phase is IDLE and not framer.pending and not self.stays(None)
        if self.presence is not HERE or ends:
            self.close()
            return
        if framer.reply:
            reply, framer.reply = framer.reply, b""
            try:
                self.send(reply)
            except ClientGone:
                self.close()
                return
            if self.outbound is not None:
                self.loop.modify(self, OUT)
        if framer.pending and (self.phase is not READING or framer.in_body):
            self.phase = READING
            self.since = self.loop.now

    def returned(self, keep: bool, rest: Outbound | None) -> None:
        """The worker has answered. ``rest``: the bytes that the client did not take."""
        self.ticket = self.ahead = 0
        if self.outbound is not None:  # it was seen to be back before, and a health check has been answered since
            return
        self.since = self.loop.now
        if not keep:
            self.leaving = True
        if self.presence is GONE:
            if rest is not None:
                rest.close()
            self.close()
        elif rest is not None:
            self.outbound = rest
            self.phase = SENDING if keep else FINISHING
            self._await_room()
        elif not keep:
            self.close()
        else:
            self.phase = IDLE
            self.advance()

    def _await_room(self) -> None:
        """Wait until the client takes bytes. Its socket may not be in the poller."""
        self.mask = OUT
        self.loop.remove(self)
        self.loop.add(self)

    def _write(self) -> None:
        """The client takes bytes again."""
        try:
            if self.catch_up():
                self.since = self.loop.now
        except ClientGone:
            self.close()
            return
        if self.outbound is None:
            if self.phase is FINISHING:
                self.close()
                return
            if self.phase is SENDING:
                self.phase = IDLE
            self.loop.modify(self, IN)
            self.advance()

    # time

    def expire(self, now: float, service: None) -> None:
        """Close it if its client has kept the server waiting for too long. No timeout applies while it is lent."""
        self._notice_return()
        super().expire(now, service)

    def say_cut(self, service: None) -> None:
        line = self.framer.taken.decode("latin-1")
        log_cut(line or f"a response to {self.client}", self.loop.timeouts.stream or 0.0)
        self.tally(CUT, service)

    def drain(self, service: None) -> None:
        """End after the requests received so far."""
        self._notice_return()
        super().drain(service)

    # moving to another process

    def portable(self, service: None) -> bool:
        return self.door.scheme == "http" and self.patient(service)  # behind TLS, this process has the session

    def patient(self, service: None) -> bool:
        return self.loop.protocol.portable

    @property
    def idle(self) -> bool:
        self._notice_return()
        framer = self.framer
        return (self.phase is IDLE or self.phase is NEW) and not (self.ticket or framer.ready or framer.pending)

    def _introduction(self, service: None) -> tuple[str, Peer]:
        return self.loop.protocol.name, self.peer

    def _let_go(self, service: None) -> None:
        self._over()

    # the end

    def close(self, service: None = None) -> None:
        """Close the connection. Workers may have copies of its descriptor, so it is removed from the poller first."""
        if self.phase is not CLOSED:
            self._over()
            close(self.fd)

    def abort(self, service: None) -> None:
        """End the connection after an exception. While it is lent a worker thread may be writing to its descriptor, so
        then it ends when it comes back."""
        if self.ticket:
            self.leaving = True
            self.loop.remove(self)
            if self.loop.expect_back(self):
                return
        self.close()

    def dismiss(self, status: int) -> None:
        """Refuse the request that was taken last. The connection goes on, since a new one would cost both sides more,
        unless there is more to it than this one request."""
        framer, loop = self.framer, self.loop
        line = framer.taken
        more = self.leaving or self.presence is not HERE or framer.over or framer.ready or framer.pending
        words = b"" if more or not line else loop.protocol.dismissal(status, self.peer, line)
        if not words:
            self.turn_away(status, line=line)
        elif self.answer(words, keep=True) and self.fd not in loop.handlers:
            loop.add(self)

    def turn_away(self, status: int, service: None = None, line: bytes | None = None) -> None:
        """End the connection with the protocol's message for this status. ``line``: the first line of the refused
        request, if it is not the one that is being received."""
        if self.phase is not CLOSED:
            self._over()
            words = self.loop.protocol.farewell(status, self.peer, self.framer.line if line is None else line)
            self.loop.turn_away(self.fd, words)

    def _over(self) -> None:
        self.phase = CLOSED
        self.loop.remove(self)
        self.loop.open -= 1
        self.loop.router.forget(id(self))
        if self.outbound is not None:
            self.outbound.close()
