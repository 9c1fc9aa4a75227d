"""Raw bytes, without boundaries between requests."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import ClassVar

from poolctl.runtime.protocol import Conversation, Framer, Protocol
from poolctl.runtime.protocol.failure import Failure
from poolctl.runtime.task import Peer


class _Chunks:
    """Queues each received chunk, oldest first."""

    def __init__(self) -> None:
        self.reply = b""
        self.failure: Failure | None = None
        self.requests: deque[bytes] = deque()

    def receive(self, data: bytes) -> None:
        """Queue a chunk of bytes from the client."""
        if data:
            self.requests.append(data)

    def ended(self) -> None:
        """Do nothing: no chunk is ever incomplete."""

    @property
    def pending(self) -> bool:
        """Always False: every chunk is complete."""
        return False


class RawConversation(_Chunks, Conversation):
    """A conversation whose ``requests`` are the chunks."""

    def __init__(self, peer: Peer) -> None:
        super().__init__()
        self.peer = peer


class RawFramer(_Chunks, Framer):
    """Chunks as received. They are not requests: the network decides which bytes share a chunk."""

    @property
    def ready(self) -> bool:
        """Whether a chunk is queued."""
        return bool(self.requests)

    def take(self) -> bytes | None:
        """Remove and return the oldest chunk; None if there is none."""
        return self.requests.popleft() if self.requests else None


@dataclass
class Raw(Protocol):
    """Gives each received chunk to the app."""

    name: ClassVar[str] = "raw"
    marks_requests: ClassVar[bool] = False

    def conversation(self, peer: Peer) -> RawConversation:
        """Return the worker's half of a new connection."""
        return RawConversation(peer)

    def framer(self) -> RawFramer:
        """Return the front's half of a new connection."""
        return RawFramer()

    def refusal(self, status: int) -> bytes:
        """Return b"": raw bytes have no error message."""
        return b""
