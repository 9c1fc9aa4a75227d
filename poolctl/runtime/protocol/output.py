"""Where the bytes of a response go."""

from __future__ import annotations

from enum import Enum
from typing import Protocol

from poolctl.runtime.buffers.observer import Observer


class Presence(Enum):
    """Whether a client is still there."""

    HERE = "it may send more"
    ENDED = "it sends no more, and may still read"
    GONE = "it has left, or is as good as gone"


class Output(Protocol):
    """Where an app's bytes go: the loop's side of one response."""

    began: bool  # whether a byte of this response has been sent; the app's side never writes it
    observer: Observer | None  # what looks at the response as it is sent; set before the app is called
    last: bool  # whether the connection ends after this response, so that the protocol can say so

    def send(self, data: bytes) -> None:
        """Send, or keep for sending, all of it; never waits for a slow client.

        Raises ClientGone when nobody reads any more: let it pass, the loop takes care of it.
        """

    def send_file(self, file: int, offset: int, count: int) -> None:
        """Send, or keep for sending, ``count`` bytes of a regular file from ``offset`` on, which it has; its descriptor
        may be closed afterwards. Bytes keep the order of the calls.

        Raises ClientGone as above, also when the file ends before that; OSError when the file cannot be read.
        """
