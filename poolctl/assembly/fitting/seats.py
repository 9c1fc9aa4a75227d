"""How many numbers a generation has for workers: one for each, and more for those that join or replace another one.

A number costs rows of the scoreboard and an inbox, which are made before the first fork, so there are only so many. A
change that needs more takes a new generation.
"""

from __future__ import annotations

from poolctl.assembly.fitting.combination import REUSE_PORT, Combination

SOCKETS = "under reuse-port each worker has a listening socket of its own"


def seats(chosen: Combination, workers: int, most: int = 0) -> int:
    """Return the numbers for workers. ``most``: to which a pool may grow."""
    why = fixed(chosen, workers, most)
    if not why:
        return (most if most > workers else 2 * workers) + 1  # one for the successor of another worker
    return workers + 1 if why is SOCKETS else workers


def fixed(chosen: Combination, workers: int, most: int = 0) -> str:
    """Return why the number of workers cannot change within a generation; empty: it can. A single worker has no other
    number, so that its front has no choice to make."""
    if chosen.pool != "process":
        return "its workers are not processes"
    if {"pool", "ownership"} & dict(chosen.names).keys():
        return "a plugin provides its pool or its ownership"  # which may expect a role for each number
    if max(workers, most) <= 1:
        return "it has only one worker"
    return SOCKETS if chosen.ownership == REUSE_PORT else ""
