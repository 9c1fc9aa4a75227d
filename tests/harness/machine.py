"""How slow this machine is, so that upper bounds on time mean the same everywhere.

A test states what a quiet, fast machine needs; `within` scales it by what this one takes for a fixed piece of work.
That is measured once in a run, in elapsed time, so other load counts as slowness too.
"""

from __future__ import annotations

import functools
import time

WORK = 1_000_000  # turns of a loop
REFERENCE = 0.04  # seconds that they take on an idle core of the machine on which the bounds were chosen
ROUNDS = 3
MARGIN = 3.0  # load comes and goes: what was measured at the start of a run need not hold at its end


@functools.cache
def scale() -> float:
    """How many times slower than the reference this machine may be at any moment of this run; at least ``MARGIN``."""
    slowest = max(_seconds() for _ in range(ROUNDS))
    return MARGIN * max(1.0, slowest / REFERENCE)


def _seconds() -> float:
    started = time.perf_counter()
    total = 0
    for number in range(WORK):
        total += number
    assert total
    return time.perf_counter() - started


def within(seconds: float) -> float:
    """The upper bound, in seconds, for what takes at most ``seconds`` on a quiet, fast machine."""
    return seconds * scale()


PATIENCE = within(20)  # seconds after which waiting for an event is a failure
