"""A mark that tells the front, if this worker dies, whether its client has received part of the response.

The lowest bit of TICKET in the worker's row is set before the first byte of a response is sent. When the worker dies
the mold reads it: a client that has received part of a response cannot get a second one, so the front closes such a
connection, and answers 502 on every other one.
"""

from __future__ import annotations

from poolctl.runtime.scoreboard import TICKET


class FirstByte:
    """Observes the outputs of one worker. ``row``: its row of the scoreboard, with the ticket."""

    __slots__ = ("_row",)

    def __init__(self, row: memoryview) -> None:
        self._row = row

    def first(self, data: bytes) -> None:
        """Mark the ticket: a response begins."""
        self._row[TICKET] |= 1

    def more(self, count: int) -> None:
        """Do nothing: the ticket is marked already."""
