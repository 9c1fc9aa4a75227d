"""How connections come back to a front from workers that are processes.

worker -- a record of 8 bytes ---------> Records     nothing is left to send; read before clients are
worker -- a record, ranges and files --> Leftovers   the client has not taken all of the response
worker -- end of file of a pipe -------> Desertion   the mold and all workers are dead
"""

from __future__ import annotations

import logging
import socket
from os import close, read
from typing import Final, Protocol

from poolctl.runtime.buffers.outbound import FILES, RANGES, Outbound
from poolctl.runtime.channels.inbox import FD
from poolctl.runtime.channels.parcel import (
    PART,
    RECORD,
    TICKET_KEPT,
    TICKET_MASK,
    TICKET_MISSED,
    TIME_SHIFT,
    TIMES,
    UNTIMED,
)
from poolctl.runtime.loop.source import NO_DESCRIPTOR, Source
from poolctl.runtime.ownership.half_sync_half_reactive.held_connection import HeldConnection
from poolctl.runtime.routing.room import Rooms
from poolctl.runtime.routing.router import Router
from poolctl.runtime.serving.phases import IDLE
from poolctl.runtime.system.channel import DONTWAIT, descriptors

log = logging.getLogger("poolctl")
RETURN_BYTES: Final = RECORD.size + (RANGES + 2) * PART.size  # bytes of the longest message that comes back with files
RETURN_CONTROL_BYTES: Final = socket.CMSG_SPACE((FILES + 1) * FD.size)  # for their descriptors


class TakingFront(Protocol):
    """What is needed of the front that takes connections back."""

    now: float
    lent: dict[int, HeldConnection]
    expected_back: set[int]
    router: Router
    rooms: Rooms

    def returned(self, ticket: int, keep: bool, rest: Outbound | None = None) -> None:
        """A worker gives a connection back."""

    def died(self, ticket: int, began: bool, status: int = 502) -> None:
        """The worker with this ticket is dead."""

    def take_back(self) -> None:
        """Process the records that have arrived."""

    def remove(self, handler: Source[None]) -> bool:
        """Stop watching a source."""

    def abandon(self) -> None:
        """Finish at once."""


class Records(Source[None]):
    """Records of connections that come back with nothing left to send.

    There is no hurry to take those back: the client has its response, or its end of file, and the front reads the
    records before it reads from clients. So the pipe is usually not in the poller, and an idle front is not woken for
    each response (measured: a tenth of the processor time of a request). The front waits for the pipe only from the
    time when bytes arrive for a connection that is still lent until no connection is expected back.
    """

    def __init__(self, front: TakingFront, fd: int) -> None:
        self.front = front
        self.fd = fd

    def on_event(self, events: int, service: None) -> None:
        front = self.front
        if not self.collect() or not (front.expected_back or front.router.queue.count):
            front.remove(self)

    def collect(self) -> bool:
        """Process all records that have arrived. Returns False at the end of file, when the mold and all workers are
        dead."""
        try:
            data = read(self.fd, 65536)
        except BlockingIOError:
            return True
        front = self.front
        lent, expected, now = front.lent, front.expected_back, front.now
        for (record,) in RECORD.iter_unpack(data):
            ticket = record >> 2
            if record > UNTIMED:
                ticket &= TICKET_MASK
                if ticket in lent:
                    front.router.ended(id(lent[ticket]), TIMES[record >> TIME_SHIFT])
            if not record & TICKET_KEPT or (expected and ticket in expected):
                if record & TICKET_MISSED:
                    front.died(ticket, began=False, status=503)
                else:
                    front.returned(ticket, bool(record & TICKET_KEPT))
                continue
            client = lent.pop(ticket, None)
            if client is not None:  # otherwise the ticket is that of a dead front
                client.ticket = 0
                client.phase = IDLE
                client.since = now
        front.rooms.retry()
        return bool(data)


class Desertion(Source[None]):
    """The end of file of the urgent returns: the mold and all workers are dead. The only event of this pipe here."""

    def __init__(self, front: TakingFront, fd: int) -> None:
        self.front = front
        self.fd = fd

    def on_event(self, events: int, service: None) -> None:
        """End: no lent connection will come back, and there is no worker to lend to."""
        front = self.front
        front.take_back()
        for ticket in list(front.lent):
            front.died(ticket, began=True)
        front.abandon()


class Leftovers(Source[None]):
    """Connections that come back with files of the bytes that the client has not taken."""

    def __init__(self, front: TakingFront, sock: socket.socket) -> None:
        self.front = front
        self.sock = sock
        self.fd = sock.fileno()

    def on_event(self, events: int, service: None) -> None:
        message, ancillary, truncated, _ = self.sock.recvmsg(RETURN_BYTES, RETURN_CONTROL_BYTES, DONTWAIT)
        if not message:
            self.front.remove(self)  # the mold and all workers are dead; the urgent pipe ends too
            return
        (record,) = RECORD.unpack_from(message)
        ticket = record >> 2 & TICKET_MASK
        if record > UNTIMED and ticket in self.front.lent:
            self.front.router.ended(id(self.front.lent[ticket]), TIMES[record >> TIME_SHIFT])
        files = descriptors(ancillary)
        if truncated & socket.MSG_CTRUNC:
            for file in files:
                close(file)
            log.error("dropped the rest of a response: out of file descriptors; %s", NO_DESCRIPTOR)
            self.front.died(ticket, began=True)
            return
        rest = Outbound.of_parts(list(PART.iter_unpack(message[RECORD.size :])), files)
        if ticket in self.front.lent:
            self.front.returned(ticket, bool(record & TICKET_KEPT), rest)
        else:
            rest.close()  # the front that lent it is dead, and its client's connection with it
