"""Upgrades under load: no request fails, no connection is closed, and nothing is left of the supervisors before."""

from __future__ import annotations

import os
import signal
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest
from harness.certificate import certified
from harness.client import Client
from harness.load import Load
from harness.server import Serve, Server, alive, wait_until

from faults.models import begin, busy, models
from faults.test_idle_connections import descriptors

ROUNDS = 3


def upgrade(server: Server, count: int = 1) -> int:
    """SIGUSR2 to the first process, until a new supervisor serves alone; its pid. ``count``: of all upgrades so far."""
    server.signal(signal.SIGUSR2)
    done = server.wait_for_log(r"upgrade \(SIGUSR2\) ended after .* with exit code 0: process (\d+) serves \(", count)
    return int(done[1])


def settle(server: Server, pid: int) -> tuple[int, int]:
    """Wait until the supervisor before this one has ended; what may not grow: descriptors of the supervisor, and
    processes."""
    wait_until(lambda: server.pids("supervisor") == [pid], "one supervisor")
    wait_until(lambda: not any("poolctl-state" in each for each in links(pid)), "the end of the upgrade")
    return len(links(pid)), len([each for each in server.tree() if alive(each)])


def links(pid: int) -> list[str]:
    """What the descriptors of a process are."""
    found = []
    for fd in Path(f"/proc/{pid}/fd").iterdir():
        with suppress(FileNotFoundError):  # closed meanwhile
            found.append(os.readlink(fd))
    return found


@models()
def test_nobody_notices_an_upgrade(name: str, serve: Serve) -> None:
    model, server = begin(serve, name, size=2)
    with Load(server.port) as load:
        before = settle(server, upgrade(server))
        for number in range(1, ROUNDS):
            pid = upgrade(server, number + 1)
            load.goes_on()
            wait_until(lambda pid=pid: settle(server, pid) == before, f"{before} descriptors and processes")  # type: ignore[misc]
    assert load.failures == []
    assert len(model.workers(server)) == (2 if model.processes else 1)
    assert server.stop() == 0


@pytest.mark.parametrize("count", [400, pytest.param(10_000, marks=pytest.mark.slow)])
@pytest.mark.parametrize("name", ["hshr-processes", "lf-processes"])
def test_many_idle_connections_move_to_the_new_supervisor(name: str, count: int, serve: Serve) -> None:
    with descriptors(count) as most, ExitStack() as stack:
        _, server = begin(
            serve, name, size=2, limits={"connections": 2 * most + 10}, timeouts={"head": 600, "idle": 600}
        )
        clients = [stack.enter_context(Client(server.port)) for _ in range(most)]
        assert all(client.get().status == 200 for client in clients)
        upgrade(server)
        assert all(client.get().status == 200 for client in clients)
        assert server.stop() == 0


@models(always=("hshr-processes", "lf-processes"))
def test_clients_of_tls_lose_nothing(name: str, serve: Serve, tmp_path: Path) -> None:
    """Their connections cannot move: each ends with a response that says so."""
    listen, trusted = certified(tmp_path)
    _, server = begin(serve, name, size=2, listen=listen)
    with Load(server.port, idle=2, short=1, tls=trusted) as load:
        upgrade(server)
        load.goes_on(20)
    assert load.failures == []
    assert server.stop() == 0


@models(always=("hshr-processes", "lf-threads"))
def test_a_stop_waits_for_what_the_old_supervisor_drains(name: str, serve: Serve) -> None:
    _, server = begin(serve, name, size=2)
    with busy(server.port, 2) as client:
        server.wait_until_busy()
        server.signal(signal.SIGUSR2)
        server.wait_for_log("goes on as process")
        server.signal()  # which is passed on
        server.wait_for_log("SIGTERM: draining")
        assert client.answer().status == 200
    assert server.wait() == 0
    assert not server.pids("supervisor")


@models(always=("hshr-processes",))
def test_a_second_signal_ends_both(name: str, serve: Serve) -> None:
    _, server = begin(serve, name, size=2)
    with busy(server.port, 20):
        server.wait_until_busy()
        server.signal(signal.SIGUSR2)
        server.wait_for_log("goes on as process")
        pids = server.tree()
        server.signal()
        server.wait_for_log("SIGTERM: draining")
        server.signal()
        assert server.wait() == 128 + signal.SIGTERM
        for pid in pids:
            wait_until(lambda pid=pid: not alive(pid), f"the end of process {pid}")  # type: ignore[misc]
