"""Processes that get no further memory (RLIMIT_AS, setrlimit(2)): a request, an import or a change that needs it fails
alone, and everything else goes on."""

from __future__ import annotations

import contextlib
import os
import signal
from pathlib import Path

import pytest
from harness.client import Client, get
from harness.load import Load
from harness.server import Serve, wait_until
from harness.shortage import no_memory

from faults.models import ALL, models
from faults.rounds import leave_nothing
from faults.test_no_processes import order
from faults.test_reloads import held
from faults.test_suspended_processes import is_whole

ROOM = 48 << 20  # bytes for what is always needed
TOO_MUCH = 1 << 30  # bytes
BODY = b"x" * 2_000_000
HUNGRY = {"app": {"wsgi": "hungry:app"}}
FRONTED = [name for name, model in ALL.items() if model.front]
PROCESSES = [name for name, model in ALL.items() if model.processes]


@models(always=("hshr-processes", "hsha-front-processes", "lf-threads"))
def test_a_request_that_needs_too_much_fails_alone(name: str, serve: Serve) -> None:
    model = ALL[name]
    server = serve(model.topology(2) | HUNGRY, environment=model.environment, tracebacks=True)
    tree = server.tree()
    with no_memory(*model.workers(server), beyond=ROOM), Load(server.port, idle=1) as load:
        for _ in range(5):
            assert get(server.port, f"/?bytes={TOO_MUCH}").status == 500
        load.goes_on()
    assert load.failures == []
    assert server.log.count("MemoryError") == 5
    assert server.tree() == tree
    assert server.stop() == 0


def misuse(port: int) -> None:
    """Large requests and responses, each of which may be cut off."""
    for number in range(40):
        with contextlib.suppress(OSError, EOFError), Client(port) as client:
            if number % 2:
                client.send(b"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % len(BODY) + BODY)
            else:
                client.ask("/bytes?count=8000000")
            client.answer()


@models(always=("hshr-processes", "lf-threads"))
def test_a_process_without_any_memory_serves_again_when_there_is_some(name: str, serve: Serve) -> None:
    """Meanwhile it may fail with each request, and may be replaced."""
    model = ALL[name]
    server = serve(model.topology(2), environment=model.environment, tracebacks=True)
    count = len(server.tree())
    with no_memory(*server.pids("front"), *model.workers(server)):
        misuse(server.port)
    wait_until(lambda: len(server.tree()) == count, "the pool at its size")
    with Load(server.port) as load:
        assert order(server, "recycle")[0] == 0
        load.goes_on()
    assert load.failures == []
    assert server.stop() == 0


@models(always=("hshr-processes", "lf-threads"))
@pytest.mark.parametrize("preload", [True, False])
def test_a_reload_without_memory_for_the_app_changes_nothing(
    name: str, preload: bool, serve: Serve, tmp_path: Path
) -> None:
    model, needs = ALL[name], tmp_path / "needs"
    environment = {**model.environment, "HUNGRY_IMPORT": str(needs)}
    server = serve(model.topology(2, preload=preload) | HUNGRY, environment=environment, tracebacks=True)
    before, workers = held(server), model.workers(server)
    needs.write_text(str(TOO_MUCH))
    with Load(server.port, idle=1) as load:
        with no_memory(server.pid, beyond=4 * ROOM):
            code, text = order(server, "reload")
            assert code == 1
            assert "MemoryError" in text
        wait_until(lambda: held(server) == before, "the end of the new mold")
        assert model.workers(server) == workers
        needs.write_text("0")
        assert order(server, "reload")[0] == 0
        load.goes_on()
    assert load.failures == []
    wait_until(lambda: held(server) == before, "the end of the old mold")
    assert server.stop() == 0


@models(always=("hshr-processes",))
def test_a_supervisor_without_memory_refuses_changes_and_goes_on(name: str, serve: Serve) -> None:
    server = serve(ALL[name].topology(2), environment=ALL[name].environment, tracebacks=True)
    with Load(server.port, idle=1) as load:
        with no_memory(server.pid):
            assert order(server, "reload") == (1, "cannot prepare generation 2: Cannot allocate memory")
            assert server.status()["pool"]["ready"] == 2
        load.goes_on()
        assert order(server, "reload")[0] == 0
    assert load.failures == []
    assert server.stop() == 0


@models(PROCESSES, always=("lf-processes",))
def test_a_mold_without_memory_replaces_its_workers_when_there_is_some(name: str, serve: Serve) -> None:
    """Workers that it forks meanwhile have none either, so they may not be able to start."""
    model = ALL[name]
    server = serve(model.topology(2), environment=model.environment, tracebacks=True)
    (mold,) = server.pids("mold")
    with no_memory(mold):
        killed = model.workers(server)[0]
        os.kill(killed, signal.SIGKILL)
        server.wait_for_log("worker faults 0 .* restarting")
        code, text = order(server, "scale", to="+1", wait=0.5)
        assert code in (0, 3), (text, server.log)
    wait_until(
        lambda: len(model.workers(server)) in (2, 3) and killed not in server.tree(),
        f"the workers, of which {killed} was killed:\n{server.log}",
    )
    assert order(server, "scale", to="2")[0] == 0
    wait_until(lambda: is_whole(server, 2), f"the pool at its size:\n{server.log}")
    with Load(server.port) as load:
        load.goes_on()
    assert load.failures == []
    assert server.stop() == 0


@models(PROCESSES, always=("hshr-processes",))
def test_a_supervisor_without_memory_goes_on(name: str, serve: Serve) -> None:
    model = ALL[name]
    server = serve(model.topology(2), environment=model.environment, tracebacks=True)
    with Load(server.port) as load:
        with no_memory(server.pid):
            for _ in range(10):
                server.signal(signal.SIGHUP)  # each wakes it, and is a reload that it cannot begin
                load.goes_on()
            (mold,) = server.pids("mold")
            os.kill(mold, signal.SIGKILL)
        wait_until(lambda: (server.status()["pool"] or {}).get("ready") == 2, "the next generation")
        load.goes_on()
    assert load.failures == []
    assert server.stop() == 0


@models(always=("hshr-processes", "lf-threads"))
def test_processes_without_memory_for_a_thread_leave_as_others_do(name: str, serve: Serve) -> None:
    model = ALL[name]
    server = serve(model.topology(2), environment=model.environment)
    with Load(server.port) as load, no_memory(*server.pids("mold"), *model.workers(server)):
        code, text = order(server, "reload")
        assert (code, "(0 failed, 0 connections closed" in text) == (0, True), text
        load.goes_on()
    assert load.failures == []
    server.wait_for_log("nothing limits the time of threads and exit functions of the app: can't start new thread")
    assert server.stop() == 0


@pytest.mark.slow
@models(always=())
def test_twenty_rounds_without_memory_leave_nothing(name: str, serve: Serve) -> None:
    model = ALL[name]
    server = serve(model.topology(2) | HUNGRY, environment=model.environment, tracebacks=True)

    def a_round() -> None:
        with no_memory(*model.workers(server), beyond=ROOM), Load(server.port, idle=0) as load:
            assert get(server.port, f"/?bytes={TOO_MUCH}").status == 500
            load.goes_on(20)
        assert load.failures == []
        with no_memory(server.pid):
            assert order(server, "reload")[0] == 1

    leave_nothing(server, a_round)
    assert server.stop() == 0
