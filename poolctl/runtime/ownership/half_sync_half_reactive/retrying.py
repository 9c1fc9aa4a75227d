"""The front of ``retry: idempotent``: what a worker lost when it died goes to another worker, once.

    lend -- ticket 7 --> worker, killed      the front has kept the request while ticket 7 was out
            LOST 7 <---- mold
    lend -- ticket 9 --> another worker      kept no longer: if this one dies too, its client gets the 502

Only requests that were lost whole are retried. A worker that had sent a byte may have sent more than the front knows. A
request that took longer than ``timeouts.request`` would take another worker for as long. And a worker that had no
descriptor for the connection is alive: the next attempt would meet the same shortage.

A retried request is lent like a new one, so it goes to the end of the queue: the queue of most designs is a socket, on
which nothing can be put first; what may have killed one worker delays nobody who waits; and the limit on waiting tasks
has no exception. It goes there under its old connection, whose client notices nothing but the delay.

What is kept: the bytes of a small request (at most 64 KiB), or a descriptor of the file that a large one is in. It is
dropped when the connection comes back, whichever way it comes.
"""

from __future__ import annotations

import logging
import os
from time import monotonic
from typing import Any, BinaryIO, Final

from poolctl.runtime.ownership.half_sync_half_reactive.front_process import ProcessLendingFront
from poolctl.runtime.ownership.half_sync_half_reactive.held_connection import HeldConnection
from poolctl.runtime.protocol.http.line import IDEMPOTENT, idempotent
from poolctl.runtime.protocol.output import GONE
from poolctl.runtime.scoreboard import RETRIED
from poolctl.runtime.serving.leaving import left
from poolctl.runtime.serving.phases import CLOSED
from poolctl.runtime.system.state import state
from poolctl.runtime.task import Task

log = logging.getLogger("poolctl")
QUIET_SECONDS: Final = 1.0  # seconds between two lines about retries; those in between are counted
METHOD_TOKEN_BYTES: Final = max(map(len, IDEMPOTENT))  # bytes that tell whether a request is idempotent


class Loans(dict[int, HeldConnection]):
    """The lent connections by ticket. ``kept``: the requests of those that may be lent again, until they are back."""

    def __init__(self) -> None:
        super().__init__()
        self.kept: dict[int, bytes | BinaryIO] = {}

    def pop(self, ticket: int, default: Any = None, /) -> Any:
        """Remove a connection that comes back, with its request."""
        if ticket in self.kept:
            self.drop(ticket)
        return super().pop(ticket, default)

    def drop(self, ticket: int) -> None:
        """Keep the request of this ticket no longer."""
        request = self.kept.pop(ticket, b"")
        if not isinstance(request, bytes):
            request.close()


class RetryingFront(ProcessLendingFront):
    """Keeps idempotent requests while they are lent."""

    lent: Loans
    _unsaid = 0  # retries that no line of the log has counted
    _quiet_until = 0.0

    def _loans(self) -> Loans:
        return Loans()

    def _send(self, client: HeldConnection, ticket: int, flags: int, request: bytes | BinaryIO) -> None:
        if isinstance(request, bytes):
            if idempotent(request):
                self.lent.kept[ticket] = request
        elif idempotent(os.pread(request.fileno(), METHOD_TOKEN_BYTES, 0)):
            try:
                self.lent.kept[ticket] = os.fdopen(os.dup(request.fileno()), "rb")
            except OSError as error:
                log.error("cannot keep a request for a retry: %s", error)
        super()._send(client, ticket, flags, request)

    def lost(self, ticket: int) -> None:
        """Lend a kept request to another worker, unless its client has left."""
        self.take_back()  # what the worker gave back before it died is not lost
        request = self.lent.kept.pop(ticket, None)
        if request is None:
            super().lost(ticket)
            return
        client = self.lent[ticket]
        if has_left(client):
            super().lost(ticket)
        else:
            self._lend_again(ticket, client, request)
        if not isinstance(request, bytes):
            request.close()

    def _lend_again(self, ticket: int, client: HeldConnection, request: bytes | BinaryIO) -> None:
        if not isinstance(request, bytes):
            os.lseek(request.fileno(), 0, os.SEEK_SET)  # the dead worker has read from the same open file
        del self.lent[ticket]
        awaited = ticket in self.expected_back
        self.expected_back.discard(ticket)
        if self.tells:
            self.router.finished(id(client), monotonic())
        client.ticket = 0
        self.router.ended(id(client), 0.0)
        try:
            with self.router.elsewhere(Task(client.peer, self.now, client.framer.asked, client.fd), id(client)):
                self.lend(client, request)
            if client.ticket:  # it was not turned away
                self.lent.drop(client.ticket)  # once is enough
                if awaited:
                    self.expect_back(client)
                self._say(client.framer.taken)
        except BaseException as error:  # noqa: BLE001  # the boundary, which logs it
            self.fail(client, None, error)

    def _say(self, line: bytes) -> None:
        """Count a retry, and log it; many in a row as one line."""
        self.router.row[RETRIED] += 1
        self._unsaid += 1
        if self.now < self._quiet_until:
            return
        others = f"; {self._unsaid - 1} more since the last such line" if self._unsaid > 1 else ""
        log.warning("%s: its worker died; retrying it on another%s", line.decode("latin-1") or "a request", others)
        self._unsaid = 0
        self._quiet_until = self.now + QUIET_SECONDS


def has_left(client: HeldConnection) -> bool:
    """Return whether nobody waits for the response of this lent connection."""
    if client.phase is CLOSED or client.presence is GONE:
        return True
    return client.framer.forgets and left(state(client.fd), client.peer)
