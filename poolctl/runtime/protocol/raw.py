"""Bytes as they come, with no marks in them."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import ClassVar

from poolctl.runtime.protocol import Conversation, Framer, Protocol
from poolctl.runtime.task import Peer


class _Chunks:
    """Each chunk that was received, oldest first."""

    def __init__(self) -> None:
        self.reply = b""
        self.failure = 0
        self.requests: deque[bytes] = deque()

    def receive(self, data: bytes) -> None:
        """Take bytes as they came from the client."""
        if data:
            self.requests.append(data)

    def ended(self) -> None:
        """The client sends no more; nothing is ever half done here."""

    @property
    def pending(self) -> bool:
        """Never: every chunk is complete."""
        return False


class RawConversation(_Chunks, Conversation):
    """``requests`` are the chunks."""

    def __init__(self, peer: Peer) -> None:
        super().__init__()
        self.peer = peer


class RawFramer(_Chunks, Framer):
    """Chunks as they came. They are no requests: which bytes share a chunk is the network's accident."""

    @property
    def ready(self) -> bool:
        """Whether a chunk is left."""
        return bool(self.requests)

    def take(self) -> bytes | None:
        """The oldest chunk, and forget it."""
        return self.requests.popleft() if self.requests else None


@dataclass
class Raw(Protocol):
    """Each chunk received is handed to the app."""

    name: ClassVar[str] = "raw"
    marks_requests: ClassVar[bool] = False

    def conversation(self, peer: Peer) -> RawConversation:
        """The worker's half of a new connection."""
        return RawConversation(peer)

    def framer(self) -> RawFramer:
        """The front's half of a new connection."""
        return RawFramer()

    def refusal(self, status: int) -> bytes:
        """Nothing: bytes without a protocol have no way to say it."""
        return b""
