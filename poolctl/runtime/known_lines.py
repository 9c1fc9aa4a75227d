"""What is known of request lines that come again and again: bounded in number and in bytes."""

from __future__ import annotations

from typing import Final, Generic, TypeVar

Known = TypeVar("Known")
MOST_LINES: Final = 4096  # after so many, everything is forgotten
KNOWN_LINE_BYTES: Final = 200  # of a line that is remembered


class KnownLines(Generic[Known]):
    """Values by request line. ``found``: the dict, to look in without a call."""

    def __init__(self) -> None:
        self.found: dict[bytes, Known] = {}

    def note(self, line: bytes, known: Known) -> Known:
        """Remember and return what is known of a line."""
        if len(line) <= KNOWN_LINE_BYTES:
            if len(self.found) >= MOST_LINES:
                self.found.clear()
            self.found[line] = known
        return known
