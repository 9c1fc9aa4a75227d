"""The frames of a client, looked at by their headers before h2 sees them (RFC 9113, 4.1).

    bytes -> sift -> h2        a frame that is too long ends the connection with its first nine bytes
                               a GOAWAY without an error is taken out: the client only opens no more streams

h2 collects a frame of 16 MiB before it finds it too long, and takes every GOAWAY for the end of the connection: it
could not answer the streams that are open.
"""

from __future__ import annotations

from typing import Final

PREFACE: Final = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"  # RFC 9113, 3.4
HEADER: Final = 9  # bytes: the length in three, the type, the flags, the stream in four
GOAWAY: Final = 7  # 6.8: the last stream in four bytes, an error code in four, words
LEAST = HEADER + 8


class FrameTooLongError(Exception):
    """A frame is longer than SETTINGS_MAX_FRAME_SIZE (RFC 9113, 4.2: FRAME_SIZE_ERROR)."""


class FrameWatch:
    """``leaving``: the client has said that it opens no more streams."""

    __slots__ = ("_held", "_largest", "_left", "leaving")

    def __init__(self, largest: int) -> None:
        self.leaving = False
        self._largest = largest  # bytes of a frame, without its header
        self._left = len(PREFACE)  # bytes before the next header
        self._held = b""  # of a header, or of a GOAWAY, that has not come whole

    def sift(self, data: bytes) -> bytes:
        """What h2 is to see of these bytes, and of those that were held before. Raises FrameTooLongError."""
        at = self._left
        if at >= len(data):
            self._left -= len(data)
            return data
        if self._held:
            data = self._held + data
        while (rest := len(data) - at) >= HEADER:
            size = int.from_bytes(data[at : at + 3])
            if size > self._largest:
                raise FrameTooLongError
            end = at + HEADER + size
            if data[at + 3] == GOAWAY:
                if rest < HEADER + size:
                    break
                if end >= at + LEAST and data[at + 5 : at + HEADER] == b"\0\0\0\0" == data[at + 13 : at + LEAST]:
                    self.leaving = True
                    data = data[:at] + data[end:]
                    continue
            at = end
        self._left = max(0, at - len(data))
        self._held = data[at:]
        return data[:at] if self._held else data
