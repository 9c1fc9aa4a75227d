"""What the front spends on the choice of one task: with classes that all have tasks waiting.

    python -m bench.decision

Microseconds for everything that a task that has waited costs the queue: to find it, to note that a worker has it, to
take it out, to note that it is done, and to put the next one in. Of several rounds the fastest.
"""

# ruff: noqa: T201  # this program prints a table on stdout

from __future__ import annotations

import sys
import time

from poolctl.runtime.queue_view import ClassLimits
from poolctl.runtime.routing import queue
from poolctl.runtime.routing.waiting import Waiting
from poolctl.runtime.task import Peer, Task

WORKERS = 256
CLASSES = (1, 10, 100)
EACH = 50  # tasks that wait in each class
ROUNDS, DECISIONS = 7, 5000
CLIENTS = 20


def filled(classes: int, *, fair: bool) -> queue.Queue:
    """Return a queue with so many classes, all different, and tasks in each of them."""
    made = queue.Queue()
    made.slots, made.most, made.now = WORKERS, WORKERS + 20, 1000.0
    lanes = [
        made.open(f"/{number}", ClassLimits(number % 2, WORKERS, number % 3, fair, number % 2))
        for number in range(classes)
    ]
    made.share_out()
    for number in range(EACH * classes):
        peer = Peer(f"10.0.0.{number % CLIENTS}", "4000", "127.0.0.1", "80")
        made.add(Waiting(Task(peer, made.now), number, b"", (), -1, lanes[number % classes].index))
    return made


def microseconds(classes: int, *, fair: bool) -> float:
    """Return the time of one decision."""
    made = filled(classes, fair=fair)
    best = float("inf")
    for _ in range(ROUNDS):
        began = time.perf_counter()
        for _ in range(DECISIONS):
            lane = made.next_lane(WORKERS // 2)
            if lane is None:
                raise AssertionError("nothing may start")
            entry = lane.head
            made.began(lane, entry.task)
            made.remove(entry)
            made.ended(lane, entry.task, 0.002)
            made.add(entry)
        best = min(best, (time.perf_counter() - began) / DECISIONS)
    return best * 1e6


def main() -> int:
    kind = "pure Python" if queue.__file__.endswith(".py") else "compiled"
    print(f"| classes | us a decision | with fair: client, {CLIENTS} clients |\n| --: | --: | --: |")
    for classes in CLASSES:
        print(f"| {classes} | {microseconds(classes, fair=False):.1f} | {microseconds(classes, fair=True):.1f} |")
    print(f"\n{WORKERS} workers; {kind}, Python {sys.version.split()[0]}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
