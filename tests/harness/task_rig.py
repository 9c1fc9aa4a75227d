"""The far side of a task executor: an inbox with real requests in it, their clients, and what comes back."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from contextlib import suppress
from time import monotonic
from typing import Any

from harness.phase_rig import PEER, row
from poolctl.runtime.buffers.outbound import Outbound
from poolctl.runtime.channels.inbox import ProcessInbox
from poolctl.runtime.channels.parcel import HEAD, PART, RECORD, introduction
from poolctl.runtime.channels.returns import Returns
from poolctl.runtime.listen.door import Door
from poolctl.runtime.listen.listener import Listener
from poolctl.runtime.protocol import Protocol
from poolctl.runtime.system.channel import DONTWAIT, descriptors

LONG_AGO = -60.0  # seconds from now


class TaskRig:
    """``row``: of the worker."""

    def __init__(self, protocol: Protocol) -> None:
        self.protocol = protocol
        self.row = row()
        self.inbox = ProcessInbox(0, row(), [self.row])
        self.returns = Returns()
        self.listener = Listener(socket.create_server(("127.0.0.1", 0)), Door(protocol))
        self.clients: list[socket.socket] = []
        self.held: list[socket.socket] = []  # by the front
        self.tickets = iter(range(100, 1000))

    def put(
        self,
        request: bytes,
        flags: int = 0,
        *,
        age: float = 0.0,
        port: str = PEER.client_port,
        file: int = -1,
        gone: bool = False,
    ) -> tuple[int, socket.socket]:
        """A front sends this; the ticket, and the client. ``age``: seconds from now; ``gone``: the client has left."""
        near, client = socket.socketpair()
        for sock in (near, client):
            sock.setblocking(False)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
        ticket = next(self.tickets)
        intro = introduction(PEER._replace(client_port=port), 0)
        item = HEAD.pack(ticket, flags, len(intro), monotonic() + age) + intro + request
        if gone:
            client.close()
        assert self.inbox.put(item, (near.fileno(),) if file < 0 else (near.fileno(), file))
        self.held.append(near)
        self.clients.append(client)
        return ticket, client

    def end(self) -> None:
        """No more tasks come."""
        self.inbox.writer.close()

    def records(self) -> list[int]:
        """What has come back since the last look."""
        with suppress(BlockingIOError):
            return [record for (record,) in RECORD.iter_unpack(os.read(self.returns.reader, 65536))]
        return []

    def left(self) -> tuple[int, bytes]:
        """(record, bytes) of what one client has not taken."""
        message, ancillary, _, _ = self.returns.left_reader.recvmsg(65536, 1024, DONTWAIT)
        outbound = Outbound.of_parts(list(PART.iter_unpack(message[RECORD.size :])), descriptors(ancillary))
        data = b""
        while not outbound.empty:
            data += outbound.take(65536)
        outbound.close()
        (record,) = RECORD.unpack_from(message)
        return record, data

    def close(self) -> None:
        for sock in (*self.clients, *self.held):
            sock.close()
        self.listener.sock.close()
        self.inbox.writer.close()
        self.inbox.reader.close()
        for fd in (
            self.returns.reader,
            self.returns.writer,
            self.returns.urgent_reader,
            self.returns.urgent_writer,
        ):
            if fd >= 0:
                os.close(fd)
        self.returns.left_reader.close()
        self.returns.left_writer.close()


def read(client: socket.socket) -> bytes:
    """All that can be read now."""
    data = b""
    with suppress(BlockingIOError):
        while piece := client.recv(65536):
            data += piece
    return data


def at_end(client: socket.socket) -> bool:
    """Whether the client has read its end of file."""
    try:
        return client.recv(1) == b""
    except BlockingIOError:
        return False


def answering(data: bytes, *, keep: bool = True) -> Callable[[Any, Any], bool]:
    """An answer for `phase_rig.Answering`."""

    def answer(request: Any, out: Any) -> bool:
        out.send(data)
        return keep

    return answer
