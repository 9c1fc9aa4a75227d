"""A service that writes a line for each request. Chosen at assembly; the plain one knows nothing of it."""

from __future__ import annotations

import logging
import typing
from contextvars import Context
from os import write
from time import monotonic_ns
from typing import Any

from poolctl.errors import ClientGone
from poolctl.runtime.access_log.log import AccessLog
from poolctl.runtime.app import App
from poolctl.runtime.protocol import Protocol
from poolctl.runtime.protocol.output import Output
from poolctl.runtime.scoreboard import REQUESTS, SECONDS, SINCE
from poolctl.runtime.serving.service import Service
from poolctl.runtime.system import forked

log = logging.getLogger("poolctl")
END = b"\r\n\r\n"  # of a head


class Noted(typing.Protocol):
    """What was sent of an answer: whether any, the first bytes, and how many came after them."""

    began: bool
    first: bytes
    more: int


class Passing(typing.Protocol):
    """Where what was noted goes on to."""

    def send(self, data: bytes) -> None: ...
    def send_file(self, file: int, offset: int, count: int) -> None: ...


class Tally:
    """Stands between app and Output and notes what passes: the status, and the bytes after the head.

    Bytes count as they are sent, the framing of chunks included, as nginx counts them. One for a service, which answers
    one request at a time.
    """

    __slots__ = ("began", "first", "last", "more", "out")

    out: Passing
    last: bool

    def __init__(self) -> None:
        self.began = False
        self.first = b""  # what was sent first: the whole head, perhaps with the beginning of the body
        self.more = 0  # bytes that were sent after it

    def send(self, data: bytes) -> None:
        """Pass it on."""
        if self.began:
            self.more += len(data)
        else:
            self.began = True
            self.first = data
        self.out.send(data)

    def send_file(self, file: int, offset: int, count: int) -> None:
        """Pass it on, uncopied; a head has gone before it."""
        self.more += count
        self.out.send_file(file, offset, count)


class LoggedService(Service):
    """``worker``: its name in the lines."""

    def __init__(
        self,
        app: App,
        protocol: Protocol,
        row: memoryview,
        access: AccessLog,
        worker: str,
        context: Context | None = None,
    ) -> None:
        super().__init__(app, protocol, row, context)
        self._tally = Tally()
        self._access = access
        self._line = access.line
        self._fd = access.fd  # its number stays, whatever is opened in its place
        self._worker = worker

    def answer(self, request: Any, out: Output) -> bool:
        """As the plain one, and a line. Written out: to call that one would cost a tenth of what a line may."""
        tally = self._tally
        tally.out = out
        tally.last = out.last
        row = self.row
        tally.began = out.began = False
        row[SINCE] = started = monotonic_ns()
        try:
            keep = self._context().run(self._serve, request, tally)
        except ClientGone:
            keep = False
        except BaseException:
            forked.leave()
            log.exception("the app raised while answering a request")
            keep = self._failed(request, tally)
        ended = monotonic_ns()
        took = ended - started
        row[SECONDS + (took >> 10).bit_length()] += 1
        row[SINCE] = 0
        row[REQUESTS] += 1
        self.note(request, tally, took, ended)
        return keep

    def note(self, request: Any, tally: Noted, took: int, now: int) -> None:
        """Write the line of a request; ``took`` and ``now``, of the monotonic clock: nanoseconds."""
        peer = request.conversation.peer
        if tally.began:
            first = tally.first
            size = len(first) - first.find(END) - 4 + tally.more
            tally.more = 0
            tally.first = b""  # it may be large
            line = self._line(request, peer, str(first[9:12], "latin-1"), size, took, self._worker, now)
        else:
            line = self._line(request, peer, "-", 0, took, self._worker, now)
        try:
            if write(self._fd, line) != len(line):
                self._access.lose("a part of a line was written")
        except OSError as error:
            self._access.lose(str(error.strerror))
