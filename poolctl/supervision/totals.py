"""Counts since the server started, over all of its generations and supervisors.

    total = what supervisors before this one had counted + generations that have ended + generations that run

Each generation counts in memory of its own; a meter reads it. When the last process of a generation ends, the
supervisor adds its last counts here. An upgrade passes the total on: the part of the generations that still drain then
comes once more, complete, when the supervisor that leaves has ended.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

Counts = Mapping[str, int]
Meter = Callable[[], Counts]  # returns what a generation has counted so far

COUNTED = ("requests", "failed")


def nothing_counted() -> Counts:
    """Return no counts: the meter of a server without a scoreboard."""
    return {}


class Totals:
    """The counts of what has ended."""

    def __init__(self) -> None:
        self._before: Counts = {}  # of earlier supervisors
        self._ended = dict.fromkeys(COUNTED, 0)

    def add(self, counts: Counts) -> None:
        """Add the last counts of a generation that has ended."""
        for key in COUNTED:
            self._ended[key] += counts.get(key, 0)

    def continue_from(self, counts: Counts) -> None:
        """Go on with what earlier supervisors have counted, in place of an earlier report of theirs."""
        self._before = counts

    def with_running(self, running: Iterable[Meter]) -> dict[str, int]:
        """Return the totals. ``running``: the meters of all generations that have not ended."""
        parts = [self._before, self._ended, *(meter() for meter in running)]
        return {key: sum(part.get(key, 0) for part in parts) for key in COUNTED}
