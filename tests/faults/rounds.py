"""The long form of a fault: again and again, after which nothing is left of it."""

from __future__ import annotations

from collections.abc import Callable

from harness.server import Server, wait_until

from faults.test_workers_come_and_go import held, memory

ROUNDS = 20


def leave_nothing(server: Server, fault: Callable[[], None]) -> None:
    """Call this so often; the processes and descriptors are the same afterwards, and so is the memory of those that
    stay, within a tenth."""
    for _ in range(3):
        fault()
    before, used = held(server), memory(server)
    for _ in range(ROUNDS):
        fault()
    wait_until(lambda: held(server) == before, f"{before} again")
    assert memory(server) <= 1.1 * used
