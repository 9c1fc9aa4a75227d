"""The bit of a ticket that says whether a byte of its answer has gone out."""

from __future__ import annotations

from harness.phase_rig import row

from poolctl.runtime.ownership.half_sync_half_reactive.first_byte import FirstByte
from poolctl.runtime.scoreboard import TICKET


def test_only_the_first_bytes_set_it() -> None:
    cells = row()
    cells[TICKET] = 21 << 1
    observer = FirstByte(cells)
    observer.more(10)
    assert cells[TICKET] == 21 << 1
    observer.first(b"HTTP/1.1 200 OK")
    observer.first(b"HTTP/1.1 200 OK")  # a second response in the same answer
    assert cells[TICKET] == 21 << 1 | 1
    assert sum(cells) == cells[TICKET]
