"""Lending between processes: the request and the client's descriptor in one message, and a record of eight bytes back."""

from __future__ import annotations

import array
import os
import socket
from typing import Any, BinaryIO

from poolctl.runtime.channel import RIGHTS, descriptors
from poolctl.runtime.lending import Client, LendingFront
from poolctl.runtime.loop import Source
from poolctl.runtime.outbound import Outbound
from poolctl.runtime.parcel import FILE, HEAD, KEPT, RECORD

NOW = socket.MSG_DONTWAIT


class ProcessLendingFront(LendingFront):
    """The front as a process of its own."""

    def attend(self, returns: int, leftovers: socket.socket, notices: socket.socket) -> None:
        """Take back what was lent. ``returns``: the pipe's reading end; ``notices``: what the mold says of the dead."""
        for source in (Returns(self, returns), Leftovers(self, leftovers), Notices(self, notices)):
            self.sources.add(source.fd)
            self.handle(source)

    def _send(self, client: Client, ticket: int, flags: int, request: bytes | BinaryIO) -> None:
        if isinstance(request, bytes):
            item = HEAD.pack(ticket, flags, len(client.intro)) + client.intro + request
            full = self.router.route(client.task(request), id(client), item, (client.fd,))
        else:
            item = HEAD.pack(ticket, flags | FILE, len(client.intro)) + client.intro
            fds = (client.fd, request.fileno())
            full = self.router.route(client.task(request), id(client), item, fds, request)
        if full is not None:
            self.rooms.wait_for(full)


class Returns(Source):
    """Records of connections that come back."""

    def __init__(self, front: LendingFront, fd: int) -> None:
        self.front = front
        self.fd = fd

    def on_event(self, events: int, service: Any) -> None:
        records = array.array("Q")
        data = os.read(self.fd, 65536)
        records.frombytes(data)
        returned = self.front.returned
        for record in records:
            returned(record >> 2, bool(record & KEPT))


class Leftovers(Source):
    """Connections that come back with a file of what the client has not read yet."""

    def __init__(self, front: LendingFront, sock: socket.socket) -> None:
        self.front = front
        self.sock = sock
        self.fd = sock.fileno()

    def on_event(self, events: int, service: Any) -> None:
        message, ancillary, _, _ = self.sock.recvmsg(RECORD.size, RIGHTS, NOW)
        (record,) = RECORD.unpack(message)
        for fd in descriptors(ancillary):
            left = Outbound.of_file(fd)
            if record >> 2 in self.front.lent:
                self.front.returned(record >> 2, bool(record & KEPT), left)
            else:
                left.close()  # of a front that died, and its client with it


class Notices(Source):
    """What the mold says: this ticket was in the hands of a worker that died."""

    def __init__(self, front: LendingFront, sock: socket.socket) -> None:
        self.front = front
        self.sock = sock
        self.fd = sock.fileno()

    def on_event(self, events: int, service: Any) -> None:
        message = self.sock.recv(RECORD.size, NOW)
        if message:
            (record,) = RECORD.unpack(message)
            self.front.died(record >> 2, bool(record & KEPT))
        else:
            self.front.drop(self)  # the mold is dead; the lifeline says so too
