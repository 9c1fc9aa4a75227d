"""The task executor: it takes one task, serves it, and gives the connection back.

    inbox -- take --> parse -- requests --> Service.answer -- bytes --> the client's socket
                                                              record --> the front

The request has arrived whole, so nothing here waits for a client: bytes that it does not take at once go back with the
connection, and the front sends them. The only wait is for the inbox, and its end of file ends the worker. The file is
long because the executors for fronts in another process and in this one stand below what they share.
"""

from __future__ import annotations

import contextlib
import logging
import os
import struct
from _thread import get_ident
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import repeat
from os import close, write
from socket import AF_INET, SHUT_WR, SOCK_STREAM
from socket import socket as Socket
from time import monotonic
from typing import Any, BinaryIO, Final

from poolctl.errors import ClientGone
from poolctl.runtime.buffers.observer import Observer
from poolctl.runtime.buffers.outbound import Outbound, Sending
from poolctl.runtime.channels.inbox import FD, ProcessInbox, ThreadInbox, ends
from poolctl.runtime.channels.parcel import (
    FLAG_ENDED,
    FLAG_FILE,
    FLAG_LAST,
    FLAG_PACKED,
    FLAG_TIMED,
    HEAD,
    NO_TIME,
    PART,
    PIECE_BYTES,
    RECORD,
    TICKET_KEPT,
    TICKET_MISSED,
    TICKET_SHIFT,
    TIME_SHIFT,
    code_of,
    introduced,
)
from poolctl.runtime.channels.returns import Returns
from poolctl.runtime.channels.shared_reader import SharedReader
from poolctl.runtime.listen.listener import Listener
from poolctl.runtime.loop.source import NO_DESCRIPTOR
from poolctl.runtime.ownership.half_sync_half_reactive.front_thread import ThreadLendingFront
from poolctl.runtime.ownership.half_sync_half_reactive.turns import Step, Turns
from poolctl.runtime.protocol import Conversation
from poolctl.runtime.scoreboard import DONE, SINCE, TAKEN, TICKET
from poolctl.runtime.serving.leaving import LEFT_EARLY, WAITED_SECONDS, left
from poolctl.runtime.serving.service import Service
from poolctl.runtime.system import forked
from poolctl.runtime.system.channel import LEVEL, RIGHTS
from poolctl.runtime.system.interrupt import end_reads, interrupt
from poolctl.runtime.system.poller import epoll
from poolctl.runtime.system.state import state

log = logging.getLogger("poolctl")
# Numbers, since enums are slow to convert.
INET: Final = int(AF_INET)
STREAM: Final = int(SOCK_STREAM)
WRITING: Final = int(SHUT_WR)
MAX_WORKER_FAILURES: Final = 100  # failures outside of the app after which a worker exits, to be replaced
# conversations kept, by the introduction of their client; saves making one for each request
KNOWN_CONVERSATIONS: Final = 1024


class Borrowed(Sending):
    """The borrowed connection, as the app's Output."""

    __slots__ = ("_reference",)

    def __init__(self, observer: Observer | None) -> None:
        super().__init__(observer)
        self.fd = -1  # nothing is borrowed
        self._reference = forked.HolderReference(self)
        forked.register(self._reference)

    def descriptors(self) -> tuple[int, ...]:
        """The descriptor of the connection; -1 while none is borrowed."""
        return (self.fd,)


def execute(service: Service, conversation: Conversation, out: Sending, data: bytes | BinaryIO, flags: int) -> bool:
    """Serve the requests in ``data``. Returns whether the connection may be kept. Never raises: an exception is logged,
    counted, and answered with 500 if nothing was sent."""
    try:
        return _execute(service, conversation, out, data, flags)
    except BaseException as error:  # noqa: BLE001  # the boundary, which logs it
        service.fault(error, "a request failed; closing its connection")
        conversation.requests.clear()
        if not out.began:
            with contextlib.suppress(ClientGone, OSError):
                out.send(service.protocol.refusal_to(first_line(data), 500))
        return False


def _execute(service: Service, conversation: Conversation, out: Sending, data: bytes | BinaryIO, flags: int) -> bool:
    if isinstance(data, bytes):
        if flags & FLAG_PACKED:
            conversation.unpack(data)
        else:
            conversation.receive(data)
    else:
        with data:
            while piece := data.read(PIECE_BYTES):
                conversation.receive(piece)
    if flags & FLAG_ENDED:
        conversation.ended()
    requests = conversation.requests
    keep: bool | None = not conversation.failure
    while requests and keep:
        request = requests.popleft()
        out.last = bool(flags & FLAG_LAST) and not requests
        keep = service.answer(request, out)
    if conversation.failure:
        keep = False
        try:
            out.send(service.protocol.farewell(conversation.failure, conversation.peer, conversation.line))
        except ClientGone:
            keep = False  # the client has left
    return bool(keep) and not flags & FLAG_LAST


def first_line(data: bytes | BinaryIO) -> bytes:
    """The first line of a request as it was received; empty if its file is closed."""
    if isinstance(data, bytes):
        return data.partition(b"\r\n")[0]
    if data.closed:
        return b""
    data.seek(0)
    return data.readline(PIECE_BYTES).rstrip(b"\r\n")


def left_early(service: Service, fd: int, conversation: Conversation, data: bytes | BinaryIO) -> bool:
    """Return whether a client has left while its request waited; if so, drop the request and write its line in the
    access log."""
    if not (conversation.forgets and left(state(fd), conversation.peer)):
        return False
    service.protocol.witness(LEFT_EARLY, conversation.peer, first_line(data))
    if not isinstance(data, bytes):
        data.close()
    return True


def alone() -> tuple[Iterator[None]]:
    """The stints of a thread that takes no turns: a single one, without end."""
    return (repeat(None),)


class ProcessTaskExecutor:
    """Serves tasks of clients of a front in another process. ``listeners``: those of all addresses; ``turns``: those of
    the threads of this process, if they take turns; ``shared``: other processes take from the inbox too."""

    def __init__(
        self,
        inbox: ProcessInbox,
        service: Service,
        listeners: list[Listener],
        returns: Returns,
        turns: Turns | None = None,
        *,
        shared: bool = False,
    ) -> None:
        self._inbox = inbox
        self._shared = SharedReader(inbox) if shared and epoll is not None else None
        self._service = service
        self._servers = [(listener.server_host, listener.server_port) for listener in listeners]
        self._doors = [listener.door for listener in listeners]
        self._returns = returns
        self._known: dict[bytes, Conversation] = {}
        self._runner = 0  # the one that runs it, while it does
        self._leaves = False
        self._stints: Callable[[], Iterable[Iterator[Step]]] = turns.stints if turns is not None else alone

    def leave(self) -> None:
        """Leave an inbox from which other workers take too. Called in another thread than `run`, until that has
        returned; a task that was just taken is served first, and not disturbed."""
        if not self._leaves:
            if self._shared is not None:
                self._shared.end()
            else:
                end_reads(self._inbox.reader.fileno())
            self._leaves = True
        if self._shared is None and (thread := self._runner) and not self._service.row[TICKET]:
            interrupt(thread)

    def run(self) -> None:
        """Serve until the inbox ends."""
        self._runner = get_ident()
        try:
            self._run()
        finally:
            self._runner = 0

    def _run(self) -> None:
        out, stumbles = Borrowed(self._service.observer), 0
        while True:
            try:
                self._tasks(out)
                return
            except BaseException as error:  # an app's signal handler, for instance, may raise anywhere
                stumbles += 1
                if stumbles > MAX_WORKER_FAILURES:
                    raise
                self._forsake(out, error)

    def _forsake(self, out: Borrowed, error: BaseException) -> None:
        """End the request that was being served, and its connection, after an exception outside of the app."""
        row = self._service.row
        ticket, row[SINCE] = row[TICKET] >> 1, 0
        self._service.fault(error, "a task failed; the worker goes on")
        if ticket:
            row[DONE] = row[TAKEN]
            if out.fd >= 0:
                self.give_back(ticket, False, out)
            else:
                self._tell(ticket << 2 | TICKET_MISSED)
            row[TICKET] = 0

    def _tasks(self, out: Borrowed) -> None:
        take: Callable[[], tuple[bytes, Sequence[int]]] = (
            self._inbox.take if self._shared is None else self._shared.take
        )
        serve, row = self._serve, self._service.row
        for stint in self._stints():
            for taken in stint:
                message, fds = take()
                try:
                    ticket, flags, length, sent = HEAD.unpack_from(message)
                except struct.error:  # it is no task
                    if ends(message):
                        return
                    continue
                if taken is not None:
                    taken()
                row[TICKET] = ticket << 1
                row[TAKEN] += 1
                serve(ticket, flags, sent, message, HEAD.size + length, fds, out)
                row[TICKET] = 0

    def _serve(
        self,
        ticket: int,
        flags: int,
        sent: float,
        message: bytes,
        start: int,
        fds: Sequence[int],
        out: Borrowed,
    ) -> None:
        try:
            if flags & FLAG_FILE:
                fd, file = fds
                data: Any = os.fdopen(file, "rb")
            else:
                (fd,) = fds
                data = message[start:]
        except ValueError:  # the kernel closed a descriptor that found no number here
            self._miss(ticket, fds)
            return
        out.fd = fd
        out.outbound = None
        out.began = False
        intro = message[HEAD.size : start]
        conversation = self._known.get(intro) or self._meet(intro)
        began = monotonic()
        if began - sent > WAITED_SECONDS and left_early(self._service, fd, conversation, data):
            keep = False
            if flags & FLAG_TIMED:
                ticket |= NO_TIME << TIME_SHIFT - TICKET_SHIFT
        else:
            keep = execute(self._service, conversation, out, data, flags)
            if flags & FLAG_TIMED:
                ticket |= code_of(monotonic() - began) << TIME_SHIFT - TICKET_SHIFT
        if not keep:
            self._known.pop(intro, None)
        # First: a front that is woken by the returned connection may look for an idle worker.
        self._service.row[DONE] += 1
        self.give_back(ticket, keep, out)

    def _miss(self, ticket: int, fds: Sequence[int]) -> None:
        """The connection did not arrive (unix(7), SCM_RIGHTS): report it to the front, which has a copy and answers."""
        for fd in fds:
            close(fd)
        self._service.fail()
        self._service.row[DONE] += 1
        log.error("cannot serve a request: out of file descriptors; %s", NO_DESCRIPTOR)
        self._tell(ticket << 2 | TICKET_MISSED)

    def give_back(self, ticket: int, keep: bool, out: Sending) -> None:
        """Give the connection back. The record comes last: when the front reads it, this process no longer has a copy
        of the descriptor. ``ticket``: above its own bits perhaps the time that the worker has had the task."""
        if out.outbound is not None:
            if self._leave(ticket << 2 | keep * TICKET_KEPT, out.outbound):
                close(out.fd)
                out.fd = -1
                return
            keep = False
        if keep:
            close(out.fd)
        else:
            # This sends the client its end of file, so the front need not be woken for it.
            sock = Socket(INET, STREAM, 0, out.fd)
            try:
                sock.shutdown(WRITING)
            except OSError:
                log.debug("a client left before its connection was closed")
            sock.close()
        out.fd = -1
        self._tell(ticket << 2 | keep * TICKET_KEPT)

    def _tell(self, record: int) -> None:
        try:
            write(self._returns.writer, RECORD.pack(record))
        except BrokenPipeError:  # the mold, which outlives fronts, is dead too, so the inbox has ended
            log.debug("no front is left to take a connection back")

    def _leave(self, record: int, rest: Outbound) -> bool:
        """Send the front the bytes that the client has not taken. Returns False if that fails and the connection must
        be closed."""
        try:
            parts, files = rest.to_parts()
            words = [RECORD.pack(record), *(PART.pack(*part) for part in parts)]
            self._returns.left_writer.sendmsg(words, [(LEVEL, RIGHTS, b"".join(map(FD.pack, files)))])
        except OSError as error:
            log.error("dropped the rest of a response: %s", error)
            return False
        finally:
            rest.close()
        return True

    def _meet(self, intro: bytes) -> Conversation:
        if len(self._known) >= KNOWN_CONVERSATIONS:
            self._known.clear()
        peer, number = introduced(intro, self._servers)
        self._known[intro] = conversation = self._doors[number].conversation(peer)
        return conversation


class ThreadTaskExecutor:
    """Serves tasks of clients of a front in the same process."""

    def __init__(self, inbox: ThreadInbox, service: Service, front: ThreadLendingFront) -> None:
        self._inbox = inbox
        self._service = service
        self._front = front

    def run(self) -> None:
        """Serve until the inbox ends."""
        take, service, out = self._inbox.take, self._service, Sending(self._service.observer)
        row = service.row
        give_back = self._front.give_back
        while True:
            item = take()
            if item is None:
                return
            client, ticket, flags, sent, data = item
            row[TAKEN] += 1
            keep = served = False
            began = monotonic()
            try:
                if client.conversation is None:
                    client.conversation = client.door.conversation(client.peer)
                out.fd = client.fd
                out.outbound = None
                out.began = False
                if not (began - sent > WAITED_SECONDS and left_early(service, client.fd, client.conversation, data)):
                    served = True
                    keep = execute(service, client.conversation, out, data, flags)
            except BaseException as error:  # noqa: BLE001  # the boundary, which logs it
                service.fault(error, "a request failed; closing its connection")
            row[DONE] += 1
            if flags & FLAG_TIMED:
                give_back(client, ticket, keep, out.outbound, monotonic() - began if served else 0.0)
            else:
                give_back(client, ticket, keep, out.outbound)
