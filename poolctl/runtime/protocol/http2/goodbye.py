"""The end of an HTTP/2 connection that the server leaves, announced twice so that no request on its way is lost.

    leave --> GOAWAY with the highest number there is, and a moment later a PING
              the client opens no more streams; those that were on their way are answered
    PING's answer --> GOAWAY with the last stream that is answered; any later one is refused, and may be sent again

That is RFC 9113, 6.8. It begins at the first moment without an open stream, or after BUSY_SECONDS: clients made with
Python's h2 drop their open streams at a GOAWAY. They accept no PING after it either, which is why it does not come in
one piece with the last response.
"""

from __future__ import annotations

from math import inf
from typing import Final

from h2.connection import H2Connection
from hyperframe.frame import GoAwayFrame

LAST_STREAM: Final = 2**31 - 1  # the highest number of a stream
BUSY_SECONDS: Final = 1.0  # seconds for which a client is not told while it has streams open
PING_DATA: Final = b"poolctl?"


class Goodbye:
    """The steps of one connection. ``frames``: those that go before the frames of h2, for which the connection would be
    over with a GOAWAY; ``last``: the stream that the second GOAWAY named."""

    __slots__ = ("_asked", "_h2", "_patience", "_told", "frames", "last")

    def __init__(self, h2: H2Connection) -> None:
        self.frames = b""
        self.last: int | None = None
        self._h2 = h2
        self._patience = inf  # when a client with open streams gets GOAWAY too, in seconds of the monotonic clock
        self._told = self._asked = False  # the first GOAWAY was sent; the PING was

    def leave(self, now: float, *, busy: bool) -> None:
        """Take the next step, if it is time. ``busy``: a stream is open."""
        if self._asked:
            return
        if self._told:
            self._asked = True
            self._h2.ping(PING_DATA)
            return
        self._patience = min(self._patience, now + BUSY_SECONDS)
        if not busy or now >= self._patience:
            self._told = True
            self._go_away(LAST_STREAM)

    def answered(self, data: bytes) -> None:
        """The client has answered a PING."""
        if self._asked and self.last is None and data == PING_DATA:
            self.last = self._h2.highest_inbound_stream_id
            self._go_away(self.last)

    def before(self, number: int) -> bool:
        """Return whether it was said before this stream came."""
        return self.last is not None and number > self.last

    def _go_away(self, last: int) -> None:
        self.frames += self._h2.data_to_send() + GoAwayFrame(last_stream_id=last).serialize()
