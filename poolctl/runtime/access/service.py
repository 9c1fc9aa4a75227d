"""A service that writes a line for each request. Chosen at assembly; the plain one knows nothing of it."""

from __future__ import annotations

from collections.abc import Callable
from time import monotonic_ns
from typing import Any

from poolctl.runtime.access.line import Line
from poolctl.runtime.app import App, Output
from poolctl.runtime.protocol import Protocol
from poolctl.runtime.service import Service


class Tally:
    """Stands between app and Output and notes what passes: the status, and the bytes after the head.

    Bytes count as they are sent, the framing of chunks included, as nginx counts them. One for a service, which answers
    one request at a time.
    """

    __slots__ = ("_send", "began", "last", "size", "status")

    def follow(self, out: Output) -> None:
        """Begin anew with the response that goes to ``out``."""
        self._send = out.send
        self.began = False
        self.last = out.last
        self.status = "-"
        self.size = 0

    def send(self, data: bytes) -> None:
        """Pass it on. The first bytes are the whole head, perhaps with the beginning of the body."""
        if self.began:
            self.size += len(data)
        else:
            self.began = True
            self.status = data[9:12].decode("latin-1")  # after "HTTP/1.1 "
            self.size = len(data) - data.find(b"\r\n\r\n") - 4
        self._send(data)


class LoggedService(Service):
    """``worker``: its name in the lines."""

    def __init__(
        self, app: App, protocol: Protocol, row: memoryview, line: Line, write: Callable[[str], None], worker: str
    ) -> None:
        super().__init__(app, protocol, row)
        self._tally = Tally()
        self._line = line
        self._write = write
        self._worker = worker

    def answer(self, request: Any, out: Output) -> bool:
        """As the plain one, and a line."""
        tally = self._tally
        tally.follow(out)
        out.began = False
        started = monotonic_ns()
        keep = Service.answer(self, request, tally)
        peer = request.conversation.peer
        self._write(self._line(request, peer, tally.status, tally.size, monotonic_ns() - started, self._worker))
        return keep
