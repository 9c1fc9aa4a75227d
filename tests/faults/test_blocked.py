"""Blocked workers, looked at for as long as they are blocked: whenever a request comes, an idle worker takes it.

Which models can promise that, and why reuse-port cannot, is said in test_blocked_worker.
"""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from itertools import cycle
from pathlib import Path

import pytest
from harness.client import clients, get
from harness.server import Server, wait_until

from faults.models import MODELS, Model, Start, begin, busy

NAMES = [name for name in MODELS if name != "reuse-port"] + ["hshr-processes-selectors"]
QUICK = 0.5  # seconds


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
        blockers = [busy(server.port, seconds) for _ in range(blocked)]
        wait_until(lambda: sleeping(server) == blocked, f"{blocked} blocked workers")
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


@pytest.mark.parametrize("blocked", [1, 3])
@pytest.mark.parametrize("name", NAMES)
def test_an_idle_worker_serves_while_others_are_blocked(serve: Start, name: str, blocked: int) -> None:
    model, server = begin(serve, name)
    took = probe(model, server, blocked, 1.2)
    assert len(took) >= 8
    assert max(took) < QUICK, took


@pytest.mark.slow
@pytest.mark.parametrize("blocked", [1, 3])
@pytest.mark.parametrize("name", NAMES)
def test_an_idle_worker_serves_while_others_are_blocked_in_eight_rounds_of_eight(
    serve: Start, name: str, blocked: int
) -> None:
    pairs = [begin(serve, name) for _ in range(2)]

    def rounds(pair: tuple[Model, Server]) -> list[float]:
        return [max(probe(*pair, blocked, 2)) for _ in range(4)]

    with ThreadPoolExecutor(2) as pool:
        slowest = [each for found in pool.map(rounds, pairs) for each in found]
    assert len(slowest) == 8
    assert max(slowest) < QUICK, slowest


GET = b"GET /pid HTTP/1.1\r\nHost: x\r\n\r\n"
EXPECTING = b"POST /echo HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n"


@pytest.mark.parametrize("name", [*MODELS, "hshr-hybrid", "lf-threads-selectors"])
def test_what_comes_in_one_packet_with_a_request_waits_for_no_other_packet(serve: Start, name: str) -> None:
    _, server = begin(serve, name, 2)
    with clients(server.port, 3, timeout=5) as (pipelined, expecting, broken):
        for client in (pipelined, expecting, broken):
            assert client.get().status == 200  # it is no newcomer any more
        pipelined.send(GET * 5)
        assert [pipelined.answer().status for _ in range(5)] == [200] * 5
        expecting.send(GET + EXPECTING)
        assert [expecting.answer().status for _ in range(2)] == [200, 100]
        expecting.send(b"ok")
        assert expecting.answer().body == b"ok"
        broken.send(GET + b"garbage\r\n\r\n")
        assert [broken.answer().status for _ in range(2)] == [200, 400]
        assert broken.at_end()
