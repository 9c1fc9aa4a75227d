"""The scoreboard: one shared anonymous mmap that every process of a generation sees.

    row of the front | row of inbox 0 | row of inbox 1 | ... | row of worker thread 0 | row of worker thread 1 | ...

Each row is a fixed number of 64-bit cells, and each cell has a single writer: the front counts what was sent to an
inbox, and a worker counts everything in its own row (its successor first settles what the dead worker left). Readers
read cell by cell; a row as a whole is not a snapshot. Dispatch, status and supervision all read the same cells: there
is no second truth.
"""

from __future__ import annotations

import mmap
import os
from collections.abc import Sequence
from typing import Final

from poolctl.runtime.front_notes import NOTES_BYTES, FrontNotes

# of an inbox
SENT: Final = 0  # tasks put into it
# of a worker thread
PID: Final = 0
STATE: Final = 1
SINCE: Final = 2  # CLOCK_MONOTONIC in ns when the current request began; 0: there is none
TAKEN: Final = 3  # tasks taken; taken - done are in flight
DONE: Final = 4  # tasks finished, with or without success
REQUESTS: Final = 5  # requests answered
FAILED: Final = 6  # requests and connections that ended in an exception, of the app or outside of it
TICKET: Final = 7  # twice the ticket of the current request, plus 1 when a byte of its response has been sent; 0: none
STARTS: Final = 8  # times that this worker was started
SECONDS: Final = 9  # first of BUCKETS cells: requests by the bit length of their duration in units of 1.024 us
BUCKETS: Final = 54  # as many as a 64-bit number of nanoseconds can need
AFTER: Final = 63  # tasks of asynchronous apps that go on after their response is complete
# of the front, beside PID
CHOOSING: Final = 1  # CLOCK_MONOTONIC in ns when it entered the code of a plugin; 0: it is not in it
FAULTS: Final = 2  # times that the code of a plugin raised, returned something invalid or took too long
INBOXES: Final = 3  # rows of inboxes
WORKERS: Final = 4  # rows of workers
SLOTS: Final = 5  # rows of one worker
WAITING: Final = 6  # tasks that wait in the front itself
WANTED: Final = 7  # workers that there are to be, as the mold says; 0: it has not said so yet
RETRIED: Final = 8  # requests that went to another worker because theirs had died
OPEN: Final = 9  # clients of a front that lends and drains
# of a worker thread, and of a front that holds connections
MOVED: Final = 64  # connections that have moved to other processes
CLOSED_IDLE: Final = 65  # connections that a drain has ended without a response that says so
CUT: Final = 66  # responses, WebSockets and conversations that a drain has cut off (timeouts.stream)
# of a front that lends, and of a worker thread that is given connections
LATE: Final = 67  # requests that were refused because they had waited for too long in an overload
CROWDED: Final = 68  # requests that were refused because too many waited (limits.waiting)
ABANDONED: Final = 69  # requests that were dropped before they got to a worker, because their clients had left
REFUSED: Final = 70  # requests that the dispatch strategy has turned away
LIMIT: Final = 71  # requests that a worker gets at once, where the front finds out how many; 0: it does not
# of a worker that is an event loop, see serving_async/pulse.py
LAG: Final = 71  # ns by which its callbacks were late of late
BEAT: Final = 72  # CLOCK_MONOTONIC in ns of its last beat; 0: it rests
# of a front that lends
RESERVED: Final = 73  # workers that are kept free for a class
ROW: Final = 80  # cells per row, so that rows of different writers share no cache line (8 x 80 = 640 bytes)
BEAT_NS: Final = 100_000_000  # between two beats of an event loop

# values of STATE
STARTING: Final = 0
READY: Final = 1
VACANT: Final = 2  # no worker has this number
LEAVING: Final = 3


class Scoreboard:
    """``inboxes`` + ``workers`` + 1 rows of cells, all zero, shared with every process forked later. ``notes``: what
    the front tells about its queue."""

    def __init__(self, inboxes: int, workers: int, memory: mmap.mmap | None = None, slots: int = 1) -> None:
        """``memory``: at least ``size_of`` bytes, if a process outside the generation reads it too; otherwise it is
        made here. ``slots``: rows of one worker."""
        self.inboxes = inboxes
        self.workers = workers
        self._memory = memory or mmap.mmap(-1, size_of(inboxes, workers))
        whole, rows = memoryview(self._memory), size_of(inboxes, workers) - NOTES_BYTES
        self._cells = whole[:rows].cast("q")
        self.notes = FrontNotes(whole[rows : rows + NOTES_BYTES])
        front = self.front()
        if not front[WORKERS]:  # otherwise it was made elsewhere, and is only read here
            front[INBOXES], front[WORKERS], front[SLOTS] = inboxes, workers, slots

    def inbox(self, index: int) -> memoryview:
        """The row of an inbox."""
        return self._row(1 + index)

    def worker(self, index: int) -> memoryview:
        """The row of a worker thread: worker number times threads in each, plus the thread's number."""
        return self._row(1 + self.inboxes + index)

    def _row(self, number: int) -> memoryview:
        return self._cells[number * ROW : (number + 1) * ROW]

    def front(self) -> memoryview:
        """The row of the front."""
        return self._row(0)

    def enter_front(self) -> memoryview:
        """A front starts. Returns its row. Faults are counted for the whole generation."""
        row = self.front()
        row[PID] = os.getpid()
        row[CHOOSING] = 0
        return row

    def enter(self, index: int) -> memoryview:
        """A worker thread starts. Returns its row, with the tasks that a predecessor had in flight counted as done."""
        row = self.worker(index)
        row[PID] = os.getpid()
        row[SINCE] = row[TICKET] = row[AFTER] = row[LAG] = row[BEAT] = 0
        row[DONE] = row[TAKEN]
        row[STARTS] += 1
        row[STATE] = READY
        return row


def lag_of(row: memoryview | Sequence[int], now: int) -> int:
    """Nanoseconds by which the event loop of a worker is late at this time; 0 if it rests, or is none. One that is
    blocked writes nothing, and is as late as its next beat."""
    beat = row[BEAT]
    return max(row[LAG], now - beat - BEAT_NS) if beat else 0


def size_of(inboxes: int, workers: int) -> int:
    """Bytes that a scoreboard needs."""
    return (inboxes + workers + 1) * ROW * 8 + NOTES_BYTES


def read(memory: mmap.mmap) -> Scoreboard | None:
    """The scoreboard that another process keeps in this memory; None if it has not made it yet."""
    cells = memoryview(memory).cast("q")
    inboxes, workers, slots = cells[INBOXES], cells[WORKERS], cells[SLOTS]
    cells.release()
    return Scoreboard(inboxes, workers, memory, slots) if workers else None
