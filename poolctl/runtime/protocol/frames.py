"""Frames: messages that begin with their length."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Annotated, BinaryIO, ClassVar, Literal, NamedTuple

from pydantic import Field

from poolctl.runtime.buffers.temporary import inline_or_file
from poolctl.runtime.protocol import Conversation, Framer, Protocol
from poolctl.runtime.protocol.failure import Failure
from poolctl.runtime.task import Peer


class Frame(NamedTuple):
    """One request: a frame's bytes without the length prefix, and the protocol, which can frame the response."""

    data: bytes
    protocol: Frames


class _FrameReader:
    """Splits bytes into frames, and calls ``_take`` with the position of each, including its prefix."""

    def __init__(self, protocol: Frames) -> None:
        self.reply = b""
        self.failure: Failure | None = None
        self._protocol = protocol
        self._held = bytearray()
        self._needed: int = protocol.size  # bytes to hold before parsing goes on: a prefix, or a whole frame

    def _take(self, data: bytes, start: int, end: int) -> None:
        raise NotImplementedError

    def receive(self, data: bytes) -> None:
        """Parse bytes from the client, split anywhere."""
        if self.failure:
            return
        held = self._held
        if held:
            held += data
            if len(held) < self._needed:
                return
            data = bytes(held)
            held.clear()
        protocol = self._protocol
        size, order = protocol.size, protocol.order
        start, received, needed = 0, len(data), int(size)
        while received - start >= size:
            length = int.from_bytes(data[start : start + size], order)
            if length > protocol.limit:
                self.failure = Failure.CONTENT_TOO_LARGE
                return
            end = start + size + length
            if end > received:
                needed = end - start
                break
            self._take(data, start, end)
            start = end
        self._needed = needed
        if start < received:
            held += data[start:]

    def ended(self) -> None:
        """The client has finished sending: drop an incomplete frame."""
        self._held.clear()
        self._needed = self._protocol.size

    @property
    def pending(self) -> bool:
        """Whether a frame is incomplete."""
        return bool(self._held)

    @property
    def in_body(self) -> bool:
        """Whether the prefix of the pending frame is complete."""
        return self._needed > self._protocol.size


class FramesConversation(_FrameReader, Conversation):
    """A conversation whose ``requests`` are Frames; empty frames are included."""

    def __init__(self, protocol: Frames) -> None:
        super().__init__(protocol)
        self.requests: deque[Frame] = deque()

    def _take(self, data: bytes, start: int, end: int) -> None:
        protocol = self._protocol
        self.requests.append(Frame(data[start + protocol.size : end], protocol))


class FramesFramer(_FrameReader, Framer):
    """Frames as received, with their prefix."""

    def __init__(self, protocol: Frames) -> None:
        super().__init__(protocol)
        self._complete: deque[bytes] = deque()

    def _take(self, data: bytes, start: int, end: int) -> None:
        self._complete.append(data[start:end])

    @property
    def ready(self) -> bool:
        """Whether there is a frame to take or a failure."""
        return bool(self._complete or self.failure)

    def take(self) -> bytes | BinaryIO | None:
        """Remove and return the oldest frame, with its prefix; None if there is none."""
        return inline_or_file(self._complete.popleft()) if self._complete else None


@dataclass
class Frames(Protocol):
    """Each frame is a request: a length as an unsigned number, which does not count itself, then that many bytes.

    A frame that is too long ends the connection without a message. An incomplete frame is dropped when the client ends.
    """

    name: ClassVar[str] = "frames"
    marks_requests: ClassVar[bool] = True
    portable: ClassVar[bool] = True

    size: Annotated[Literal[1, 2, 4, 8], Field(description="bytes of the length prefix")] = 4
    order: Annotated[Literal["big", "little"], Field(description="byte order of the length prefix")] = "big"
    limit: Annotated[
        int, "bytes", Field(ge=1, description="bytes of a frame, without its prefix; a longer one ends the connection")
    ] = 1024 * 1024

    def frame(self, data: bytes) -> bytes:
        """Return ``data`` as a frame. Raises ValueError if the prefix cannot hold its length."""
        try:
            return len(data).to_bytes(self.size, self.order) + data
        except OverflowError:
            raise ValueError(
                f"{len(data)} bytes are too many for a frame whose prefix has size {self.size}; "
                f"its maximum is {256**self.size - 1}"
            ) from None

    def conversation(self, peer: Peer) -> FramesConversation:
        """Return the worker's half of a new connection."""
        return FramesConversation(self)

    def framer(self) -> FramesFramer:
        """Return the front's half of a new connection."""
        return FramesFramer(self)

    def refusal(self, status: int) -> bytes:
        """Return b"": frames have no error message."""
        return b""
