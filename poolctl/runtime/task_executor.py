"""The task executor: I take one task, serve it, and give the connection back.

    inbox -- take --> parse -- requests --> Service.answer -- bytes --> the client's socket
                                                              record --> the front

The request has come whole, so nothing here waits for a client: what it does not read at once is given back with the connection,
and the front sends it on. Sleeping on the inbox is the only wait; its end of file is the end.
"""

from __future__ import annotations

import os
import socket
from typing import Any, BinaryIO

from poolctl.errors import ClientGone
from poolctl.runtime.channel import descriptors
from poolctl.runtime.inbox import KIND, LEVEL, ProcessInbox, ThreadInbox
from poolctl.runtime.lending_thread import ThreadLendingFront
from poolctl.runtime.outbound import Sending
from poolctl.runtime.parcel import ENDED, FILE, HEAD, KEPT, LAST, RECORD, introduced
from poolctl.runtime.protocol import Conversation
from poolctl.runtime.scoreboard import BEGAN, DONE, TAKEN, TICKET
from poolctl.runtime.service import Service

PIECE = 65536
KNOWN = 1024  # clients whose introduction is remembered


class Borrowed(Sending):
    """The borrowed connection, as the app's Output. ``row``: where it is noted that a byte was sent."""

    __slots__ = ("row",)

    def __init__(self, row: memoryview) -> None:
        super().__init__()
        self.row = row

    def send(self, data: bytes) -> None:
        """Send, or keep, all of it. Noted first: a worker that dies in between must not cause a second answer."""
        if not self.began:
            self.row[BEGAN] = 1
        super().send(data)


def execute(service: Service, conversation: Conversation, out: Sending, data: bytes | BinaryIO, flags: int) -> bool:
    """Serve what came; True when the connection may be kept."""
    if isinstance(data, bytes):
        conversation.receive(data)
    else:
        with data:
            while piece := data.read(PIECE):
                conversation.receive(piece)
    if flags & ENDED:
        conversation.ended()
    requests = conversation.requests
    keep = not conversation.failure
    while requests and keep:
        request = requests.popleft()
        out.last = bool(flags & LAST) and not requests
        keep = service.answer(request, out)
    if conversation.failure:
        keep = False
        try:
            out.send(service.protocol.refusal(conversation.failure))
        except ClientGone:
            keep = False  # nobody is left to be told
    return keep and not flags & LAST


class ProcessTaskExecutor:
    """Serves tasks of other processes' clients. ``servers``: (host, port) of each listener."""

    def __init__(
        self, inbox: ProcessInbox, service: Service, servers: list[tuple[str, str]], returns: int, leftovers: socket.socket
    ) -> None:
        self._inbox = inbox
        self._service = service
        self._servers = servers
        self._returns = returns
        self._leftovers = leftovers
        self._known: dict[bytes, Conversation] = {}

    def run(self) -> None:
        """Serve until the inbox ends."""
        take, execute_one, out = self._inbox.take, self._execute, Borrowed(self._service.row)
        while True:
            message, ancillary = take()
            if not message:
                return
            execute_one(message, ancillary, out)

    def _execute(self, message: bytes, ancillary: list[tuple[int, int, bytes]], out: Borrowed) -> None:
        row = self._service.row
        ticket, flags, length = HEAD.unpack_from(message)
        row[BEGAN] = 0
        row[TICKET] = ticket
        row[TAKEN] += 1
        start = HEAD.size + length
        intro = message[HEAD.size : start]
        fds = descriptors(ancillary)
        out.sock = sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM, 0, fds[0])
        out.outbound = None
        conversation = self._known.get(intro) or self._meet(intro)
        data: Any = os.fdopen(fds[1], "rb") if flags & FILE else message[start:]
        keep = execute(self._service, conversation, out, data, flags)
        if not keep:
            del self._known[intro]
        record = RECORD.pack(ticket << 2 | keep * KEPT)
        if out.outbound is None:
            sock.close()
            os.write(self._returns, record)
        else:
            self._return_with(out, record)
            sock.close()
        row[TICKET] = 0
        row[DONE] += 1

    def _return_with(self, out: Borrowed, record: bytes) -> None:
        """The client has not read everything: what is left goes back in a file."""
        assert out.outbound is not None
        with out.outbound.to_file() as left:
            fd = left.fileno().to_bytes(4, "little")
            self._leftovers.sendmsg([record], [(LEVEL, KIND, fd)])

    def _meet(self, intro: bytes) -> Conversation:
        if len(self._known) >= KNOWN:
            self._known.clear()
        peer, _ = introduced(intro, self._servers)
        self._known[intro] = conversation = self._service.protocol.conversation(peer)
        return conversation


class ThreadTaskExecutor:
    """Serves tasks of clients that a front in the same process holds."""

    def __init__(self, inbox: ThreadInbox, service: Service, front: ThreadLendingFront) -> None:
        self._inbox = inbox
        self._service = service
        self._front = front

    def run(self) -> None:
        """Serve until the inbox ends."""
        take, service, out = self._inbox.take, self._service, Sending()
        row = service.row
        give_back = self._front.give_back
        while True:
            item = take()
            if item is None:
                return
            client, ticket, flags, data = item
            row[TAKEN] += 1
            if client.conversation is None:
                client.conversation = service.protocol.conversation(client.peer)
            out.sock = client.sock
            out.outbound = None
            keep = execute(service, client.conversation, out, data, flags)
            row[DONE] += 1
            give_back(client, ticket, keep, out.outbound)
