"""The interface through which apps send a response."""

from __future__ import annotations

from enum import Enum
from typing import Final, Protocol

from poolctl.runtime.buffers.observer import Observer


class Presence(Enum):
    """Whether a client is still connected."""

    HERE = "it may send more"
    ENDED = "it has finished sending, and may still read"
    GONE = "it has left, or must be treated as if it had"


HERE: Final[Presence] = Presence.HERE
ENDED: Final[Presence] = Presence.ENDED
GONE: Final[Presence] = Presence.GONE


class Output(Protocol):
    """Where an app sends one response: the loop's side of it."""

    last: bool  # the connection ends after this response, which the protocol can announce

    @property
    def began(self) -> bool:
        """Whether a byte of this response was sent."""

    @property
    def observer(self) -> Observer | None:
        """The observer of this response, if there is one."""

    def send(self, data: bytes) -> None:
        """Send ``data``, or buffer what a slow client does not take yet; never waits.

        Raises ClientGone if the client has left: do not catch it, the loop handles it.
        """

    def send_file(self, file: int, offset: int, count: int) -> None:
        """Send ``count`` bytes of a regular file, starting at ``offset``; like ``send``, never waits.

        The file must contain them. Its descriptor may be closed afterwards. Bytes are sent in the order of the calls.

        Raises ClientGone if the client has left or the file ends too early, OSError if the file cannot be read.
        """


class ReusedOutput(Output, Protocol):
    """An output for one response after another: the service sets both attributes before each call of the app."""

    began: bool
    observer: Observer | None

    def discard(self) -> None:
        """Drop what the client has not taken: the response will not be completed."""
