"""The cost per decision of the guard around a plugin's strategy, compared with the same strategy without it.

    python -m bench.guard

Prints a table, and exits with 1 if the guard costs more than its limit, which applies to a quiet machine. The figures
are nanoseconds of this thread's CPU time: the least of many short, alternating runs.
"""

# ruff: noqa: T201  # this program prints a table on stdout

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from poolctl.runtime.dispatch import Dispatch
from poolctl.runtime.dispatch.guarded import Guarded
from poolctl.runtime.dispatch.least_loaded import LeastLoaded
from poolctl.runtime.inbox_view import InboxView
from poolctl.runtime.scoreboard import DONE, SENT, Scoreboard
from poolctl.runtime.task import Peer, Task

LIMIT = 1500  # nanoseconds that the guard may add to a decision
NOISE = 20  # the guard may also add 1/NOISE of the decision's own time, which is noise
ROUNDS = 60
INBOXES = (1, 8, 256)
TASK = Task(Peer("127.0.0.1", "4711", "127.0.0.1", "80"))


@dataclass
class UserLeastLoaded(Dispatch):
    """The built-in strategy least-loaded, written as a plugin."""

    _last: int = field(default=-1, init=False, repr=False)
    pick = LeastLoaded.pick


@dataclass
class First(Dispatch):
    """Decides in almost no time, so that what remains is the cost of the guard."""

    def pick(self, task: Task, inboxes: tuple[InboxView, ...]) -> InboxView:
        return inboxes[0]


def nanoseconds(dispatches: Sequence[Dispatch], offered: tuple[InboxView, ...], decisions: int) -> list[float]:
    """Return the time of one decision of each strategy."""
    best = [float("inf")] * len(dispatches)
    for _ in range(ROUNDS):
        for number, dispatch in enumerate(dispatches):
            pick = dispatch.pick
            began = time.thread_time_ns()
            for _ in range(decisions):
                pick(TASK, offered)
            best[number] = min(best[number], (time.thread_time_ns() - began) / decisions)
    return best


def measure(count: int) -> dict[str, tuple[float, float]]:
    """Return (nanoseconds without the guard, with it) for each strategy, among ``count`` inboxes."""
    board = Scoreboard(count, count)
    offered = tuple(InboxView(index, board.inbox(index), [board.worker(index)]) for index in range(count))
    for index in range(count):
        board.inbox(index)[SENT] = 3
        board.worker(index)[DONE] = index % 3
    row = board.enter_front()
    bare, guarded = nanoseconds([LeastLoaded(), Guarded(UserLeastLoaded(), row)], offered, 1000 // count + 10)
    first, first_guarded = nanoseconds([First(), Guarded(First(), row)], offered, 500)
    return {"least-loaded": (bare, guarded), "the first one": (first, first_guarded)}


def main() -> int:
    print("| strategy | inboxes | ns | guarded | limit |\n| --- | --: | --: | --: | --: |")
    over = False
    for count in INBOXES:
        for name, (bare, guarded) in measure(count).items():
            limit = bare + LIMIT + bare / NOISE
            over |= guarded > limit
            print(f"| {name} | {count} | {bare:.0f} | {guarded:.0f} | {limit:.0f} |")
    return int(over)


if __name__ == "__main__":
    sys.exit(main())
