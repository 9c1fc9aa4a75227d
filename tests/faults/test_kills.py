"""Processes that are killed: what the one in it loses, what all others must not notice, and that nothing stays."""

from __future__ import annotations

import os
import signal
import time

import pytest
from harness.client import Client, clients, get
from harness.machine import within
from harness.server import Serve, Server, alive, wait_until

from faults.hammer import Hammer
from faults.models import ALL, FEW, begin, busy, models

PROCESSES = [name for name, model in ALL.items() if model.processes]
THREADS = [name for name, model in ALL.items() if not model.processes]
FRONTED = [name for name, model in ALL.items() if model.front]


def who_answers(port: int) -> set[int]:
    """The processes that answer when so many requests come at once that all have to do."""
    with clients(port, 16) as waiting:
        for client in waiting:
            client.ask("/sleep?seconds=0.05")
        return {client.answer().process for client in waiting}


@models(PROCESSES)
def test_a_killed_worker_is_replaced_and_only_its_client_notices(serve: Serve, name: str) -> None:
    model, server = begin(serve, name)
    workers = model.workers(server)
    with clients(server.port, 8) as idle, Client(server.port) as victim:
        owners = [client.get("/pid").process for client in idle]
        assert set(owners) <= set(workers)
        wait_until(lambda: not server.busy(), "the end of what was asked")
        victim.ask("/sleep?seconds=60")
        (killed,) = server.wait_until_busy()
        os.kill(killed, signal.SIGKILL)
        started = time.monotonic()
        if model.lends:
            response = victim.answer()
            assert response.status == 502
            assert response.headers["connection"] == "close"
        assert victim.at_end()
        assert time.monotonic() - started < within(1)
        for client, owner in zip(idle, owners, strict=True):
            if model.lends or owner != killed:
                assert client.get("/pid").process != killed
            else:
                assert client.at_end()
        new = wait_until(lambda: set(model.workers(server)) - set(workers), "the new worker").pop()
        assert time.monotonic() - started < within(2)
        wait_until(lambda: new in who_answers(server.port), "an answer of the new one")
    assert len(model.workers(server)) == 4
    assert server.stop() == 0


@models(PROCESSES, always=FEW)
def test_what_waits_in_a_killed_workers_inbox_is_served_by_its_successor(serve: Serve, name: str) -> None:
    model, server = begin(serve, name, 1)
    (worker,) = model.workers(server)
    victims = [busy(server.port, 60) for _ in range(model.threads)]
    wait_until(lambda: server.busy() and server.status()["in_flight"] >= model.threads, "busy threads")
    with clients(server.port, 6) as waiting:
        for client in waiting:
            client.ask("/pid")
        if model.lends:
            wait_until(lambda: queued(server), "the requests in the inbox")
        os.kill(worker, signal.SIGKILL)
        answers = 0
        for client in waiting:
            try:
                assert client.answer().process != worker
                answers += 1
            except (EOFError, ConnectionError):
                assert not model.lends
        assert answers == 6 or name.startswith("hsha-front")
    for victim in victims:
        victim.close()


def queued(server: Server) -> bool:
    """Nothing is left unread by the front: the requests lie in the inbox."""
    port = f":{server.port:04X}"
    with open("/proc/net/tcp") as file:
        rows = [line.split() for line in file if f"{port} " in line]
    mine = [row for row in rows if row[1].endswith(port) and row[3] == "01"]
    return len(mine) >= 7 and all(row[4].endswith(":00000000") for row in mine)


@models(FRONTED)
def test_a_killed_front_refuses_no_connection_and_keeps_its_workers(serve: Serve, name: str) -> None:
    model, server = begin(serve, name)
    workers = model.workers(server)
    (front,) = server.pids("front")
    with Hammer(server.port) as hammer:
        os.kill(front, signal.SIGKILL)
        wait_until(lambda: [pid for pid in server.pids("front") if pid != front], "the new front")
        hammer.goes_on()
    assert hammer.refused == []
    assert model.workers(server) == workers
    assert all(get(server.port).status == 200 for _ in range(8))
    assert server.stop() == 0


@models(FRONTED, always=FEW)
def test_a_front_that_is_killed_while_its_workers_are_busy(serve: Serve, name: str) -> None:
    model, server = begin(serve, name)
    workers = model.workers(server)
    (front,) = server.pids("front")
    sleepers = [busy(server.port, 1) for _ in range(2)]
    server.wait_until_busy()
    os.kill(front, signal.SIGKILL)
    assert all(get(server.port).status == 200 for _ in range(8))
    for sleeper in sleepers:  # their request ends on the worker; the connection is the worker's, or the front's
        assert sleeper.answer().status == 200
        sleeper.close()
    assert model.workers(server) == workers
    assert server.stop() == 0


@models()
def test_a_killed_mold_takes_its_roles_along_and_refuses_no_connection(serve: Serve, name: str) -> None:
    _, server = begin(serve, name)
    (mold,) = server.pids("mold")
    old = [pid for pid in server.tree() if pid not in (server.pid, mold)]
    with Hammer(server.port) as hammer:
        os.kill(mold, signal.SIGKILL)
        for pid in old:
            wait_until(lambda pid=pid: not alive(pid), f"the end of role {pid}")  # type: ignore[misc]
        server.wait_for_log(r"generation 2 of faults is ready")
        hammer.goes_on()
    assert hammer.refused == []
    assert len(server.tree()) == len(old) + 2
    assert server.stop() == 0


@models(always=FEW)
def test_requests_in_flight_survive_the_mold(serve: Serve, name: str) -> None:
    _, server = begin(serve, name)
    (mold,) = server.pids("mold")
    sleepers = [busy(server.port, 1) for _ in range(4)]
    server.wait_until_busy()  # those that are not accepted go to the next generation, which is as good
    os.kill(mold, signal.SIGKILL)
    for sleeper in sleepers:
        with sleeper:
            assert sleeper.answer().status == 200
    assert server.stop() == 0


@models(always=FEW)
@pytest.mark.parametrize("load", ["idle", "busy"])
def test_nothing_survives_a_killed_supervisor(serve: Serve, name: str, load: str) -> None:
    _, server = begin(serve, name, timeouts={"drain": "2s"})
    kept = Client(server.port)
    assert kept.get().status == 200
    sleepers = [busy(server.port, 1) for _ in range(3)] if load == "busy" else []
    pids = server.tree()
    if load == "busy":
        server.wait_until_busy()
    os.kill(server.pid, signal.SIGKILL)
    started = time.monotonic()
    for pid in pids:
        wait_until(lambda pid=pid: not alive(pid), f"the end of process {pid}")  # type: ignore[misc]
    assert time.monotonic() - started < within(2.5 if load == "busy" else 1)
    for client in [kept, *sleepers]:
        client.close()


@pytest.mark.parametrize("name", ["hshr-processes", "lf-processes", "hshr-threads"])
def test_nothing_survives_a_killed_supervisor_even_if_a_worker_is_stuck(serve: Serve, name: str) -> None:
    _, server = begin(serve, name, timeouts={"drain": "1s"})
    with busy(server.port, 60):
        pids = server.tree()
        server.wait_until_busy()
        os.kill(server.pid, signal.SIGKILL)
        started = time.monotonic()
        for pid in pids:
            wait_until(lambda pid=pid: not alive(pid), f"the end of process {pid}")  # type: ignore[misc]
        assert time.monotonic() - started < within(2)
