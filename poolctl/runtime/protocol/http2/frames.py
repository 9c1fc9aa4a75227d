"""Inspects the frame headers of a client before h2 gets the frames (RFC 9113, 4.1).

    bytes -> sift -> h2        a frame that is too long ends the connection as soon as its header is received
                               a GOAWAY without an error is removed: the client only stops opening streams

h2 would buffer up to 16 MiB of a frame before it rejects its length, and it treats every GOAWAY as the end of the
connection, so that open streams could not be answered.
"""

from __future__ import annotations

from typing import Final

PREFACE: Final = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"  # RFC 9113, 3.4
HEADER_BYTES: Final = 9  # bytes of a frame header: length (3), type, flags, stream (4)
GOAWAY: Final = 7  # type of a frame with last stream (4 bytes), error code (4) and debug data (6.8)
LEAST_BYTES = HEADER_BYTES + 8  # bytes of the shortest GOAWAY frame


class FrameTooLongError(Exception):
    """A frame is longer than SETTINGS_MAX_FRAME_SIZE (RFC 9113, 4.2: FRAME_SIZE_ERROR)."""


class FrameWatch:
    """Inspects the frames of one connection. ``leaving``: the client has announced that it opens no more streams."""

    __slots__ = ("_held", "_largest", "_left", "leaving")

    def __init__(self, largest: int) -> None:
        self.leaving = False
        self._largest = largest  # bytes of the largest frame allowed, without its header
        self._left = len(PREFACE)  # bytes before the next frame header
        self._held = b""  # an incomplete frame header or GOAWAY frame

    def sift(self, data: bytes) -> bytes:
        """Return the bytes to pass to h2, of ``data`` and of those held before. Raises FrameTooLongError."""
        at = self._left
        if at >= len(data):
            self._left -= len(data)
            return data
        if self._held:
            data = self._held + data
        while (rest := len(data) - at) >= HEADER_BYTES:
            size = int.from_bytes(data[at : at + 3])
            if size > self._largest:
                raise FrameTooLongError
            end = at + HEADER_BYTES + size
            if data[at + 3] == GOAWAY:
                if rest < HEADER_BYTES + size:
                    break
                if (
                    end >= at + LEAST_BYTES
                    and data[at + 5 : at + HEADER_BYTES] == b"\0\0\0\0" == data[at + 13 : at + LEAST_BYTES]
                ):
                    self.leaving = True
                    data = data[:at] + data[end:]
                    continue
            at = end
        self._left = max(0, at - len(data))
        self._held = data[at:]
        return data[:at] if self._held else data
