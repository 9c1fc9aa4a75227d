"""A connection as the front of half-sync/half-reactive sees it: at home, or lent to a worker with a request."""

from __future__ import annotations

import logging
from math import inf
from os import close, read
from typing import Any, BinaryIO, Protocol

from poolctl.errors import ClientGone
from poolctl.runtime.buffers.outbound import Outbound, Sending
from poolctl.runtime.channels.parcel import introduction
from poolctl.runtime.listen.door import Door
from poolctl.runtime.loop.source import Delivery, Handler
from poolctl.runtime.protocol import Protocol as Spoken
from poolctl.runtime.routing.router import Router
from poolctl.runtime.serving.connection import NEWCOMER, READ
from poolctl.runtime.serving.leaving import BROKEN, left, state
from poolctl.runtime.serving.pace import drips
from poolctl.runtime.system.poller import IN, OUT
from poolctl.runtime.task import Peer
from poolctl.runtime.timeouts import Timeouts

log = logging.getLogger("poolctl")
AHEAD = 262144  # bytes that a client may send ahead while its connection is lent


class HoldingFront(Protocol):
    """The front, as far as a connection asks it."""

    now: float
    draining: bool
    open: int  # connections
    handlers: dict[int, Handler]
    protocol: Spoken
    router: Router
    timeouts: Timeouts

    def add(self, handler: Any) -> None:
        """From now on this handler gets the events of its descriptor."""

    def modify(self, handler: Any, mask: int) -> None:
        """The handler waits for something else than before."""

    def wake(self, handler: Any) -> None:
        """Give a connection an event: its descriptor is idle, and so writable."""

    def remove(self, handler: Any) -> bool:
        """No more events for this handler."""

    def lend(self, client: Any, request: bytes | BinaryIO) -> None:
        """A complete request: to a worker with it, or 503 when too many wait already."""

    def expect_back(self, client: Any) -> bool:
        """Something came for a connection that is lent: from now on its return matters at once. False when it has come
        back in the meantime."""

    def turn_away(self, fd: int, words: bytes) -> None:
        """Tell a client why it is not served, let it read that, close."""


class HeldConnection(Sending):
    """A connection as the front sees it."""

    delivery = Delivery.ONE_SHOT  # a front is never shared

    __slots__ = (
        "ahead", "came", "conversation", "door", "ended", "finishing", "framer", "front", "gone", "intro", "leaving",
        "mask", "open", "peer", "served", "since", "started", "ticket", "watched",
    )  # fmt: skip

    def __init__(self, front: HoldingFront, fd: int, peer: Peer, door: Door) -> None:
        self.began = self.last = False
        self.outbound = None
        self.front = front
        self.fd = fd
        self.peer = peer
        self.door = door
        self.intro = introduction(peer, door.number)
        self.framer = door.framer()
        self.conversation: Any = None  # the worker's half, when workers are threads of this process
        self.mask = IN
        self.open = True
        self.watched = False
        self.ticket = 0  # not 0: lent
        self.ahead = 0  # bytes that came while lent
        self.ended = False  # the client sends no more
        self.gone = False  # the connection was reset
        self.leaving = front.draining
        self.finishing = False  # the end comes when what is kept for it is sent
        self.served = False
        self.started = False
        self.since = self.came = front.now  # came: when the last bytes did

    def on_event(self, events: int, service: Any) -> None:
        # the event may be another's: one that had this descriptor before, in the same batch
        if events & BROKEN and self.framer.forgets and left(state(self.fd), self.peer):
            self._gone()
            return
        if self.outbound is not None and not self.ticket:
            self._write()
            return
        try:
            data = read(self.fd, READ)
        except BlockingIOError:
            self._nothing()
            return
        except OSError:
            self._gone()
            return
        self._received(data)

    def _received(self, data: bytes) -> None:
        if data:
            self.came = self.front.now
            self.framer.receive(data)
        else:
            self._ended()
        if self.ticket:
            self._ahead(len(data))
            if self.ticket:  # where workers are threads it may have come back before it was expected back
                return
        request = self.framer.take()
        if request is not None:
            self.front.lend(self, request)
        else:
            self._unfinished()

    def _ended(self) -> None:
        """The client sends no more; its end of file would be reported again and again."""
        self.framer.ended()
        self.ended = self.leaving = True
        self.front.remove(self)

    def _gone(self) -> None:
        """The connection was reset. Who has borrowed it will find that out; nothing is read from it again, and what has
        come is not served."""
        self.gone = self.framer.forgets
        self.leaving = True
        if self.ticket:
            self.front.remove(self)
            if self.front.expect_back(self):
                return
        self.close()

    def _ahead(self, count: int) -> None:
        """Bytes came while the connection is lent: enough is enough."""
        self.ahead += count or 1
        if self.front.expect_back(self) and self.ahead > AHEAD:
            self.front.remove(self)

    def _nothing(self) -> None:
        if self.leaving and not self.ticket:
            if self.framer.ready:
                self.advance()  # a worker thread has cleared the ticket, and its return is on the way
            elif self.served and not self.started:
                self.close()
            else:
                self.front.modify(self, IN)

    def advance(self) -> None:
        """The connection is not lent: lend it when the next request is complete."""
        request = self.framer.take()
        if request is not None:
            self.front.lend(self, request)
        else:
            self._unfinished()
        if not self.open or self.fd in self.front.handlers:
            return
        if not self.ticket or not self.front.expect_back(
            self
        ):  # while nobody looks at its socket, nothing reminds us of it
            self.front.add(self)

    def _unfinished(self) -> None:
        framer = self.framer
        if framer.failure:
            self.turn_away(framer.failure)
            return
        if self.ended or (self.leaving and self.served and not framer.pending):
            self.close()
            return
        if framer.reply:
            reply, framer.reply = framer.reply, b""
            try:
                self.send(reply)
            except ClientGone:
                self.close()
                return
        if framer.pending and (not self.started or framer.in_body):
            self.started = True
            self.since = self.front.now

    def returned(self, keep: bool, left: Outbound | None) -> None:
        """The worker has answered, but for what the client did not take."""
        self.ticket = self.ahead = 0
        self.served = True
        self.started = False
        self.since = self.front.now
        if not keep:
            self.leaving = True
        if self.gone:
            if left is not None:
                left.close()
            self.close()
        elif left is not None:
            self.outbound = left
            self.finishing = not keep
            self.mask = OUT
            self.front.remove(self)
            self.front.add(self)
        elif not keep:
            self.close()
        else:
            self.advance()

    def _write(self) -> None:
        """The client reads again."""
        try:
            if self.catch_up():
                self.since = self.front.now
        except ClientGone:
            self.close()
            return
        if self.outbound is None:
            if self.finishing:
                self.close()
                return
            self.front.modify(self, IN)
            self.advance()

    def expire(self, now: float, service: Any) -> None:
        """Close it when it has kept us waiting for too long. While it is lent the client is not who is slow."""
        if self.ticket:
            return
        timeouts, waited = self.front.timeouts, now - self.since
        if self.outbound is not None:
            if waited > timeouts.write:
                self.close()
        elif self.started:
            if waited > (timeouts.idle if self.framer.in_body else timeouts.head):
                self._overdue(now)
            elif timeouts.body_rate and (body := self.framer.coming) is not None and drips(body, now, timeouts):
                self.turn_away(408)
        elif waited > (timeouts.idle if self.served else timeouts.head) or (self.leaving and waited > NEWCOMER):
            self._overdue(now)

    def _overdue(self, now: float) -> None:
        """Its time is over, unless what it was to send has come while the front was kept from running."""
        since = self.since
        try:
            self._received(read(self.fd, READ))
        except BlockingIOError:
            log.debug("a client was silent for too long")
        except OSError:
            self._gone()
        if self.open and not self.ticket and (self.since == since or now == inf) and self.outbound is None:
            if self.started:
                self.turn_away(408)
            else:
                self.close()

    def drain(self, service: Any) -> None:
        """What has come is answered. Every idle connection is writable, so asking for that gives each an event at
        once."""
        self.leaving = True
        if not self.started:
            self.since = self.front.now
        if not self.ticket and self.outbound is None:
            self.front.wake(self)

    def close(self) -> None:
        """The end of the connection. Workers may have copies of its descriptor, so the poller has to be told."""
        if self.open:
            self._over()
            close(self.fd)

    def abort(self, service: Any) -> None:
        """Something raised: the end. While it is lent a worker thread may be writing to its descriptor, so then the end
        comes with its return."""
        if self.ticket:
            self.leaving = True
            self.front.remove(self)
            if self.front.expect_back(self):
                return
        self.close()

    def turn_away(self, status: int, line: bytes | None = None) -> None:
        """Its last words, and the end. ``line``: that of the request which is not answered, where it is not the one
        that is coming."""
        if self.open:
            self._over()
            self.front.turn_away(
                self.fd, self.front.protocol.farewell(status, self.peer, self.framer.line if line is None else line)
            )

    def _over(self) -> None:
        self.open = False
        self.front.remove(self)
        self.front.open -= 1
        self.front.router.forget(id(self))
        if self.outbound is not None:
            self.outbound.close()
