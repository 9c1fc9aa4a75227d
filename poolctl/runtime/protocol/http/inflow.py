"""The body of one request, for apps that read it as it arrives."""

from __future__ import annotations

from collections.abc import Callable


class Inflow:
    """A queue of body bytes. ``size``: bytes that are not taken yet; ``changed``: wakes the reader, if one waits;
    ``reply``: what the client waits for before it sends the body (100 Continue), empty if it waits for nothing."""

    __slots__ = ("_pieces", "changed", "done", "failed", "reply", "size")

    def __init__(self) -> None:
        self._pieces: list[bytes] = []
        self.changed: Callable[[], None] | None = None
        self.size = 0
        self.reply = b""
        self.done = False  # the last byte was received
        self.failed = False  # the last byte will never arrive

    def feed(self, data: bytes) -> None:
        """Add the next bytes."""
        self._pieces.append(data)
        self.size += len(data)
        if self.changed is not None:
            self.changed()

    def finish(self) -> None:
        """The body is complete."""
        self.done = True
        if self.changed is not None:
            self.changed()

    def fail(self) -> None:
        """The rest of the body will not arrive."""
        self.failed = True
        if self.changed is not None:
            self.changed()

    @property
    def awaited(self) -> bool:
        """Whether a reader waits for more."""
        return self.changed is not None

    def take(self) -> bytes:
        """Remove and return the bytes received so far."""
        data = self._pieces[0] if len(self._pieces) == 1 else b"".join(self._pieces)
        self._pieces.clear()
        self.size = 0
        return data
