"""Deaths that come together, or meet others at work: who is bound to the dead loses, nobody else notices."""

from __future__ import annotations

import os
import signal
import time

import pytest
from harness.client import Client, clients, get
from harness.machine import within
from harness.server import Serve, Server, alive, wait_until

from faults.hammer import Hammer
from faults.models import MODELS, begin, busy

PROCESSES = [name for name, model in MODELS.items() if model.processes] + ["hshr-processes-selectors"]
FRONTED = [name for name, model in MODELS.items() if model.front]
HANDED = [name for name in FRONTED if not MODELS[name].lends]
THREADS = [name for name, model in MODELS.items() if not model.processes] + ["lf-threads-selectors"]
CHOOSING = [name for name in PROCESSES if name != "reuse-port"]  # there two requests may meet one worker
SOON = 1.0  # seconds


@pytest.mark.parametrize("name", PROCESSES)
def test_the_successor_of_the_only_worker_answers_within_a_second(serve: Serve, name: str) -> None:
    model, server = begin(serve, name, 1)
    (old,) = model.workers(server)
    os.kill(old, signal.SIGKILL)
    wait_until(lambda: old not in model.workers(server), "its death")  # one that is dying may still take a task
    started = time.monotonic()
    response = get(server.port, "/pid")
    assert time.monotonic() - started < within(SOON)
    assert response.status == 200
    assert response.process != old


@pytest.mark.parametrize("name", CHOOSING)
def test_requests_in_other_workers_hands_are_finished(serve: Serve, name: str) -> None:
    model, server = begin(serve, name)
    workers = model.workers(server)
    sleepers = [busy(server.port, 1.5) for _ in workers]
    assert sorted(server.wait_until_busy(len(workers))) == sorted(workers)
    os.kill(workers[0], signal.SIGKILL)
    statuses: list[int] = []
    processes: set[int] = set()
    for sleeper in sleepers:
        with sleeper:
            try:
                response = sleeper.answer()
            except (EOFError, ConnectionError):
                statuses.append(0)
                continue
            statuses.append(response.status)
            if response.status == 200:
                processes.add(response.process)
    assert sorted(statuses) == sorted([502 if model.lends else 0, 200, 200, 200])
    assert processes == set(workers[1:])


@pytest.mark.parametrize("name", HANDED)
def test_connections_that_were_handed_over_outlive_the_front(serve: Serve, name: str) -> None:
    _, server = begin(serve, name)
    (front,) = server.pids("front")
    with clients(server.port, 8) as kept:
        owners = [client.get("/pid").process for client in kept]
        os.kill(front, signal.SIGKILL)
        assert [client.get("/pid").process for client in kept] == owners
        wait_until(lambda: server.pids("front") not in ([], [front]), "the new front")
        assert [client.get("/pid").process for client in kept] == owners


@pytest.mark.parametrize("name", FRONTED)
def test_the_successor_of_a_front_serves_within_a_second(serve: Serve, name: str) -> None:
    model, server = begin(serve, name)
    (front,) = server.pids("front")
    with Client(server.port) as idle:
        assert idle.get().status == 200
        os.kill(front, signal.SIGKILL)
        started = time.monotonic()
        assert get(server.port).status == 200
        assert time.monotonic() - started < within(SOON)
        if model.lends:  # its connections die with it, and must not be kept open by a copy in some worker
            assert idle.at_end()
            assert time.monotonic() - started < within(SOON)


@pytest.mark.parametrize("name", THREADS)
def test_a_killed_process_of_threads_is_replaced_and_refuses_no_connection(serve: Serve, name: str) -> None:
    model, server = begin(serve, name)
    (old,) = model.workers(server)
    with Hammer(server.port) as hammer:
        os.kill(old, signal.SIGKILL)
        wait_until(lambda: model.workers(server) not in ([], [old]), "the successor")
        hammer.goes_on()
    assert hammer.refused == []
    assert get(server.port, "/pid").process != old
    assert server.stop() == 0


def all_roles(server: Server) -> list[int]:
    """The pids of the roles, those included that were forked a moment ago and have the mold's title still."""
    _, _, *roles = server.tree()
    return roles


@pytest.mark.parametrize("name", PROCESSES)
def test_all_roles_killed_at_once_come_back_and_refuse_no_connection(serve: Serve, name: str) -> None:
    _, server = begin(serve, name)
    old = all_roles(server)
    with Hammer(server.port) as hammer:
        for pid in old:
            os.kill(pid, signal.SIGKILL)
        wait_until(lambda: len(set(all_roles(server)) - set(old)) == len(old), "all successors")
        hammer.goes_on()
    assert hammer.refused == []
    assert server.stop() == 0


@pytest.mark.parametrize("name", ["hshr-processes", "lf-threads"])
def test_the_whole_generation_killed_at_once_is_followed_by_the_next(serve: Serve, name: str) -> None:
    _, server = begin(serve, name)
    old = server.tree()[1:]
    with Hammer(server.port) as hammer:
        for pid in old:
            os.kill(pid, signal.SIGKILL)
        server.wait_for_log(r"generation 2 of faults is ready")
        hammer.goes_on()
    assert hammer.refused == []
    assert not set(old) & set(server.tree())
    assert len(server.tree()) == len(old) + 1
    assert server.stop() == 0


@pytest.mark.parametrize("name", FRONTED)
def test_workers_that_nobody_is_left_to_hear_leave_in_peace(serve: Serve, name: str) -> None:
    model, server = begin(serve, name)
    workers = model.workers(server)
    with busy(server.port, 0.5):
        server.wait_until_busy()
        for role in ("mold", "front"):  # in this order nobody begins a new front
            for pid in server.pids(role):
                os.kill(pid, signal.SIGKILL)
        wait_until(lambda: not any(alive(pid) for pid in workers), "the end of the workers")
    server.wait_for_log("generation 2 of .* is ready")
    assert server.stop() == 0
    assert "the role failed" not in server.log
    assert "Traceback" not in server.log
