"""Counts over all generations and supervisors."""

from __future__ import annotations

from poolctl.supervision.totals import Totals, nothing_counted


def test_every_part_is_counted_once() -> None:
    totals = Totals()
    totals.continue_from({"requests": 900, "failed": 9})  # their generations still drain
    totals.continue_from({"requests": 1000})
    totals.add({"requests": 100, "failed": 7, "other": 3})
    totals.add({"requests": 10})
    running = [lambda: {"requests": 1, "failed": 1}, nothing_counted]
    assert totals.with_running(running) == {"requests": 1111, "failed": 8}
    assert totals.with_running([]) == {"requests": 1110, "failed": 7}
