"""Reloads under load: no request fails, no connection is closed, and nothing is left of the generations before."""

from __future__ import annotations

import os
import signal
import time
from contextlib import ExitStack
from pathlib import Path

import pytest
from harness.certificate import certified
from harness.client import Client
from harness.load import Load
from harness.server import Serve, Server, wait_until

from faults.models import begin, models
from faults.test_idle_connections import descriptors

ROUNDS = 3  # in the short form


def reload(server: Server, number: int) -> None:
    """SIGHUP, until generation ``number`` serves alone."""
    server.signal(signal.SIGHUP)
    server.wait_for_log(rf"exit code 0: generation {number} serves \(")


def held(server: Server) -> tuple[int, int]:
    """What may not grow: descriptors of the supervisor, and processes."""
    wait_until(lambda: len(server.pids("mold")) == 1, "the end of earlier molds")
    return len(os.listdir(f"/proc/{server.pid}/fd")), len(server.tree())


@models()
def test_nobody_notices_a_reload(name: str, serve: Serve) -> None:
    model, server = begin(serve, name, size=2)
    before = held(server), server.pids("mold")
    with Load(server.port) as load:
        for number in range(ROUNDS):
            reload(server, number + 2)
            load.goes_on()
    assert load.failures == []
    after = held(server), server.pids("mold")
    assert after[0] == before[0]
    assert after[1] != before[1]
    assert len(model.workers(server)) == (2 if model.processes else 1)
    assert server.stop() == 0


GET = b"GET / HTTP/1.1\r\nHost: shop\r\n\r\n"
POST = b"POST / HTTP/1.1\r\nHost: shop\r\nContent-Length: %d\r\n\r\n" % len(GET)


@models()
def test_a_part_of_a_request_that_came_with_another_is_not_lost(name: str, serve: Serve) -> None:
    """Its connection stays until all of it has come; what is left of it is not a request of its own."""
    _, server = begin(serve, name, size=2)
    with Client(server.port) as head, Client(server.port) as body:
        head.sock.sendall(GET + GET[:20])
        body.sock.sendall(GET + POST)  # its body looks like a request
        assert [client.answer().status for client in (head, body)] == [200, 200]
        server.signal(signal.SIGHUP)
        server.wait_for_log("generation 2 of faults is ready")
        head.sock.sendall(GET[20:])
        body.sock.sendall(GET[:30])
        body.sock.sendall(GET[30:])
        assert [client.answer().status for client in (head, body)] == [200, 200]
        server.wait_for_log(r"exit code 0: generation 2 serves \(")
        assert [client.get().status for client in (head, body)] == [200, 200]
    assert server.stop() == 0


@models(always=("hshr-processes", "lf-processes"))
def test_clients_of_tls_are_told_and_lose_nothing(name: str, serve: Serve, tmp_path: Path) -> None:
    """Their connections cannot move: each ends with a response that says so."""
    listen, trusted = certified(tmp_path)
    _, server = begin(serve, name, size=2, listen=listen)
    with Load(server.port, idle=2, short=1, tls=trusted) as load:
        for number in range(2):
            reload(server, number + 2)
            load.goes_on(20)
    assert load.failures == []
    assert server.stop() == 0


@pytest.mark.slow
@models(always=())
def test_fifty_reloads_in_a_row(name: str, serve: Serve) -> None:
    _, server = begin(serve, name, size=2)
    reload(server, 2)
    before = held(server)
    with Load(server.port) as load:
        for number in range(50):
            reload(server, number + 3)
    assert load.failures == []
    # what belonged to a generation is closed a moment after its mold is gone, also when the first number is taken
    wait_until(lambda: held(server) <= before, f"no more than {before}")
    assert server.stop() == 0


@pytest.mark.parametrize("count", [400, pytest.param(10_000, marks=pytest.mark.slow)])
@pytest.mark.parametrize("name", ["hshr-processes", "hsha-front-processes", "lf-processes", "reuse-port"])
def test_many_idle_connections_move_at_once(name: str, count: int, serve: Serve) -> None:
    """More than the channel between the generations holds."""
    with descriptors(count) as most, ExitStack() as stack:
        limits = {"connections": 2 * most + 10, "waiting": most}  # where connections are tasks, all come at once
        _, server = begin(serve, name, size=2, limits=limits, timeouts={"head": 600, "idle": 600})
        clients = [stack.enter_context(Client(server.port)) for _ in range(most)]
        assert all(client.get().status == 200 for client in clients)
        reload(server, 2)
        assert all(client.get().status == 200 for client in clients)
        assert server.stop() == 0


@models()
def test_a_killed_mold_closes_no_connection(name: str, serve: Serve) -> None:
    """Its workers cannot know that it is dead, but that the server goes on."""
    _, server = begin(serve, name, size=2)
    with Load(server.port, short=0) as load:
        (mold,) = server.pids("mold")
        os.kill(mold, signal.SIGKILL)
        server.wait_for_log(r"generation 2 of faults is ready")
        wait_until(lambda: len(server.pids("mold")) == 1, "the end of the first mold")
        load.goes_on()
    assert load.failures == []
    assert server.stop() == 0


@models(always=("reuse-port",))
def test_a_storm_of_hangups_ends_with_one_generation_and_the_last_one_counts(name: str, serve: Serve) -> None:
    _, server = begin(serve, name, size=2)
    with Load(server.port) as load:
        for _ in range(20):
            server.signal(signal.SIGHUP)
            time.sleep(0.02)  # or several would be one
        server.wait_for_log(r"exit code 0: generation \d serves \(", count=2)  # one for the rest
        load.goes_on()
    assert load.failures == []
    held(server)
    assert server.stop() == 0


@models(always=("hshr-processes", "lf-threads"))
def test_a_stop_during_a_reload_answers_everything(name: str, serve: Serve) -> None:
    _, server = begin(serve, name, size=2)
    server.signal(signal.SIGHUP)
    server.wait_for_log(r"starts beside|serves; generation 1 drains")
    assert server.stop() == 0
    assert all(not Path(f"/proc/{pid}").exists() for pid in server.pids("worker"))
