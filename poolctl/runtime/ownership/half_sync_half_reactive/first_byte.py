"""What tells the front, should this worker die, whether its client has got a part of the answer.

The lowest bit of TICKET in the worker's row is set before the first byte of an answer goes out. When the worker dies
the mold reads it: a client that has got a part of an answer cannot be given a second one, so the front closes such a
connection, and answers 502 on every other one.
"""

from __future__ import annotations

from poolctl.runtime.scoreboard import TICKET


class FirstByte:
    """Observes the outputs of one worker. ``row``: where the ticket is."""

    __slots__ = ("_row",)

    def __init__(self, row: memoryview) -> None:
        self._row = row

    def first(self, data: bytes) -> None:
        """An answer begins."""
        self._row[TICKET] |= 1

    def more(self, count: int) -> None:
        """It has begun already."""
