"""An inbox as a strategy sees it: figures to read, and no operations."""

from __future__ import annotations

from collections.abc import Sequence
from time import monotonic_ns
from typing import Any, ClassVar, NoReturn

from poolctl.runtime.scoreboard import DONE, SENT, TAKEN, lag_of

Cells = Sequence[int] | memoryview


class InboxView:
    """The figures of one inbox, read from the scoreboard at each access.

    ``index``     its number, the same for as long as the server runs; 0 belongs to the first worker
    ``capacity``  tasks that its worker can have in flight at once: its threads, or ``concurrency`` for an async app,
                  which changes if that is auto
    ``beats``     whether its workers are event loops, which say how late they are

    Args:
        row: the cells in which the front counts (see scoreboard).
        workers: the cells of each worker thread that takes from the inbox.
        capacity: as above; 0: the number of ``workers``.
    """

    __slots__ = ("_row", "_workers", "capacity", "index")

    beats: ClassVar[bool] = False
    index: int
    capacity: int
    _row: Cells
    _workers: Sequence[Cells]

    def __init__(self, index: int, row: Cells, workers: Sequence[Cells], capacity: int = 0) -> None:
        put = object.__setattr__
        put(self, "index", index)
        put(self, "capacity", capacity or len(workers))
        put(self, "_row", row)
        put(self, "_workers", workers)

    def __setattr__(self, name: str, value: Any) -> NoReturn:
        raise AttributeError(f"an inbox view is read-only: {name}")

    def __delattr__(self, name: str) -> NoReturn:
        raise AttributeError(f"an inbox view is read-only: {name}")

    def __repr__(self) -> str:
        return f"<inbox {self.index}, load {self.load}>"

    @property
    def load(self) -> int:
        """Tasks sent to it and not done."""
        load = self._row[SENT]
        for (
            worker
        ) in self._workers:  # a loop: sum() of a generator takes twice the time, and this is asked at each task
            load -= worker[DONE]
        return load

    @property
    def waiting(self) -> int:
        """Tasks sent to it that no worker has taken."""
        waiting = self._row[SENT]
        for worker in self._workers:
            waiting -= worker[TAKEN]
        return waiting

    @property
    def lag(self) -> float:
        """Seconds by which the event loop that takes from it is late; 0.0 where workers are not event loops."""
        return 0.0


def allow(view: InboxView, capacity: int) -> None:
    """Change how many tasks an inbox is to have in flight. For the front alone: strategies only read it."""
    object.__setattr__(view, "capacity", capacity)


class LoopInboxView(InboxView):
    """An inbox whose workers are event loops."""

    __slots__ = ()

    beats: ClassVar[bool] = True

    @property
    def lag(self) -> float:
        """Seconds by which a callback in the event loop is called late at this moment; of several loops that take from
        one inbox, in the one that is the least late."""
        now, least = monotonic_ns(), -1
        for worker in self._workers:
            lag = lag_of(worker, now)
            if least < 0 or lag < least:
                least = lag
        return least / 1e9
