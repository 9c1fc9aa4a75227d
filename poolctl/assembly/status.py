"""The status of a running server, which the supervisor reads from the scoreboard of its generation.

The supervisor allocates the memory before it forks a generation, which then writes to it. Reading it costs the workers
nothing.
"""

from __future__ import annotations

import mmap
from time import monotonic_ns
from typing import Any

from poolctl.assembly.fitting.seats import seats
from poolctl.assembly.resolve import Parts
from poolctl.runtime import scoreboard
from poolctl.runtime.app import slots_of
from poolctl.runtime.scoreboard import (
    ABANDONED,
    AFTER,
    CLOSED_IDLE,
    CROWDED,
    CUT,
    DONE,
    FAILED,
    FAULTS,
    LATE,
    LIMIT,
    MOVED,
    PID,
    REFUSED,
    REQUESTS,
    RETRIED,
    SENT,
    SINCE,
    SLOTS,
    STARTS,
    STATE,
    TAKEN,
    VACANT,
    WAITING,
    Scoreboard,
    lag_of,
)
from poolctl.supervision.totals import Meter

# what a front has refused or dropped, by the reason
REFUSALS = {"late": LATE, "crowded": CROWDED, "by_strategy": REFUSED, "abandoned": ABANDONED}
SHOWN = 512  # workers that are listed; the totals cover all of them


class Board:
    """The memory of the current generation's scoreboard."""

    def __init__(self, parts: Parts) -> None:
        chosen = parts.combination
        slots = max(chosen.threads or 1, slots_of(parts.app.concurrency))
        workers = max(seats(chosen, parts.workers, parts.most), 1)
        self._size = scoreboard.size_of(workers, workers * slots)
        self.memory = mmap.mmap(-1, self._size)

    def renew(self) -> None:
        """Allocate new memory before a generation is forked. The previous generation keeps its own."""
        self.memory = mmap.mmap(-1, self._size)

    def meter(self) -> Meter:
        """Return what reads the counts of the generation that is forked next, as long as anybody wants to know."""
        memory = self.memory

        def counts() -> dict[str, int]:
            board = scoreboard.read(memory)
            rows = [board.worker(row) for row in range(board.workers)] if board else []
            cut = board.front()[CUT] if board else 0
            return {"requests": sum(row[REQUESTS] for row in rows), "failed": cut + sum(row[FAILED] for row in rows)}

        return counts

    def fits(self, inboxes: int, workers: int) -> bool:
        """Whether there is room for a scoreboard of this size."""
        return scoreboard.size_of(inboxes, workers) <= self._size

    def figures(self) -> dict[str, Any]:
        """The figures of the current generation; empty before it has started."""
        board = scoreboard.read(self.memory)
        return {} if board is None else _figures(board)


def _figures(board: Scoreboard) -> dict[str, Any]:
    now, slots = monotonic_ns(), board.front()[SLOTS]
    rows = [board.worker(row) for row in range(board.workers)]
    each = [rows[first : first + slots] for first in range(0, len(rows), slots)]
    workers = [_worker(number, rows, now) for number, rows in enumerate(each) if rows[0][STATE] != VACANT]
    inboxes = [board.inbox(index)[SENT] for index in range(board.inboxes)]
    taken = sum(row[TAKEN] for row in rows)
    notes = board.notes.read()
    return {
        "requests": sum(row[REQUESTS] for row in rows),
        "failed": board.front()[CUT] + sum(row[FAILED] for row in rows),
        "in_flight": sum(row[TAKEN] - row[DONE] for row in rows),
        "after_response": sum(row[AFTER] for row in rows),
        "waiting": board.front()[WAITING] + max(sum(inboxes) - taken, 0) if inboxes else 0,
        "retried": board.front()[RETRIED],
        "moved": sum(row[MOVED] for row in [board.front(), *rows]),
        "closed_idle": sum(row[CLOSED_IDLE] for row in [board.front(), *rows]),
        "cut": sum(row[CUT] for row in [board.front(), *rows]),
        "plugin_faults": board.front()[FAULTS],
        "refused": {name: sum(row[cell] for row in [board.front(), *rows]) for name, cell in REFUSALS.items()},
        "concurrency": board.front()[LIMIT] or None,
        "classes": notes.get("classes", []),
        "routes": notes.get("routes", []),
        "workers": workers[:SHOWN],
    }


def _worker(number: int, rows: list[memoryview], now: int) -> dict[str, Any]:
    oldest = min((row[SINCE] for row in rows if row[SINCE]), default=0)
    return {
        "worker": number,
        "pid": rows[0][PID],
        "starts": max(row[STARTS] for row in rows),
        "requests": sum(row[REQUESTS] for row in rows),
        "failed": sum(row[FAILED] for row in rows),
        "in_flight": sum(row[TAKEN] - row[DONE] for row in rows),
        "after_response": sum(row[AFTER] for row in rows),
        "busy_seconds": round((now - oldest) / 1e9, 3) if oldest else 0.0,
        "lag_seconds": round(max(lag_of(row, now) for row in rows) / 1e9, 3),
    }
