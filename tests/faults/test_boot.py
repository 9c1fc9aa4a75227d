"""Starts that fail must say why and leave nothing; restarts that fail must hurt nobody else."""

from __future__ import annotations

import os
import re
import signal
import socket
from pathlib import Path

import pytest
from harness.client import get
from harness.server import Server, wait_until

from faults.models import Start

APP = """
import os, pathlib

if pathlib.Path("poison").exists():
    {ending}

def application(environ, start_response):
    start_response("200 OK", [("Content-Length", "2"), ("X-Process", str(os.getpid()))])
    return [b"ok"]
"""


def processes_in(folder: Path) -> list[int]:
    """The processes that work in a folder, whoever their parent is by now."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                place = os.readlink(entry / "cwd")
            except OSError:  # it has ended, or is another user's
                continue
            if place == str(folder):
                found.append(int(entry.name))
    return found


@pytest.mark.parametrize("preload", [True, False])
@pytest.mark.parametrize(
    "pool",
    [{"kind": "process", "size": 4}, {"kind": "process", "size": 2, "threads": 2}, {"kind": "thread", "size": 4}],
)
def test_a_start_that_fails_leaves_no_process(tmp_path: Path, pool: dict[str, object], preload: bool) -> None:
    (tmp_path / "shop.py").write_text("raise RuntimeError('no database here')\n")
    topology = {"app": {"wsgi": "shop:application"}, "pool": pool, "preload": preload}
    with Server(topology, tmp_path, path=tmp_path, tracebacks=True) as server:
        assert server.wait() == 3
        assert processes_in(tmp_path) == []
    assert server.log.count("Traceback") == 1, server.log
    assert server.log.count("RuntimeError: no database here") == 1, server.log
    assert "is started again" not in server.log


@pytest.mark.parametrize(
    "ownership", ["half-sync/half-reactive", "half-sync/half-async", "leader/followers", "reuse-port"]
)
def test_a_port_that_is_in_use_is_named_and_nothing_is_started(tmp_path: Path, ownership: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"tcp://127.0.0.1:{taken.getsockname()[1]}"
        topology = {"app": "demo", "listen": ["tcp://127.0.0.1:0", address], "ownership": ownership}
        with Server(topology, tmp_path) as server:
            assert server.wait() == 1
            assert processes_in(tmp_path) == []
    assert address in server.log
    assert "in use" in server.log
    assert len(server.log.splitlines()) == 1, server.log


@pytest.mark.parametrize(
    ("ending", "says"),
    [("os._exit(9)", "left with status 9"), ("raise RuntimeError('spoilt')", "failed before it was ready")],
)
def test_a_worker_that_cannot_start_again_is_tried_later_and_later(
    serve: Start, tmp_path: Path, ending: str, says: str
) -> None:
    (tmp_path / "shop.py").write_text(APP.format(ending=ending))
    topology = {"app": {"wsgi": "shop:application"}, "pool": {"size": 2}}
    server = serve(topology, path=tmp_path, tracebacks=True)
    poison = tmp_path / "poison"
    poison.touch()
    dead, other = server.pids("worker")
    os.kill(dead, signal.SIGKILL)
    server.wait_for_log("is started again", 5)
    assert get(server.port).process == other
    assert says in server.log
    found = re.findall(r"it is started again (at once|in [\d.]+ s)", server.log)
    assert found[:5] == ["at once", "at once", "in 0.1 s", "in 0.2 s", "in 0.4 s"]
    poison.unlink()
    wait_until(lambda: {get(server.port).process for _ in range(8)} - {other}, "the worker that can start again")
    assert len(server.pids("worker")) == 2
    assert server.stop() == 0
