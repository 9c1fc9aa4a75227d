"""Blocked workers: no request on another connection waits behind them while one is idle.

This is what a dispatch decides, so it is asked of the models that choose a worker when the request or the connection is
there: half-sync/half-reactive, half-sync/half-async with the shared queue, leader/followers. Under reuse-port the
kernel chooses before anybody can know, and connections do wait; the tests do not ask it.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import cycle
from pathlib import Path

import pytest
from harness.client import clients, get
from harness.server import Server, wait_until

from faults.models import ALL, FEW, Model, Start, begin, busy, models

BLOCKED = 2.0  # seconds
QUICK = 0.5
NAMES = [name for name in ALL if name != "reuse-port"]
Round = Callable[[Model, Server], float]


def sleeping(server: Server) -> int:
    """How many threads of the server are in the demo's /sleep."""
    return sum("nanosleep" in place for pid in server.tree() for place in places(pid))


def places(pid: int) -> list[str]:
    """Where in the kernel each thread of a process waits."""
    return [(task / "wchan").read_text() for task in Path(f"/proc/{pid}/task").iterdir()]


def probe(model: Model, server: Server, blocked: int, seconds: float) -> list[float]:
    """Block so many workers, then ask one request after the other until they are free: how long each answer took."""
    with clients(server.port, 4) as kept:
        for client in kept:
            assert client.get().status == 200
        blockers = []
        for number in range(1, blocked + 1):  # one after the other: a worker may accept two that say nothing yet
            blockers.append(busy(server.port, seconds))
            wait_until(lambda number=number: sleeping(server) == number, f"{number} blocked workers")
        end = time.monotonic() + seconds - 0.3
        took = []
        for client in cycle([None, *kept] if model.floats else [None]):
            started = time.monotonic()
            if started > end:
                break
            assert (client.get() if client else get(server.port)).status == 200
            took.append(time.monotonic() - started)
        for blocker in blockers:
            with blocker:
                assert blocker.answer().status == 200
    return took


def one_round(model: Model, server: Server) -> float:
    """A blocking request, then eight quick ones: new connections, and kept ones where any worker serves those."""
    with clients(server.port, 4) as kept:
        if model.floats:
            for client in kept:
                assert client.get().status == 200
        with busy(server.port, BLOCKED) as blocking:
            time.sleep(0.05)  # a round is about what comes after the blocking one
            started = time.monotonic()
            with clients(server.port, 4) as new:
                asked = [*new, *(kept if model.floats else [])]
                for client in asked:
                    client.ask()
                for client in asked:
                    assert client.answer().status == 200
            if not model.floats:
                for _ in range(4):
                    assert get(server.port).status == 200
            took = time.monotonic() - started
            assert blocking.answer().status == 200
    return took


def rounds(serve: Start, name: str, one: Round, number: int) -> list[float]:
    """The slowest answer of each round; half of them at a server of their own, at the same time."""
    pairs = [begin(serve, name) for _ in range(2)]

    def run(pair: tuple[Model, Server]) -> list[float]:
        return [one(*pair) for _ in range(number // 2)]

    with ThreadPoolExecutor(2) as pool:
        return [each for found in pool.map(run, pairs) for each in found]


@models(NAMES, always=FEW)
def test_nobody_of_many_waits_behind_a_blocked_worker(serve: Start, name: str) -> None:
    assert max(rounds(serve, name, one_round, 2)) < QUICK


@pytest.mark.slow
@models(NAMES)
def test_nobody_of_many_waits_behind_a_blocked_worker_in_eight_rounds_of_eight(serve: Start, name: str) -> None:
    slowest = rounds(serve, name, one_round, 8)
    assert len(slowest) == 8
    assert max(slowest) < QUICK, slowest


@pytest.mark.parametrize("blocked", [1, 3])
@models(NAMES, always=FEW)
def test_whenever_a_request_comes_an_idle_worker_takes_it(serve: Start, name: str, blocked: int) -> None:
    model, server = begin(serve, name)
    took = probe(model, server, blocked, 1.2)
    assert len(took) >= 8
    assert max(took) < QUICK, took


@pytest.mark.slow
@pytest.mark.parametrize("blocked", [1, 3])
@models(NAMES)
def test_whenever_a_request_comes_an_idle_worker_takes_it_in_eight_rounds_of_eight(
    serve: Start, name: str, blocked: int
) -> None:
    slowest = rounds(serve, name, lambda model, server: max(probe(model, server, blocked, BLOCKED)), 8)
    assert len(slowest) == 8
    assert max(slowest) < QUICK, slowest
