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

    last: bool  # whether the connection ends after this response, so that the protocol can say so

    @property
    def began(self) -> bool:
        """Whether a byte of this response has been sent."""

    @property
    def observer(self) -> Observer | None:
        """What looks at the response as it is sent."""

    def send(self, data: bytes) -> None:
        """Send, or keep for sending, all of it; never waits for a slow client.

        Raises ClientGone when nobody reads any more: let it pass, the loop takes care of it.
        """

    def send_file(self, file: int, offset: int, count: int) -> None:
        """Send, or keep for sending, ``count`` bytes of a regular file from ``offset`` on, which it has; its descriptor
        may be closed afterwards. Bytes keep the order of the calls.

        Raises ClientGone as above, also when the file ends before that; OSError when the file cannot be read.
        """


class ReusedOutput(Output, Protocol):
    """The same for one response after the other: the service sets both anew before each call of the app."""

    began: bool
    observer: Observer | None
