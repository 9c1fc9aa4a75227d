"""The lines of one worker thread: what was sent of a response, and the line that is written when it is complete.

    out.send --> Sent: the head, how many bytes --> Entries.note --> one write(2)

Bytes count as they are sent, the framing of chunks included, as nginx counts them.
"""

from __future__ import annotations

from os import write
from typing import Any

from poolctl.runtime.access_log.log import AccessLog
from poolctl.runtime.buffers.observer import Observer

END = b"\r\n\r\n"  # of a head


class Sent:
    """What has been sent of one response. Its first bytes begin the next one."""

    __slots__ = ("_count", "_head")

    def __init__(self) -> None:
        self._head = b""  # what was sent first: the whole head, perhaps with the beginning of the body
        self._count = 0  # bytes that were sent after it

    def first(self, data: bytes) -> None:
        """The first bytes of a response."""
        self._head = data
        self._count = 0

    def more(self, count: int) -> None:
        """Further bytes."""
        self._count += count

    def take(self) -> tuple[str, int]:
        """The status, and the bytes after the head; the bytes are forgotten, for they may be many."""
        head, self._head = self._head, b""
        return str(head[9:12], "latin-1"), len(head) - head.find(END) - 4 + self._count


class Entries:
    """``observer``: of the responses that go out one after the other; ``worker``: its name in the lines."""

    def __init__(self, access: AccessLog, worker: str) -> None:
        self.observer = Sent()
        self._access = access
        self._line = access.line
        self._fd = access.fd  # its number stays, whatever is opened in its place
        self._worker = worker

    def observe(self) -> Sent:
        """A further observer, for an output whose responses go out while others do."""
        return Sent()

    def note(self, request: Any, sent: Observer | None, took: int, now: int) -> None:
        """Write the line of a request. ``sent``: what observed its response, None where there was none; ``took`` and
        ``now``, of the monotonic clock: nanoseconds."""
        status, size = sent.take() if isinstance(sent, Sent) else ("-", 0)
        line = self._line(request, request.conversation.peer, status, size, took, self._worker, now)
        try:
            if write(self._fd, line) != len(line):
                self._access.lose("a part of a line was written")
        except OSError as error:
            self._access.lose(str(error.strerror))
