"""The log lines of a worker thread: observing what is sent of a response, and writing its line at the end.

    out.send --> Sent: the head, number of bytes --> Entries.note --> one write(2)

Bytes are counted as sent, including the framing of chunks, as in nginx.
"""

from __future__ import annotations

from os import write
from typing import Any

from poolctl.runtime.access_log.log import AccessLog
from poolctl.runtime.buffers.observer import Observer
from poolctl.runtime.protocol.http.head import HEAD_END


class Sent:
    """An observer that records what was sent of a response. Its next first bytes begin the next response."""

    __slots__ = ("_count", "_head")

    def __init__(self) -> None:
        self._head = b""  # the first bytes: the whole head, possibly with the beginning of the body
        self._count = 0  # bytes sent after those

    def first(self, data: bytes) -> None:
        """Record the first bytes of a response."""
        self._head = data
        self._count = 0

    def more(self, count: int) -> None:
        """Record that ``count`` further bytes were sent."""
        self._count += count

    def take(self) -> tuple[str, int]:
        """Return the status and the number of bytes after the head. Drops the recorded bytes, which may be many."""
        head, self._head = self._head, b""
        return str(head[9:12], "latin-1"), len(head) - head.find(HEAD_END) - 4 + self._count


class Entries:
    """Writes the lines of a worker thread. ``observer``: observes the responses that are sent one after the other;
    ``worker``: the worker's name in the lines."""

    def __init__(self, access: AccessLog, worker: str) -> None:
        self.observer = Sent()
        self._access = access
        self._line = access.line
        self._fd = access.fd  # the number stays the same when the file is reopened
        self._worker = worker

    def observe(self) -> Sent:
        """Return a new observer, for an output whose responses are sent while others are."""
        return Sent()

    def note(self, request: Any, sent: Observer | None, took: int, now: int) -> None:
        """Write the line of a request. ``sent``: the observer of its response, None if there was none; ``took`` and
        ``now``: nanoseconds of the monotonic clock."""
        status, size = sent.take() if isinstance(sent, Sent) else ("-", 0)
        line = self._line(request, request.conversation.peer, status, size, took, self._worker, now)
        try:
            if write(self._fd, line) != len(line):
                self._lose("only part of a line was written")
        except OSError as error:
            self._lose(str(error.strerror))

    def _lose(self, reason: str) -> None:
        self._access.lose(reason)
        self._line = self._after_a_loss

    def _after_a_loss(self, *known: Any) -> bytes:
        """Return the next line, on a line of its own if the file ends with part of a lost one."""
        self._line = self._access.line
        line = self._line(*known)
        return b"\n" + line if self._access.torn() else line
