"""my-part: a protocol for poolctl, in which a request is a record that ends with a NUL."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Annotated, ClassVar

from poolctl.plugin import Conversation, Failure, Framer, Peer, Protocol
from pydantic import Field

END = b"\0"


class _Parser:
    """Splits the bytes of one connection into records; shared by both halves."""

    def __init__(self, limit: int) -> None:
        self.found: deque[bytes] = deque()
        self.reply = b""
        self.failure: Failure | None = None
        self._limit = limit
        self._held = b""

    def receive(self, data: bytes) -> None:
        *records, self._held = (self._held + data).split(END)
        if max(map(len, [*records, self._held])) > self._limit:
            self.failure = Failure.CONTENT_TOO_LARGE
            self._held = b""
        else:
            self.found.extend(records)

    def ended(self) -> None:
        self._held = b""  # an incomplete record is dropped

    @property
    def pending(self) -> bool:
        return bool(self._held)


class _Conversation(_Parser, Conversation):
    """The worker's half: the app receives each record without its NUL."""

    @property
    def requests(self) -> deque[bytes]:  # type: ignore[override]
        return self.found


class _Framer(_Parser, Framer):
    """The front's half: complete records, as received."""

    @property
    def ready(self) -> bool:
        return bool(self.found or self.failure)

    def take(self) -> bytes | None:
        return self.found.popleft() + END if self.found else None


@dataclass
class MyPart(Protocol):
    """Records that end with a NUL."""

    interface: ClassVar[int] = 1
    name: ClassVar[str] = "my-part"
    marks_requests: ClassVar[bool] = True

    limit: Annotated[
        int, "bytes", Field(ge=1, le=65535, description="maximum size of a record; a longer one closes the connection")
    ] = 4096

    def conversation(self, peer: Peer) -> _Conversation:
        return _Conversation(self.limit)

    def framer(self) -> _Framer:
        return _Framer(self.limit)

    def refusal(self, status: int) -> bytes:
        return b""  # this protocol has no error messages
