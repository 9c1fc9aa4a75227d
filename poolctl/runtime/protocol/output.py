"""Where the bytes of a response go."""

from __future__ import annotations

from typing import Protocol


class Output(Protocol):
    """Where an app's bytes go: the loop's side of one response."""

    began: bool  # whether a byte of this response has been sent; the app's side never writes it
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
