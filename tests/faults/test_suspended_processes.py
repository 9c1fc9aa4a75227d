"""Processes that are suspended by SIGSTOP: what waits for them, what goes on without them, and how a request that takes
too long, a change and a stop end them. Only SIGKILL and SIGCONT reach such a process."""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import signal
import stat
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from harness.client import Client, clients, get
from harness.load import Load
from harness.machine import PATIENCE
from harness.server import Serve, Server, alive, ask, at_rest, wait_until

from faults.hammer import Hammer
from faults.models import ALL, Model, begin, models
from faults.rounds import leave_nothing

PROCESSES = [name for name, model in ALL.items() if model.processes]
FRONTED = [name for name, model in ALL.items() if model.front]
CHANGING = [name for name in PROCESSES if name != "reuse-port"]
ONE, OTHER = (
    ("hshr-processes", "hsha-worker-processes-selectors", "reuse-port"),
    ("hsha-front-processes", "lf-processes"),
)
CHOSEN = ("reuse-port", "hshr-hybrid")  # each worker has a queue of its own
UNFINISHED = r"unfinished: worker \S+ has been busy for [\d.]+ s with GET /sleep\?seconds=60"
DRAIN = 0.5  # seconds


def state(pid: int) -> str:
    """As in proc(5): T for one that is suspended."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]


@contextlib.contextmanager
def suspended(*pids: int) -> Iterator[None]:
    """Suspend these processes; those that are left go on afterwards."""
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    try:
        for pid in pids:
            wait_until(lambda pid=pid: state(pid) == "T", f"process {pid} suspended")  # type: ignore[misc]
        yield
    finally:
        for pid in filter(alive, pids):
            os.kill(pid, signal.SIGCONT)


def logs_its_request(model: Model, server: Server) -> None:
    """Wait until the log has the request of a worker that was ended. Another thread, which is free, could take a
    request if the worker went on, and lose it; then the worker does not."""
    if model.threads == 1:
        server.wait_for_log(UNFINISHED)
    assert len(re.findall(UNFINISHED, server.log)) == (model.threads == 1), server.log


def is_whole(server: Server, size: int) -> bool:
    """Whether so many workers serve, and nothing is under way."""
    status = server.status()
    pool = status["pool"]
    settled = not (status["at_work"] or status["retiring"] or pool["leaving"] or pool["to_recycle"])
    return bool(settled and pool["ready"] == pool["size"] == len(server.pids("worker")) == size)


@models(PROCESSES, always=ONE)
def test_others_serve_while_a_worker_is_suspended(name: str, serve: Serve) -> None:
    """It may be so in the middle of a request, which goes on afterwards. What has been given to one worker, by the
    kernel under reuse-port, or by a front that chooses among processes, waits for it."""
    model, server = begin(serve, name)
    workers = model.workers(server)
    with Load(server.port) as load:
        for pid in workers[:2]:
            with suspended(pid):
                if name in CHOSEN:
                    load.goes_on(20)
                else:
                    assert all(get(server.port, "/pid").process != pid for _ in range(20))
            load.goes_on()
    assert load.failures == []
    assert model.workers(server) == workers
    assert "killed" not in server.log
    assert server.stop() == 0


@models(PROCESSES, always=OTHER)
def test_a_request_of_a_suspended_worker_is_answered_when_it_goes_on(name: str, serve: Serve) -> None:
    _, server = begin(serve, name, 2)
    with Client(server.port) as client:
        client.ask("/sleep?seconds=0.2")
        (pid,) = server.wait_until_busy()
        with suspended(pid):
            time.sleep(0.5)  # longer than the request would take
            assert server.busy() == [pid]
        assert client.answer().process == pid
    assert server.stop() == 0


@models(PROCESSES, always=(*ONE, *OTHER))
def test_a_suspended_worker_is_ended_when_its_request_takes_too_long(name: str, serve: Serve) -> None:
    """If nothing else can happen in it, it goes on for the moment in which it logs its request."""
    model, server = begin(serve, name, 2, timeouts={"request": 0.5, "drain": DRAIN})
    with Client(server.port) as client:
        client.ask("/sleep?seconds=60")
        (pid,) = server.wait_until_busy()
        with suspended(pid):
            if model.lends:
                assert client.answer().status == 504
            assert client.at_end()
            wait_until(lambda: not alive(pid), "the end of the worker")
            logs_its_request(model, server)
    server.wait_for_log(rf"\(pid {pid}, stopped by a signal\) spent")
    wait_until(lambda: is_whole(server, 2), "the pool at its size")
    with Hammer(server.port) as hammer:
        hammer.goes_on()
    assert (hammer.refused, hammer.cut) == ([], 0)
    assert server.stop() == 0


def ordered(server: Server, do: str, **arguments: Any) -> dict[str, Any]:
    return ask(server.control_socket(), do, wait=PATIENCE, **arguments)[-1]


@models(PROCESSES, always=("hshr-processes", "reuse-port"))
def test_changes_end_a_suspended_worker_and_nobody_notices(name: str, serve: Serve) -> None:
    """It has no clients. Under reuse-port those that wait at its socket are served by its successor; with a queue in
    the front, a process of threads has been given as many requests as it has threads."""
    size = 2 if name in CHANGING else 4  # so that not all kept connections are at its socket
    model = ALL[name]
    most = model.threads if name in CHOSEN and model.lends else 0  # requests that it had
    _, server = begin(serve, name, size, timeouts={"drain": DRAIN})
    changes: list[dict[str, str]] = [{"do": "recycle"}, {"do": "reload"}]
    if name in CHANGING:
        changes += [{"do": "scale", "to": "3"}, {"do": "scale", "to": "1"}]
    for change in changes:
        pid = server.pids("worker")[-1]
        with suspended(pid), Load(server.port, busy=6, idle=1, short=1) as load:
            assert ordered(server, **change)["exit"] == 0, server.log
            load.goes_on()
            if change.get("to") != "3":
                wait_until(lambda pid=pid: not alive(pid), "the end of the worker")  # type: ignore[misc]
            else:
                os.kill(pid, signal.SIGCONT)  # it may have requests that clients wait for
        assert len(load.failures) <= most, (change, load.failures, server.log)
        size = int(change.get("to", size))
        wait_until(lambda size=size: is_whole(server, size), "the pool at its size")  # type: ignore[misc]
    assert server.stop() == 0


@models(PROCESSES, always=OTHER)
def test_a_stop_ends_a_suspended_worker(name: str, serve: Serve) -> None:
    """The exit code says that something was killed, and the log what it was doing."""
    model, server = begin(serve, name, 2, timeouts={"drain": DRAIN})
    with Client(server.port) as client:
        client.ask("/sleep?seconds=60")
        (pid,) = server.wait_until_busy()
        pids = server.tree()
        with suspended(pid):
            assert server.stop() == 1
    server.wait_for_log(rf"killed: .*\(pid {pid}, stopped by a signal\)")
    logs_its_request(model, server)
    assert not any(map(alive, pids))


@models(FRONTED, always=("hshr-processes", "hsha-front-processes"))
def test_clients_wait_for_a_suspended_front_and_a_reload_serves_the_new_ones(name: str, serve: Serve) -> None:
    _, server = begin(serve, name, 2, timeouts={"drain": DRAIN})
    (front,) = server.pids("front")
    with Load(server.port) as load, suspended(front):
        time.sleep(0.3)  # no event says that nothing happens
    assert load.failures == []
    assert server.pids("front") == [front]
    with suspended(front):
        assert ordered(server, "reload")["exit"] == 0, server.log
        assert all(get(server.port).status == 200 for _ in range(8))
        wait_until(lambda: not alive(front), "the end of the front")
    wait_until(lambda: is_whole(server, 2), "the pool at its size")
    assert server.stop() == 0


@models(always=("hshr-processes", "lf-threads"))
@pytest.mark.parametrize("role", ["mold", "supervisor"])
def test_requests_need_neither_mold_nor_supervisor(name: str, role: str, serve: Serve) -> None:
    _, server = begin(serve, name, 2)
    (pid,) = server.pids(role)
    tree = server.tree()
    with Load(server.port) as load:
        with suspended(pid):
            load.goes_on()
        load.goes_on()
    assert load.failures == []
    assert server.tree() == tree
    assert server.stop() == 0


@models(always=("lf-processes",))
def test_a_reload_replaces_a_suspended_mold_and_nobody_notices(name: str, serve: Serve) -> None:
    _, server = begin(serve, name, 2, timeouts={"drain": DRAIN})
    (mold,) = server.pids("mold")
    with suspended(mold), Load(server.port, idle=0) as load:
        assert ordered(server, "reload")["exit"] == 0, server.log
        load.goes_on()
        wait_until(lambda: not alive(mold), "the end of the mold")
    assert server.stop() == 0


def test_commands_to_a_suspended_mold_end_in_time(serve: Serve) -> None:
    _, server = begin(serve, "hshr-processes", 2)
    (mold,) = server.pids("mold")
    with suspended(mold):
        assert ask(server.control_socket(), "scale", to="3", wait=0.3)[-1]["exit"] == 3
        assert ask(server.control_socket(), "recycle", wait=0.3)[-1]["exit"] == 3
        assert get(server.port).status == 200
    wait_until(lambda: is_whole(server, 2), "the pool at its size")
    assert server.stop() == 0


LOCKED = {"use": "leader/followers", "lock": "file"}


def locks(pid: int) -> list[Path]:
    """The unnamed files that a worker has open: one of them is the lock by which the workers choose their leader."""
    links = Path(f"/proc/{pid}/fd").iterdir()
    return [link for link in links if link.stat().st_nlink == 0 and stat.S_ISREG(link.stat().st_mode)]


def test_clients_do_not_wait_for_a_leader_that_is_suspended_while_it_accepts(serve: Serve) -> None:
    """The test has the lock itself, since nobody can choose the moment at which a process is suspended."""
    server = serve({"app": "demo", "pool": {"kind": "process", "size": 2}, "ownership": LOCKED})
    with contextlib.ExitStack() as stack:
        for path in locks(server.pids("worker")[0]):
            fcntl.lockf(stack.enter_context(path.open("r+b")), fcntl.LOCK_EX)
        with clients(server.port, 10) as many:
            assert all(client.get().status == 200 for client in many)
        wait_until(lambda: all(map(at_rest, server.tree())), "processes that sleep")
    with Load(server.port) as load:
        load.goes_on()
    assert load.failures == []
    assert server.stop() == 0


@pytest.mark.slow
@models(PROCESSES, always=())
def test_twenty_suspended_workers_leave_nothing(name: str, serve: Serve) -> None:
    """Some go on, some are ended with their request; there are so many that none dies again and again."""
    model, server = begin(serve, name, 8, timeouts={"request": 0.5, "drain": DRAIN})

    def one_goes_on_and_one_is_ended() -> None:
        with suspended(model.workers(server)[0]):
            time.sleep(0.05)  # no event says that nothing happens
        with Client(server.port) as client:
            client.ask("/sleep?seconds=60")
            (pid,) = server.wait_until_busy()
            with suspended(pid):
                wait_until(lambda: not alive(pid), "the end of the worker")
        wait_until(lambda: is_whole(server, 8), "the pool at its size")

    leave_nothing(server, one_goes_on_and_one_is_ended)
    assert server.stop() == 0
