"""Lines of bytes that end with \\n or \\r\\n."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Annotated, BinaryIO, ClassVar

from pydantic import Field

from poolctl.runtime.buffers.temporary import inline_or_file
from poolctl.runtime.protocol import Conversation, Framer, Protocol
from poolctl.runtime.protocol.failure import Failure
from poolctl.runtime.task import Peer


class _LineReader:
    """Splits bytes into lines, and calls ``_take`` with each, including its \\n."""

    def __init__(self, limit: int) -> None:
        self.reply = b""
        self.failure: Failure | None = None
        self._limit = limit
        self._held = bytearray()

    def _take(self, line: bytes) -> None:
        raise NotImplementedError

    def receive(self, data: bytes) -> None:
        """Parse bytes from the client, split anywhere."""
        if self.failure:
            return
        start = 0
        while (newline := data.find(b"\n", start)) >= 0:
            size = len(self._held) + newline - start
            if size > self._limit:
                break
            if self._held:
                self._take(bytes(self._held) + data[start : newline + 1])
                self._held.clear()
            else:
                self._take(data[start : newline + 1])
            start = newline + 1
        if len(self._held) + (newline if newline >= 0 else len(data)) - start > self._limit:
            self.failure = Failure.CONTENT_TOO_LARGE
            self._held.clear()
        elif start < len(data):
            self._held += data[start:]

    def ended(self) -> None:
        """The client has finished sending: bytes without a line end are the last line."""
        if self._held:
            line = bytes(self._held) + b"\n"
            self._held.clear()
            self._take(line)

    @property
    def pending(self) -> bool:
        """Whether a line is incomplete."""
        return bool(self._held)


class LinesConversation(_LineReader, Conversation):
    """A conversation whose ``requests`` are lines as bytes, without their ends; empty lines are included."""

    def __init__(self, limit: int) -> None:
        super().__init__(limit)
        self.requests: deque[bytes] = deque()

    def _take(self, line: bytes) -> None:
        self.requests.append(line[:-2] if line.endswith(b"\r\n") else line[:-1])


class LinesFramer(_LineReader, Framer):
    """Lines as received. A last line without an end gets one, so that the worker sees it as complete."""

    def __init__(self, limit: int) -> None:
        super().__init__(limit)
        self._complete: deque[bytes] = deque()

    def _take(self, line: bytes) -> None:
        self._complete.append(line)

    @property
    def ready(self) -> bool:
        """Whether there is a line to take or a failure."""
        return bool(self._complete or self.failure)

    def take(self) -> bytes | BinaryIO | None:
        """Remove and return the oldest line, with its end; None if there is none."""
        return inline_or_file(self._complete.popleft()) if self._complete else None


@dataclass
class Lines(Protocol):
    """Each line is a request. A line that is too long ends the connection without a message."""

    name: ClassVar[str] = "lines"
    marks_requests: ClassVar[bool] = True
    portable: ClassVar[bool] = True

    limit: Annotated[
        int, "bytes", Field(ge=1, description="bytes of a line, without its \\n; a longer one ends the connection")
    ] = 65536

    def conversation(self, peer: Peer) -> LinesConversation:
        """Return the worker's half of a new connection."""
        return LinesConversation(self.limit)

    def framer(self) -> LinesFramer:
        """Return the front's half of a new connection."""
        return LinesFramer(self.limit)

    def refusal(self, status: int) -> bytes:
        """Return b"": lines have no error message."""
        return b""
