"""The body of one request on its way in, for apps that read it while it comes."""

from __future__ import annotations

from collections.abc import Callable


class Inflow:
    """``size``: bytes that have come and were not taken; ``changed``: called when there is news, for whoever waits."""

    __slots__ = ("_pieces", "changed", "done", "failed", "size")

    def __init__(self) -> None:
        self._pieces: list[bytes] = []
        self.changed: Callable[[], None] | None = None
        self.size = 0
        self.done = False  # the last byte has come
        self.failed = False  # it never will

    def feed(self, data: bytes) -> None:
        """The next bytes."""
        self._pieces.append(data)
        self.size += len(data)
        if self.changed is not None:
            self.changed()

    def finish(self) -> None:
        """That was all."""
        self.done = True
        if self.changed is not None:
            self.changed()

    def fail(self) -> None:
        """The rest will not come."""
        self.failed = True
        if self.changed is not None:
            self.changed()

    @property
    def awaited(self) -> bool:
        """Whether somebody waits for more."""
        return self.changed is not None

    def take(self) -> bytes:
        """What has come."""
        data = self._pieces[0] if len(self._pieces) == 1 else b"".join(self._pieces)
        self._pieces.clear()
        self.size = 0
        return data
