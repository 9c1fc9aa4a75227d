"""Frames: messages that begin with their length."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Annotated, BinaryIO, ClassVar, Literal, NamedTuple

from pydantic import Field

from poolctl.runtime.buffers.temporary import inline_or_file
from poolctl.runtime.protocol import Conversation, Framer, Protocol
from poolctl.runtime.task import Peer


class Frame(NamedTuple):
    """One request: the bytes of a frame without its prefix, and the protocol, which knows how to frame the answer."""

    data: bytes
    protocol: Frames


class _FrameReader:
    """Cuts bytes into frames. ``_take`` is told where each lies, its prefix included."""

    def __init__(self, protocol: Frames) -> None:
        self.reply = b""
        self.failure = 0
        self._protocol = protocol
        self._held = bytearray()
        self._needed: int = protocol.size  # bytes that have to be held before more is known: a prefix, or a whole frame

    def _take(self, data: bytes, start: int, end: int) -> None:
        raise NotImplementedError

    def receive(self, data: bytes) -> None:
        """Take bytes as they came from the client, split anywhere."""
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
        start, came, needed = 0, len(data), int(size)
        while came - start >= size:
            length = int.from_bytes(data[start : start + size], order)
            if length > protocol.limit:
                self.failure = 413
                return
            end = start + size + length
            if end > came:
                needed = end - start
                break
            self._take(data, start, end)
            start = end
        self._needed = needed
        if start < came:
            held += data[start:]

    def ended(self) -> None:
        """The client sends no more: a frame that is not whole is no request."""
        self._held.clear()
        self._needed = self._protocol.size

    @property
    def pending(self) -> bool:
        """Whether a part of a frame has come."""
        return bool(self._held)

    @property
    def in_body(self) -> bool:
        """Whether the prefix of what is pending is complete."""
        return self._needed > self._protocol.size


class FramesConversation(_FrameReader, Conversation):
    """``requests`` are Frames; an empty one is one too."""

    def __init__(self, protocol: Frames) -> None:
        super().__init__(protocol)
        self.requests: deque[Frame] = deque()

    def _take(self, data: bytes, start: int, end: int) -> None:
        protocol = self._protocol
        self.requests.append(Frame(data[start + protocol.size : end], protocol))


class FramesFramer(_FrameReader, Framer):
    """Frames as they came, with their prefix."""

    def __init__(self, protocol: Frames) -> None:
        super().__init__(protocol)
        self._complete: deque[bytes] = deque()

    def _take(self, data: bytes, start: int, end: int) -> None:
        self._complete.append(data[start:end])

    @property
    def ready(self) -> bool:
        """Whether a frame is left, or a failure."""
        return bool(self._complete or self.failure)

    def take(self) -> bytes | BinaryIO | None:
        """The oldest frame, with its prefix, and forget it."""
        return inline_or_file(self._complete.popleft()) if self._complete else None


@dataclass
class Frames(Protocol):
    """A request is a frame: its length as an unsigned number, which does not count itself, then so many bytes.

    A frame that is too long ends the connection without a word, and one that the client leaves incomplete is dropped.
    """

    name: ClassVar[str] = "frames"
    marks_requests: ClassVar[bool] = True

    size: Annotated[Literal[1, 2, 4, 8], Field(description="bytes of the prefix that has the length")] = 4
    order: Annotated[Literal["big", "little"], Field(description="order of the bytes of the prefix")] = "big"
    limit: Annotated[
        int, "bytes", Field(ge=1, description="bytes of a frame, without its prefix; more ends the connection")
    ] = 1024 * 1024

    def frame(self, data: bytes) -> bytes:
        """A frame of these bytes. Raises ValueError when there are more than the prefix can count."""
        try:
            return len(data).to_bytes(self.size, self.order) + data
        except OverflowError:
            raise ValueError(
                f"{len(data)} bytes are too many for a frame whose prefix has size {self.size}; it counts to "
                f"{256**self.size - 1}"
            ) from None

    def conversation(self, peer: Peer) -> FramesConversation:
        """The worker's half of a new connection."""
        return FramesConversation(self)

    def framer(self) -> FramesFramer:
        """The front's half of a new connection."""
        return FramesFramer(self)

    def refusal(self, status: int) -> bytes:
        """Nothing: frames have no way to say it."""
        return b""
