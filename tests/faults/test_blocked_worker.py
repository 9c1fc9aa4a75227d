"""One worker is blocked: no request on another connection waits behind it.

This is what a dispatch decides, so it is asked of the models that choose a worker when the request or the connection is
there: half-sync/half-reactive, half-sync/half-async with the shared queue, leader/followers. Under reuse-port the
kernel chooses before anybody can know, and connections do wait; the test does not ask it.
"""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from harness.client import clients, get
from harness.server import Server

from faults.models import ALL, Model, Start, begin, busy

BLOCKED = 2.0  # seconds
QUICK = 0.5
NAMES = [name for name in ALL if name != "reuse-port"]


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


@pytest.mark.parametrize("name", NAMES)
def test_nobody_waits_behind_a_blocked_worker(serve: Start, name: str) -> None:
    """Two rounds at once, each with a server of its own."""
    _rounds(serve, name, servers=2, rounds=1)


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_nobody_waits_behind_a_blocked_worker_in_eight_rounds_of_eight(serve: Start, name: str) -> None:
    _rounds(serve, name, servers=2, rounds=4)


def _rounds(serve: Start, name: str, *, servers: int, rounds: int) -> None:
    pairs = [begin(serve, name) for _ in range(servers)]

    def run(pair: tuple[Model, Server]) -> list[float]:
        return [one_round(*pair) for _ in range(rounds)]

    with ThreadPoolExecutor(servers) as pool:
        took = [each for found in pool.map(run, pairs) for each in found]
    assert len(took) == servers * rounds
    assert max(took) < QUICK, took
