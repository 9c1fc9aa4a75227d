"""What looks at a response on its way out: the access log, the affinity that learns sessions, the ticket of a worker.

Each looks at the first bytes, in which the head is, and may count what follows. An output has one of them, or none;
``observers`` makes one of several. So an output that nobody looks at pays for one look at None.
"""

from __future__ import annotations

from typing import Protocol


class Observer(Protocol):
    """Called before bytes are sent. What it raises ends the response."""

    def first(self, data: bytes) -> None:
        """The first bytes of a response: its whole head, perhaps with the beginning of its body."""

    def more(self, count: int) -> None:
        """``count`` further bytes, of the body and of its framing."""


class Several:
    """Observers of the same output, called in this order."""

    def __init__(self, each: tuple[Observer, ...]) -> None:
        self._each = each

    def first(self, data: bytes) -> None:
        """The first bytes of a response."""
        for observer in self._each:
            observer.first(data)

    def more(self, count: int) -> None:
        """Further bytes."""
        for observer in self._each:
            observer.more(count)


def observers(*each: Observer | None) -> Observer | None:
    """One that calls these, of which any may be missing."""
    present = tuple(observer for observer in each if observer is not None)
    return Several(present) if len(present) > 1 else present[0] if present else None
