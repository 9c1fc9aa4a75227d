"""Apps that cannot start, and workers that die young."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
from harness.client import get
from harness.machine import within
from harness.server import Serve, Server, wait_until

APP = """
import os

def application(environ, start_response):
    if environ["PATH_INFO"] == "/die":
        os._exit(7)
    start_response("200 OK", [("Content-Length", "2"), ("X-Process", str(os.getpid()))])
    return [b"ok"]
"""


def run(tmp_path: Path, source: str, target: str, **more: object) -> tuple[int, str, Server]:
    (tmp_path / "shop.py").write_text(source)
    topology = {"app": {"wsgi": target}, "pool": {"size": 4}, **more}
    server = Server(topology, tmp_path, path=tmp_path, tracebacks=True)
    with server:
        code = server.wait()
    return code, server.log, server


@pytest.mark.parametrize("preload", [True, False])
@pytest.mark.parametrize("kind", ["process", "thread"])
def test_an_app_that_cannot_be_imported_ends_the_run_with_one_traceback(
    tmp_path: Path, kind: str, preload: bool
) -> None:
    source = "def load():\n    raise RuntimeError('no database here')\n\nload()\n"
    code, log, _ = run(tmp_path, source, "shop:application", pool={"kind": kind, "size": 4}, preload=preload)
    assert code == 3
    assert log.count("Traceback") == 1, log
    assert log.count("RuntimeError: no database here") == 2, log  # in the message and in the traceback
    assert "shop.py" in log
    assert "line 2, in load" in log
    assert re.findall(r'File ".*", line (\d+)', log) == ["4", "2"]  # no frame but the app's own
    assert log.count("error[PC411]: app: shop:application cannot be imported: RuntimeError: no database here") == 1
    assert "= help: fix it in the app's own code" in log


@pytest.mark.parametrize("preload", [True, False])
def test_a_missing_attribute_is_said_without_a_traceback(tmp_path: Path, preload: bool) -> None:
    code, log, _ = run(tmp_path, "app = None\n", "shop:application", preload=preload)
    assert code == 3
    assert "Traceback" not in log
    assert "error[PC410]: app: module 'shop' has no attribute 'application'" in log, log
    assert "^^^^" in log


@pytest.mark.parametrize("preload", [True, False])
def test_a_missing_module_is_said_without_a_traceback(tmp_path: Path, preload: bool) -> None:
    code, log, _ = run(tmp_path, "app = None\n", "shopp:application", preload=preload)
    assert code == 3
    assert "Traceback" not in log
    assert "shopp" in log


@pytest.mark.parametrize(
    ("source", "code", "said"),
    [
        ("import no_such_module_here", "PC411", "ModuleNotFoundError: No module named 'no_such_module_here'"),
        ("x = (", "PC411", "SyntaxError: '(' was never closed"),
        ("raise SystemExit('no database')", "PC412", "exited with code 1: no database"),
        ("application = 7", "PC410", "cannot be called"),
    ],
)
def test_run_and_validate_say_the_same_of_an_app(tmp_path: Path, source: str, code: str, said: str) -> None:
    (tmp_path / "shop.py").write_text(source + "\n")
    file = tmp_path / "topology.yaml"
    file.write_text("app: {wsgi: shop:application}\n")
    words = [sys.executable, "-m", "poolctl"]
    validate = subprocess.run(
        [*words, "validate", str(file)], capture_output=True, text=True, timeout=60, check=False, cwd=tmp_path
    )
    with Server(file, tmp_path, tracebacks=True) as server:
        assert server.wait() == 3
    assert server.log.endswith(validate.stdout)
    assert f"error[{code}]" in server.log
    assert said in server.log


@pytest.mark.parametrize("step", ["prepare", "work"])
def test_a_plugin_that_raises_at_the_start_is_blamed_and_not_the_app(tmp_path: Path, step: str) -> None:
    (tmp_path / "mine.py").write_text(
        "from typing import ClassVar\nfrom poolctl.plugin import LeaderFollowers\n\n\n"
        "class Mine(LeaderFollowers):\n    like: ClassVar[str] = 'leader/followers'\n\n"
        f"    def {step}(self, *given, **named):\n        raise RuntimeError('no lock here')\n"
    )
    file = tmp_path / "topology.yaml"
    file.write_text("app: demo\npool: {kind: process, size: 1}\nownership: ./mine.py:Mine\n")
    with Server(file, tmp_path, tracebacks=True) as server:
        assert server.wait() == 3
    said = "error[PC209]: ownership: ./mine.py:Mine raised at the start of the server: RuntimeError: no lock here"
    assert said in server.log
    assert "fix it in the plugin's own code" in server.log


@pytest.mark.parametrize("ending", ["os._exit(7)", "os.kill(os.getpid(), 9)", "sys.exit(0)"])
def test_an_app_that_ends_its_process_at_import_ends_the_run(tmp_path: Path, ending: str) -> None:
    started = time.monotonic()
    code, log, server = run(tmp_path, f"import os, sys\n{ending}\n", "shop:application")
    assert code == 3, log
    assert time.monotonic() - started < within(10)
    assert server.tree() == [server.pid]


def test_workers_that_die_young_come_back_with_growing_delays(serve: Serve, tmp_path: Path) -> None:
    (tmp_path / "shop.py").write_text(APP)
    topology = {"app": {"wsgi": "shop:application"}, "pool": {"size": 1}}
    server = serve(topology, path=tmp_path)
    for count in range(1, 6):
        pid = get(server.port, "/pid").process
        assert get(server.port, "/die").status == 502
        server.wait_for_log("restarting", count)
        wait_until(lambda pid=pid: get(server.port).process != pid, "the successor")  # type: ignore[misc]
    found = re.findall(r"exited with status 7 after .*? s; restarting (now|in [\d.]+ s)", server.log)
    assert found == ["now", "now", "in 0.1 s", "in 0.2 s", "in 0.4 s"]
    assert server.stop() == 0


def test_a_stop_does_not_wait_for_a_delayed_restart(serve: Serve, tmp_path: Path) -> None:
    (tmp_path / "shop.py").write_text(APP)
    topology = {"app": {"wsgi": "shop:application"}, "pool": {"size": 2}}
    server = serve(topology, path=tmp_path)
    for count in range(1, 13):
        assert get(server.port, "/die").status == 502
        server.wait_for_log("restarting", count)
        if server.log.count("restarting in ") >= 6:
            break
    started = time.monotonic()
    assert server.stop() == 0
    assert time.monotonic() - started < within(1)


POISONED = """
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
    assert server.log.count("RuntimeError: no database here") == 2, server.log  # in the message, in the traceback
    assert "restarting" not in server.log


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
    assert f"error[PC401]: cannot listen on {address}: process {os.getpid()} (" in server.log
    assert server.log.count("error[") == 1, server.log


@pytest.mark.parametrize(
    ("ending", "says"),
    [("os._exit(9)", "exited with status 9"), ("raise RuntimeError('spoilt')", "failed before it was ready")],
)
def test_a_worker_that_cannot_start_again_is_tried_later_and_later(
    serve: Serve, tmp_path: Path, ending: str, says: str
) -> None:
    (tmp_path / "shop.py").write_text(POISONED.format(ending=ending))
    topology = {"app": {"wsgi": "shop:application"}, "pool": {"size": 2}}
    server = serve(topology, path=tmp_path, tracebacks=True)
    poison = tmp_path / "poison"
    poison.touch()
    dead, other = server.pids("worker")
    os.kill(dead, signal.SIGKILL)
    server.wait_for_log("restarting", 5)
    assert get(server.port).process == other
    assert says in server.log
    found = re.findall(r"restarting (now|in [\d.]+ s)", server.log)
    assert found[:5] == ["now", "now", "in 0.1 s", "in 0.2 s", "in 0.4 s"]
    poison.unlink()
    wait_until(lambda: {get(server.port).process for _ in range(8)} - {other}, "the worker that can start again")
    assert len(server.pids("worker")) == 2
    assert server.stop() == 0
