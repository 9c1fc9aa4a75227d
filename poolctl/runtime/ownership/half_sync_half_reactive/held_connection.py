"""A connection as the front of half-sync/half-reactive sees it: at home, or lent to a worker with a request.

    read --> framer.receive --> framer.take --> front.lend: ANSWERING, until it comes back (``returned``)
                                                  +-- with what the client did not take: SENDING, or FINISHING

Its phases are those of every client's connection (``serving/phases.py``). ``ticket`` is the number of the lending, and
0 while no worker has the connection. A worker that is a thread of the front's process clears it and says no more, so
that a connection may be back before the front knows: whatever wakes the front for it looks first (``_notice_return``).
"""

from __future__ import annotations

from os import close, read
from typing import BinaryIO, Final, Protocol

from poolctl.errors import ClientGone
from poolctl.runtime.buffers.outbound import Outbound
from poolctl.runtime.channels.parcel import introduction
from poolctl.runtime.listen.door import Door
from poolctl.runtime.loop.source import Delivery, Handler
from poolctl.runtime.protocol import Conversation, Framer
from poolctl.runtime.protocol import Protocol as Spoken
from poolctl.runtime.protocol.output import Presence
from poolctl.runtime.routing.router import Router
from poolctl.runtime.serving.client_connection import READ, ClientConnection, ClientLoop
from poolctl.runtime.serving.leaving import BROKEN, left, state
from poolctl.runtime.serving.phases import ANSWERING, CLOSED, FINISHING, IDLE, READING, SENDING
from poolctl.runtime.system.poller import IN, OUT
from poolctl.runtime.task import Peer

HERE, ENDED, GONE = Presence
AHEAD: Final = 262144  # bytes that a client may send ahead while its connection is lent


class HoldingFront(ClientLoop, Protocol):
    """The front, as far as a connection asks it."""

    draining: bool
    open: int  # connections
    protocol: Spoken
    router: Router

    def lend(self, client: HeldConnection, request: bytes | BinaryIO) -> None:
        """A complete request: to a worker with it, or 503 when too many wait already."""

    def expect_back(self, client: HeldConnection) -> bool:
        """Something came for a connection that is lent: from now on its return matters at once. False when it has come
        back in the meantime."""

    def deliver(self, handler: Handler[None], event: int, service: None) -> None:
        """Give a handler an event that did not come from the poller."""

    def turn_away(self, fd: int, words: bytes) -> None:
        """Tell a client why it is not served, let it read that, close."""


class HeldConnection(ClientConnection[None]):
    """``client``: whether it is still there. ``came``: when its last bytes did; ``ahead``: how many of them while it
    was lent. ``conversation``: the worker's half, where workers are threads of this process."""

    delivery = Delivery.ONE_SHOT  # a front is never shared

    __slots__ = ("ahead", "came", "client", "conversation", "door", "framer", "intro", "loop", "peer", "ticket")

    loop: HoldingFront

    def __init__(self, front: HoldingFront, fd: int, peer: Peer, door: Door) -> None:
        ClientConnection.__init__(self, fd, front.now, leaving=front.draining)
        self.loop = front
        self.peer = peer
        self.door = door
        self.intro = introduction(peer, door.number)
        self.framer = door.framer()
        self.conversation: Conversation | None = None
        self.ticket = 0
        self.ahead = 0
        self.client = HERE
        self.came = self.since

    def begin(self) -> None:
        """Serve what has come with it; then wait for more."""
        loop = self.loop
        loop.deliver(self, IN, None)
        if self.ticket:
            if not self.framer.over:  # nobody looks at its socket until it is back; often nothing more is to come
                loop.expect_back(self)
        elif self.phase is not CLOSED and self.fd not in loop.handlers:
            loop.add(self)

    @property
    def incoming(self) -> Framer:
        return self.framer

    def _notice_return(self) -> None:
        """Notice that it is not lent any more."""
        if self.phase is ANSWERING and not self.ticket:
            self.phase = IDLE

    # events

    def on_event(self, events: int, service: None) -> None:
        """It can be read or written, or is broken."""
        # the event may be another's: one that had this descriptor before, in the same batch
        if events & BROKEN and self.framer.forgets and left(state(self.fd), self.peer):
            self._reset(service)
            return
        if self.phase is ANSWERING:
            self._notice_return()
        elif self.outbound is not None:
            self._write()
            return
        try:
            data = read(self.fd, READ)
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
            if self.ticket:  # where workers are threads it may have come back before it was expected back
                return
            self._notice_return()
        request = self.framer.take()
        if request is not None:
            self.loop.lend(self, request)
        else:
            self._unfinished()

    def _ended(self) -> None:
        """The client sends no more; its end of file would be reported again and again."""
        self.framer.ended()
        if self.client is HERE:
            self.client = ENDED
        self.leaving = True
        self.loop.remove(self)

    def _reset(self, service: None) -> None:
        """The connection was reset. The worker that has borrowed it will find that out; nothing is read from it again,
        and what has come is not served, unless the protocol wants it to be."""
        self.client = GONE if self.framer.forgets else ENDED
        self.leaving = True
        if self.ticket:
            self.loop.remove(self)
            if self.loop.expect_back(self):
                return
        self.close()

    def _ahead(self, count: int) -> None:
        """Bytes came while the connection is lent: enough is enough."""
        self.ahead += count or 1
        if self.loop.expect_back(self) and self.ahead > AHEAD:
            self.loop.remove(self)

    def _nothing(self) -> None:
        if self.leaving and not self.ticket:
            self._notice_return()
            if self.framer.ready:
                self.advance()  # a worker thread has cleared the ticket, and its return is on the way
            elif self.phase is IDLE:
                self.close()
            else:
                self.loop.modify(self, IN)

    # requests

    def advance(self) -> None:
        """The connection is not lent: lend it when the next request is complete."""
        request = self.framer.take()
        if request is not None:
            self.loop.lend(self, request)
        else:
            self._unfinished()
        if self.phase is CLOSED or self.fd in self.loop.handlers:
            return
        # while nobody looks at its socket, nothing reminds us of it
        if not self.ticket or not self.loop.expect_back(self):
            self.loop.add(self)

    def _unfinished(self) -> None:
        framer = self.framer
        if framer.failure:
            self.turn_away(framer.failure)
            return
        if self.client is not HERE or (self.leaving and self.phase is IDLE and not framer.pending):
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

    def returned(self, keep: bool, left: Outbound | None) -> None:
        """The worker has answered, but for what the client did not take."""
        self.ticket = self.ahead = 0
        self.since = self.loop.now
        if not keep:
            self.leaving = True
        if self.client is GONE:
            if left is not None:
                left.close()
            self.close()
        elif left is not None:
            self.outbound = left
            self.phase = SENDING if keep else FINISHING
            self.mask = OUT
            self.loop.remove(self)
            self.loop.add(self)
        elif not keep:
            self.close()
        else:
            self.phase = IDLE
            self.advance()

    def _write(self) -> None:
        """The client reads again."""
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
        """Close it when it has kept us waiting for too long. While it is lent the client is not what is slow."""
        self._notice_return()
        super().expire(now, service)

    def drain(self, service: None) -> None:
        """What has come is answered."""
        self._notice_return()
        super().drain(service)

    # the end

    def close(self, service: None = None) -> None:
        """The end of the connection. Workers may have copies of its descriptor, so the poller has to be told."""
        if self.phase is not CLOSED:
            self._over()
            close(self.fd)

    def abort(self, service: None) -> None:
        """Something raised: the end. While it is lent a worker thread may be writing to its descriptor, so then the end
        comes with its return."""
        if self.ticket:
            self.leaving = True
            self.loop.remove(self)
            if self.loop.expect_back(self):
                return
        self.close()

    def turn_away(self, status: int, service: None = None, line: bytes | None = None) -> None:
        """Its last words, and the end. ``line``: that of the request which is not answered, where it is not the one
        that is coming."""
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
