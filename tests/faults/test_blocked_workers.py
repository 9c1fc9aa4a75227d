"""Blocked workers: no request on another connection waits behind them while one is idle.

This is what a dispatch decides, so it is asked of the models that choose a worker when the request or the connection is
there: half-sync/half-reactive, half-sync/half-async with the shared queue, leader/followers. Under reuse-port the
kernel chooses before anybody can know, and connections do wait; the tests do not ask it.
"""

from __future__ import annotations

import select
from collections.abc import Callable
from itertools import cycle, islice

import pytest
from harness.client import Client, clients, get
from harness.server import Serve, Server, wait_until

from faults.models import ALL, FEW, Model, begin, busy, models

BLOCKED = 60  # seconds: who waits behind one of them has its answer after it
ASKED = 40
NAMES = [name for name in ALL if name != "reuse-port"]
Round = Callable[[Model, Server], None]


def still_blocked(blockers: list[Client]) -> bool:
    """Whether none of them has its answer: then nobody can have waited behind one of them."""
    return not select.select([client.sock for client in blockers], [], [], 0)[0]


def block(model: Model, server: Server, count: int, kept: int) -> list[Client]:
    """So many workers, one after the other: a worker may accept two that say nothing yet. ``kept``: connections that
    are open, and count as in flight where a connection is a task."""
    blockers = []
    for number in range(1, count + 1):
        blockers.append(busy(server.port, BLOCKED))
        if model.processes and model.threads == 1:
            server.wait_until_busy(number)
        else:  # they are threads of one worker, or may be
            expected = number if model.lends else number + kept
            wait_until(lambda expected=expected: server.status()["in_flight"] == expected, "a busy thread")  # type: ignore[misc]
    return blockers


def probe(model: Model, server: Server, blocked: int) -> None:
    """Block so many workers, then ask one request after the other."""
    with clients(server.port, 4) as kept:
        for client in kept:
            assert client.get().status == 200
        blockers = block(model, server, blocked, len(kept))
        for client in islice(cycle([None, *kept] if model.floats else [None]), ASKED):
            assert (client.get() if client else get(server.port)).status == 200
        assert still_blocked(blockers)
        for blocker in blockers:
            blocker.close()


def one_round(model: Model, server: Server) -> None:
    """A blocking request, then eight quick ones: new connections, and kept ones where any worker serves those."""
    with clients(server.port, 4) as kept:
        if model.floats:
            for client in kept:
                assert client.get().status == 200
        (blocking,) = block(model, server, 1, len(kept))
        with blocking, clients(server.port, 4) as new:
            asked = [*new, *(kept if model.floats else [])]
            for client in asked:
                client.ask()
            for client in asked:
                assert client.answer().status == 200
            if not model.floats:
                for _ in range(4):
                    assert get(server.port).status == 200
            assert still_blocked([blocking])


def rounds(serve: Serve, name: str, one: Round) -> None:
    """Eight of them, each at a server of its own, for its workers stay blocked."""
    for _ in range(8):
        model, server = begin(serve, name)
        one(model, server)
        server.kill_all()


@models(NAMES, always=FEW)
def test_nobody_of_many_waits_behind_a_blocked_worker(serve: Serve, name: str) -> None:
    one_round(*begin(serve, name))


@pytest.mark.slow
@models(NAMES)
def test_nobody_of_many_waits_behind_a_blocked_worker_in_eight_rounds(serve: Serve, name: str) -> None:
    rounds(serve, name, one_round)


@pytest.mark.parametrize("blocked", [1, 3])
@models(NAMES, always=FEW)
def test_whenever_a_request_comes_an_idle_worker_takes_it(serve: Serve, name: str, blocked: int) -> None:
    probe(*begin(serve, name), blocked)


@pytest.mark.slow
@pytest.mark.parametrize("blocked", [1, 3])
@models(NAMES)
def test_whenever_a_request_comes_an_idle_worker_takes_it_in_eight_rounds(
    serve: Serve, name: str, blocked: int
) -> None:
    rounds(serve, name, lambda model, server: probe(model, server, blocked))
