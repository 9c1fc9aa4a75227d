"""A front whose workers are processes, with a fake poller and clock: a test is its workers and its mold.

rig.take() <-- inbox --- the front <-- rig.tell(), rig.leave(), rig.notice() --- records, leftovers, notices
"""

from __future__ import annotations

import os
from typing import Any

from harness.front_rig import Client, FrontRig
from poolctl.runtime.buffers.outbound import Outbound
from poolctl.runtime.channels.inbox import ProcessInbox
from poolctl.runtime.channels.notices import NOTICE, Notices
from poolctl.runtime.channels.parcel import FLAG_PACKED, HEAD, PART, RECORD
from poolctl.runtime.channels.returns import Returns
from poolctl.runtime.ownership.half_sync_half_reactive.front_process import ProcessLendingFront
from poolctl.runtime.ownership.half_sync_half_reactive.records import Leftovers
from poolctl.runtime.protocol.http.protocol import Http
from poolctl.runtime.scoreboard import TAKEN, TICKET
from poolctl.runtime.serving.phases import ANSWERING
from poolctl.runtime.system.channel import LEVEL, RIGHTS
from poolctl.runtime.system.poller import IN
from poolctl.runtime.task import NOBODY

GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
REST = b"the rest of an answer"


def raw(flags: int, data: bytes) -> bytes:
    """The bytes of a request as its client sent it, which may have been packed. Headers have one space, as usual."""
    if not flags & FLAG_PACKED:
        return data
    conversation = Http().conversation(NOBODY)
    conversation.unpack(data)
    (request,) = conversation.requests
    line, _, _ = data.partition(b"\r\n")
    assert line == b"%b %b HTTP/%b" % (request.method.encode(), request.target, request.version.encode())
    return line + b"".join(b"\r\n%b: %b" % header for header in request.headers) + b"\r\n\r\n"


class ProcessFrontRig(FrontRig):
    """With the channels that lead back. ``kind``: of front."""

    front: ProcessLendingFront

    def __init__(
        self,
        kind: type[ProcessLendingFront] = ProcessLendingFront,
        *,
        learns: bool = False,
        awaited: bool = False,
        **options: Any,
    ) -> None:
        self.returns = Returns(learns=learns)
        self.notices = Notices()
        ways = {"returns": self.returns, "notices": self.notices.reader, "awaited": awaited}
        super().__init__(kind, inbox=ProcessInbox, **ways, **options)

    def lent(self, request: bytes = GET) -> Client:
        """A client whose connection is lent, and which the poller has."""
        client = self.client()
        client.send(request)
        assert client.phase is ANSWERING
        return client

    def tell(self, ticket: int, bits: int = 0) -> None:
        """What a worker writes."""
        os.write(self.returns.writer, RECORD.pack(ticket << 2 | bits))

    def leave(self, ticket: int, bits: int = 0, data: bytes = REST) -> None:
        """A worker gives back what its client has not taken."""
        left = Outbound()
        left.add(data)
        parts, files = left.to_parts()
        words = [RECORD.pack(ticket << 2 | bits), *(PART.pack(*part) for part in parts)]
        packed = b"".join(file.to_bytes(4, "little") for file in files)
        self.returns.left_writer.sendmsg(words, [(LEVEL, RIGHTS, packed)])
        left.close()

    def left(self) -> None:
        """The front hears of that."""
        handler = self.front.handlers[self.returns.left_reader.fileno()]
        assert isinstance(handler, Leftovers)
        self.front.deliver(handler, IN, None)

    def notice(self, kind: int, number: int) -> None:
        """The mold says something of a worker."""
        self.notices.writer.send(NOTICE.pack(kind, number))
        self.front.deliver(self.front.handlers[self.notices.reader.fileno()], IN, None)

    def take(self, number: int = 0) -> tuple[int, bytes]:
        """As a worker that notes it: the ticket, and the request."""
        inbox = self.inboxes[number]
        message, fds = inbox.take()
        for fd in fds:
            os.close(fd)
        ticket, flags, length, _ = HEAD.unpack_from(message)
        self.workers[number][TAKEN] += 1
        self.workers[number][TICKET] = ticket << 1
        return ticket, raw(flags, message[HEAD.size + length :])

    def desert(self) -> None:
        """The mold and all workers are dead."""
        for fd in (self.returns.writer, self.returns.urgent_writer):
            os.close(fd)
        self.returns.left_writer.close()
        self.returns.writer = self.returns.urgent_writer = -1

    def close(self) -> None:
        super().close()
        for inbox in self.inboxes:
            inbox.reader.close()
            inbox.writer.close()
        for fd in (
            self.returns.reader, self.returns.writer, self.returns.urgent_reader, self.returns.urgent_writer,
        ):  # fmt: skip
            if fd >= 0:
                os.close(fd)
        more = (self.returns.left_writer, self.returns.left_reader, self.notices.writer, self.notices.reader)
        for sock in (*more, self.returns.told, self.returns.sessions):
            if sock is not None:
                sock.close()
