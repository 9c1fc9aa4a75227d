"""Observers of outgoing responses: the access log, an affinity that learns sessions, the ticket of a worker.

Each sees the first bytes, which contain the head, and may count the rest. An output has one observer or None;
``observers`` combines several into one. So an output without an observer pays for one comparison with None.
"""

from __future__ import annotations

from typing import Protocol


class Observer(Protocol):
    """Called before bytes are sent. If it raises, the response ends."""

    def first(self, data: bytes) -> None:
        """The first bytes of a response: its whole head, perhaps with the beginning of its body."""

    def more(self, count: int) -> None:
        """``count`` further bytes, of the body and of its framing."""


class Several:
    """Several observers of one output, called in order."""

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
    """Return one observer that calls all of these that are not None; None if there is none."""
    present = tuple(observer for observer in each if observer is not None)
    return Several(present) if len(present) > 1 else present[0] if present else None
