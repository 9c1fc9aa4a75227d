"""Clients meet few workers, few clients meet the same ones, and the contract of strategies."""

from __future__ import annotations

from collections import Counter
from itertools import combinations

import pytest
from poolctl_shuffle_sharding import ShuffleSharding

from poolctl.testing import DispatchContract
from poolctl.testing.samples import client
from poolctl.testing.simulation import Request, Simulation, task

WORKERS = 16


class TestShuffleSharding(DispatchContract):
    strategy = ShuffleSharding


class TestByHeader(DispatchContract):
    make = staticmethod(lambda: ShuffleSharding(by="header", name="X-Tenant", size=3))


def met(simulation: Simulation, address: str, asked: Request | None = None, count: int = 40) -> set[int]:
    """Return the inboxes that so many tasks of a client go to, none of which is finished meanwhile."""
    before = simulation.dispatched.copy()
    for _ in range(count):
        simulation.arrive(task(address, asked=asked))
    found = {index for index in range(WORKERS) if simulation.dispatched[index] > before[index]}
    while simulation.in_flight:
        simulation.finish()
    return found


def shards(strategy: ShuffleSharding, clients: int = 300) -> list[set[int]]:
    simulation = Simulation(strategy, WORKERS)
    return [met(simulation, client(number)) for number in range(clients)]


@pytest.mark.parametrize("size", [1, 2, 3])
def test_a_client_meets_so_many_workers(size: int) -> None:
    assert {len(shard) for shard in shards(ShuffleSharding(size=size))} == {size}


def test_few_clients_share_all_their_workers() -> None:
    """Of 120 pairs of workers, nearly all occur among 300 clients, and none often."""
    found = Counter(frozenset(shard) for shard in shards(ShuffleSharding()))
    assert len(found) > 90
    assert max(found.values()) < 12
    assert set(found) <= {frozenset(pair) for pair in combinations(range(WORKERS), 2)}


def test_every_worker_serves_its_share() -> None:
    found = Counter(index for shard in shards(ShuffleSharding()) for index in shard)
    assert len(found) == WORKERS
    assert max(found.values()) < 2 * 300 * 2 / WORKERS


def test_a_client_that_kills_its_workers_meets_no_others_while_one_is_there() -> None:
    simulation = Simulation(ShuffleSharding(size=3), WORKERS)
    own = met(simulation, "192.0.2.7")
    first, second, third = sorted(own)
    simulation.leave(first)
    simulation.leave(second)
    assert met(simulation, "192.0.2.7") == {third}
    simulation.join(first)
    assert met(simulation, "192.0.2.7") == {first, third}


def test_without_any_of_them_others_serve_it() -> None:
    simulation = Simulation(ShuffleSharding(size=1), WORKERS)
    (own,) = met(simulation, "192.0.2.7")
    simulation.leave(own)
    assert own not in met(simulation, "192.0.2.7")


def test_another_worker_moves_few_clients() -> None:
    before = shards(ShuffleSharding())
    strategy = ShuffleSharding()
    simulation = Simulation(strategy, WORKERS + 1)
    after = []
    for number in range(300):
        counted = simulation.dispatched.copy()
        for _ in range(40):
            simulation.arrive(task(client(number)))
        after.append({index for index in range(WORKERS + 1) if simulation.dispatched[index] > counted[index]})
        while simulation.in_flight:
            simulation.finish()
    moved = sum(len(one - other) for one, other in zip(after, before, strict=True))
    assert 0 < moved < 300 * 2 / (WORKERS + 1) * 2


def test_a_tenant_is_a_client() -> None:
    simulation = Simulation(ShuffleSharding(by="header", name="X-Tenant"), WORKERS)
    found = [
        met(simulation, address, Request("GET", b"/", [(b"X-Tenant", b"one")]))
        for address in ("192.0.2.1", "192.0.2.2", "198.51.100.9")
    ]
    assert found[0] == found[1] == found[2]


def test_a_cookie_needs_a_name() -> None:
    with pytest.raises(ValueError, match="by: cookie needs the name of the cookie"):
        ShuffleSharding(by="cookie")
