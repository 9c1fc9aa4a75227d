"""Lines of bytes that end with \\n or \\r\\n."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Annotated, BinaryIO, ClassVar

from pydantic import Field

from poolctl.runtime.buffers.temporary import inline_or_file
from poolctl.runtime.protocol import Conversation, Framer, Protocol
from poolctl.runtime.task import Peer


class _LineReader:
    """Cuts bytes into lines. ``_take`` is given each with its \\n."""

    def __init__(self, limit: int) -> None:
        self.reply = b""
        self.failure = 0
        self._limit = limit
        self._held = bytearray()

    def _take(self, line: bytes) -> None:
        raise NotImplementedError

    def receive(self, data: bytes) -> None:
        """Take bytes as they came from the client, split anywhere."""
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
            self.failure = 413
            self._held.clear()
        elif start < len(data):
            self._held += data[start:]

    def ended(self) -> None:
        """The client sends no more: what stands without a line end is the last line."""
        if self._held:
            line = bytes(self._held) + b"\n"
            self._held.clear()
            self._take(line)

    @property
    def pending(self) -> bool:
        """Whether a part of a line has come."""
        return bool(self._held)


class LinesConversation(_LineReader, Conversation):
    """``requests`` are the lines as bytes, without their ends; an empty line is one too."""

    def __init__(self, limit: int) -> None:
        super().__init__(limit)
        self.requests: deque[bytes] = deque()

    def _take(self, line: bytes) -> None:
        self.requests.append(line[:-2] if line.endswith(b"\r\n") else line[:-1])


class LinesFramer(_LineReader, Framer):
    """Lines as they came; a last line without an end is given one, so that a worker sees it complete."""

    def __init__(self, limit: int) -> None:
        super().__init__(limit)
        self._complete: deque[bytes] = deque()

    def _take(self, line: bytes) -> None:
        self._complete.append(line)

    @property
    def ready(self) -> bool:
        """Whether a line is left, or a failure."""
        return bool(self._complete or self.failure)

    def take(self) -> bytes | BinaryIO | None:
        """The oldest line, with its end, and forget it."""
        return inline_or_file(self._complete.popleft()) if self._complete else None


@dataclass
class Lines(Protocol):
    """A request is a line. A line that is too long ends the connection without a word."""

    name: ClassVar[str] = "lines"
    marks_requests: ClassVar[bool] = True

    limit: Annotated[
        int, "bytes", Field(ge=1, description="bytes of a line, without its \\n; more ends the connection")
    ] = 65536

    def conversation(self, peer: Peer) -> LinesConversation:
        """The worker's half of a new connection."""
        return LinesConversation(self.limit)

    def framer(self) -> LinesFramer:
        """The front's half of a new connection."""
        return LinesFramer(self.limit)

    def refusal(self, status: int) -> bytes:
        """Nothing: lines have no way to say it."""
        return b""
