"""A system that allows no further process (fork(2): EAGAIN): what serves goes on, each command says what is wrong, and
the pool is at its size again when processes are to be had."""

from __future__ import annotations

import os
import re
import signal
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from harness.client import Client, get
from harness.load import Load
from harness.machine import PATIENCE
from harness.server import Serve, Server, alive, ask, wait_until
from harness.shortage import MANY, allow_processes, as_user, no_processes

from faults.models import ALL, Model, models
from faults.rounds import leave_nothing
from faults.test_reloads import held
from faults.test_suspended_processes import is_whole

PROCESSES = [name for name, model in ALL.items() if model.processes]
CHANGING = [name for name in PROCESSES if name != "reuse-port"]
DENIED = "Resource temporarily unavailable"


def begin(serve: Serve, name: str, folder: Path, size: int = 2, **more: Any) -> tuple[Model, Server]:
    model, options = ALL[name], as_user(folder / "run")
    options["environment"] = {**model.environment, **options["environment"]}
    return model, serve(model.topology(size, **more), **options)


def order(server: Server, do: str, **arguments: Any) -> tuple[int, str]:
    last = ask(server.control_socket(), do, **{"wait": PATIENCE, **arguments})[-1]
    return last["exit"], last.get("error") or last["result"]["text"]


@models(PROCESSES, always=("hshr-processes", "lf-processes"))
def test_the_others_serve_until_a_dead_worker_can_be_replaced(name: str, serve_typed: Serve, tmp_path: Path) -> None:
    model, server = begin(serve_typed, name, tmp_path)
    (mold,) = server.pids("mold")
    killed = model.workers(server)[0]
    with no_processes(mold):
        os.kill(killed, signal.SIGKILL)
        server.wait_for_log(rf"cannot fork worker faults 0: .*{DENIED}; retrying")
        if name == "reuse-port":
            server.wait_for_log("retrying", 2)
        else:
            with Load(server.port) as load:
                code, text = order(server, "scale", to="+1", wait=0.5)
                assert (code, text.partition(":")[0]) == (3, "not done within 0.5 s")
                assert f": {DENIED}; back to 2 workers" in text
                server.wait_for_log("retrying", 5)
                load.goes_on()
            assert load.failures == []
    wait_until(lambda: is_whole(server, 2), f"the pool at its size: {server.log}")
    with Load(server.port) as load:
        load.goes_on()
    assert load.failures == []
    assert server.stop() == 0


@models(PROCESSES, always=("hshr-processes", "reuse-port"))
def test_changes_that_need_a_process_are_refused(name: str, serve_typed: Serve, tmp_path: Path) -> None:
    model, server = begin(serve_typed, name, tmp_path)
    with no_processes(server.pid):
        assert order(server, "upgrade")[0] == 1  # from the first one on two descriptors are kept for later ones
    workers, before = model.workers(server), held(server)
    (mold,) = server.pids("mold")
    with Load(server.port) as load, no_processes(mold, server.pid):
        code, text = order(server, "recycle")
        why = f"could not start: cannot fork worker faults 2: {DENIED}"
        assert (code, text) == (1, f"the worker that was to replace worker faults 0 {why}")
        assert order(server, "reload") == (1, f"cannot fork a process to read the file: {DENIED}")
        assert order(server, "upgrade") == (1, f"cannot start a new supervisor: {DENIED}")
        load.goes_on()
    assert load.failures == []
    wait_until(lambda: is_whole(server, 2), "the pool at its size")
    assert (model.workers(server), held(server)) == (workers, before)
    with Load(server.port) as load:
        assert order(server, "recycle")[0] == order(server, "reload")[0] == 0
    assert load.failures == []
    assert server.stop() == 0


@models(always=("hsha-front-processes", "lf-threads"))
def test_clients_wait_when_the_mold_has_died_and_cannot_be_replaced(
    name: str, serve_typed: Serve, tmp_path: Path
) -> None:
    _, server = begin(serve_typed, name, tmp_path)
    tree = server.tree()
    with no_processes(server.pid):
        os.kill(server.pids("mold")[0], signal.SIGKILL)
        for pid in tree[1:]:
            wait_until(lambda pid=pid: not alive(pid), f"the end of {pid}")  # type: ignore[misc]
        server.wait_for_log(rf"cannot fork the mold of faults: .*{DENIED}; retrying")
        with Client(server.port) as early:
            early.ask("/pid")
            server.wait_for_log("retrying", 2)
            assert order(server, "reload") == (1, "the server is still starting")
    with Client(server.port) as late:
        assert late.get().status == 200
    wait_until(lambda: len(server.tree()) == len(tree), "the pool at its size")
    assert server.stop() == 0


@models(always=("lf-threads",))
def test_a_reload_whose_workers_cannot_be_forked_says_so(name: str, serve_typed: Serve, tmp_path: Path) -> None:
    """The mold imports the app first, so that it can be denied processes before it forks any."""
    starts = tmp_path / "starts"
    model, options = ALL[name], as_user(tmp_path / "run")
    options["environment"] = {**model.environment, **options["environment"], "SLOW_START": str(starts)}
    server = serve_typed(model.topology(2, preload=True) | {"app": {"wsgi": "slow:app"}}, **options)
    (mold,) = server.pids("mold")
    starts.write_text("hang")
    with Load(server.port) as load:
        with ThreadPoolExecutor(1) as pool:
            reload = pool.submit(order, server, "reload", wait=1.0)
            new = wait_until(lambda: set(server.pids("mold")) - {mold}, "the new mold").pop()
            with no_processes(new):
                starts.write_text("serve")
                code, text = reload.result(PATIENCE)
        assert code == 3
        assert re.fullmatch(rf"the new workers were not ready within 1 s: cannot fork \S+ faults.*: {DENIED}", text)
        wait_until(lambda: server.pids("mold") == [mold], "the end of the new mold")
        assert order(server, "reload")[0] == 0
        load.goes_on()
    assert load.failures == []
    assert server.stop() == 0


def test_a_start_waits_for_processes(serve_typed: Serve, tmp_path: Path) -> None:
    """The command serves as soon as there are some."""
    topology, options = ALL["hshr-processes"].topology(2), as_user(tmp_path / "run")
    options["prefix"] = (*options["prefix"], "prlimit", f"--nproc=1:{MANY}")  # type: ignore[misc]
    with Server(topology, tmp_path, **options) as server:  # type: ignore[arg-type]
        server.wait_for_log(f"cannot fork the mold of faults: .*{DENIED}; retrying", 2)
        allow_processes(server.pid, MANY)
        assert get(server.ready().port).status == 200
        assert server.stop() == 0


@pytest.mark.slow
@models(always=())
def test_twenty_rounds_without_processes_leave_nothing(name: str, serve_typed: Serve, tmp_path: Path) -> None:
    """Each kills another worker, or in a pool of threads few do: none dies again and again."""
    model, server = begin(serve_typed, name, tmp_path, 8)
    (mold,) = server.pids("mold")
    rounds, size = count(), len(model.workers(server))

    def a_round() -> None:
        with no_processes(mold, server.pid):
            for do in ("recycle", "reload", "upgrade"):
                assert order(server, do)[0] == 1
            number = next(rounds)
            if model.processes or not number % 7:
                denied = server.log.count("; retrying")
                os.kill(model.workers(server)[number % size], signal.SIGKILL)
                wait_until(lambda: server.log.count("; retrying") > denied, "an attempt")
        wait_until(lambda: len(model.workers(server)) == size, "the pool at its size")
        with Load(server.port, idle=0) as load:
            load.goes_on(20)
        assert load.failures == []

    leave_nothing(server, a_round)
    assert server.stop() == 0
