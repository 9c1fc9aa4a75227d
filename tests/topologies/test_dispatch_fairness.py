"""Who gets how much, in numbers, on live servers of four workers.

The draws of a front come from a seed, and are judged by a chi-square test with three degrees of freedom at p = 0.0001:
one that prefers a worker by a third fails it nearly always. Those of the kernel have no seed, so nobody may have less
than a quarter of what is fair: of 400 draws that is more than eight standard deviations.
"""

from __future__ import annotations

import select
from collections import Counter
from collections.abc import Callable
from itertools import product
from pathlib import Path
from typing import Any

import pytest
from harness.client import Client, clients, get
from harness.forms import half, in_turn, short
from harness.server import Serve, Server, at_rest, wait_until

WORKERS = 4
PROCESSES = {"kind": "process", "size": WORKERS}
THREADS = {"kind": "thread", "size": WORKERS}
REACTIVE = "half-sync/half-reactive"
ASYNC_FRONT = {"use": "half-sync/half-async", "accept": "front"}
ASYNC_WORKER = {"use": "half-sync/half-async", "accept": "worker"}
STUCK = 30  # seconds
SEEDED = f"{Path(__file__).parent / 'apps' / 'seeded.py'}:Seeded"
CHI_SQUARE = 21.1075  # 3 degrees of freedom, p = 0.0001

POOLS = {"processes": PROCESSES, "threads": THREADS}

pools = pytest.mark.parametrize("pool", POOLS.values(), ids=POOLS)


def serve_workers(serve: Serve, pool: Any, ownership: Any, dispatch: Any, affinity: str) -> Server:
    return serve({"app": "demo", "pool": pool, "ownership": ownership, "dispatch": dispatch, "affinity": affinity})


def by_requests(port: int, count: int) -> list[str]:
    """Who answered, request after request on one connection."""
    with Client(port) as client:
        return [client.get().worker for _ in range(count)]


def by_connections(port: int, count: int) -> list[str]:
    """Who answered, connection after connection."""
    return [get(port).worker for _ in range(count)]


def by_addresses(port: int, count: int) -> list[str]:
    """Who answered, address after address."""
    return [get(port, source=f"127.0.{number // 250}.{number % 250 + 2}").worker for number in range(count)]


UNITS: dict[str, tuple[Any, str, Callable[[int, int], list[str]]]] = {
    "requests": (REACTIVE, "request", by_requests),
    "connections-lent": (REACTIVE, "connection", by_connections),
    "addresses": (REACTIVE, "client", by_addresses),
    "connections-handed-over": (ASYNC_FRONT, "connection", by_connections),
    "connections-accepted-in-turn": (ASYNC_WORKER, "connection", by_connections),
}
DRAWN = ("requests", "addresses", "connections-handed-over")


@pytest.mark.parametrize(("unit", "pool"), short(product(UNITS, POOLS), in_turn(UNITS, POOLS)))
def test_round_robin_is_exact(unit: str, pool: str, serve: Serve) -> None:
    ownership, affinity, draw = UNITS[unit]
    met = draw(serve_workers(serve, POOLS[pool], ownership, "round-robin", affinity).port, 40)
    assert len(set(met[:WORKERS])) == WORKERS
    assert met == met[:WORKERS] * 10


def test_round_robin_takes_no_heed_of_load(serve: Serve) -> None:
    server = serve_workers(serve, PROCESSES, ASYNC_FRONT, "round-robin", "connection")
    with clients(server.port, 10) as several:
        met = [client.get().worker for client in several]
    assert met == (met[:WORKERS] * 3)[:10]


def assert_even(met: list[str]) -> None:
    counts = Counter(met)
    assert len(counts) == WORKERS
    expected = len(met) / WORKERS
    chi_square = sum((count - expected) ** 2 / expected for count in counts.values())
    assert chi_square < CHI_SQUARE, counts


@pytest.mark.parametrize(("unit", "pool"), short(product(DRAWN, POOLS), in_turn(DRAWN, POOLS)))
def test_random_is_even(unit: str, pool: str, serve: Serve) -> None:
    ownership, affinity, draw = UNITS[unit]
    assert_even(draw(serve_workers(serve, POOLS[pool], ownership, SEEDED, affinity).port, 400))


@pytest.mark.parametrize("dispatch", ["random", "kernel-hash"])
def test_the_kernel_draws_everybody(dispatch: str, serve: Serve) -> None:
    counts = Counter(by_connections(serve_workers(serve, PROCESSES, "reuse-port", dispatch, "connection").port, 400))
    assert len(counts) == WORKERS
    assert min(counts.values()) > 400 / WORKERS / 4, counts


def test_the_kernel_keeps_an_address_with_one_worker(serve: Serve) -> None:
    port = serve_workers(serve, PROCESSES, "reuse-port", "client", "client").port
    met = [{get(port, source=f"127.0.0.{host}").worker for _ in range(12)} for host in range(1, 33)]
    assert all(len(each) == 1 for each in met)
    assert len(set().union(*met)) == WORKERS


@pools
def test_least_loaded_spreads_open_connections_evenly(pool: Any, serve: Serve) -> None:
    server = serve_workers(serve, pool, ASYNC_FRONT, "least-loaded", "connection")
    with clients(server.port, 40) as several:
        counts = Counter(client.get().worker for client in several)
    assert set(counts.values()) == {10}


def test_a_better_choice_of_two_never_takes_the_fullest(serve: Serve) -> None:
    """The strictly fullest of four inboxes is never the better of two, so it waits until another has caught up."""
    server = serve_workers(serve, PROCESSES, ASYNC_FRONT, "power-of-choices", "connection")
    with clients(server.port, 40) as several:
        counts: Counter[str] = Counter()
        for client in several:
            fullest = [worker for worker, count in counts.items() if count == max(counts.values())]
            worker = client.get().worker
            assert fullest != [worker], counts
            counts[worker] += 1
    assert len(counts) == WORKERS


def all_ended(server: Server) -> None:
    """Wait until no worker is at the end of a task: its client has the answer, but the task still counts as a load."""
    pids = server.pids("worker") or server.pids("threads")
    wait_until(lambda: all(map(at_rest, pids)), "workers that sleep")


AROUND = {
    "least-loaded-processes": (PROCESSES, REACTIVE, "least-loaded", "request"),
    "power-of-choices-processes": (PROCESSES, REACTIVE, "power-of-choices", "request"),
    "shared-queue-processes": (PROCESSES, REACTIVE, "shared-queue", "request"),
    "least-loaded-threads": (THREADS, REACTIVE, "least-loaded", "request"),
    "shared-queue-threads": (THREADS, REACTIVE, "shared-queue", "request"),
    "shared-queue-2x2": ({**PROCESSES, "size": 2, "threads": 2}, REACTIVE, "shared-queue", "request"),
    "leader-threads": (THREADS, "leader/followers", "leader", "request"),
    "leader-processes": (PROCESSES, "leader/followers", "leader", "connection"),
    "least-loaded-handed-over": (PROCESSES, ASYNC_FRONT, "least-loaded", "connection"),
    "shared-queue-handed-over": (PROCESSES, ASYNC_FRONT, "shared-queue", "connection"),
}


@pytest.mark.parametrize("name", short(AROUND, half(AROUND)))
def test_nobody_waits_behind_a_stuck_worker(name: str, serve: Serve) -> None:
    server = serve_workers(serve, *AROUND[name])
    with Client(server.port) as blocker:
        blocker.ask(f"/sleep?seconds={STUCK}")
        answered = []
        for _ in range(25):
            all_ended(server)
            answered.append(get(server.port).worker)
        all_ended(server)  # else the last connection may count still, and the stuck worker have the fewest
        with clients(server.port, WORKERS - 1) as several:
            for _ in range(10):
                for client in several:
                    all_ended(server)
                    answered.append(client.get().worker)
        assert not select.select([blocker.sock], [], [], 0)[0], "the stuck worker has answered: somebody waited for it"
    assert len(set(answered)) < WORKERS
