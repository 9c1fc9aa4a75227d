"""poolctl status: live servers, and servers that are gone."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import stat
import subprocess
from itertools import product
from pathlib import Path
from typing import Any

import pytest
from harness.client import Client, get
from harness.commands import poolctl
from harness.forms import short
from harness.server import Serve, wait_until

BROKEN = """
from poolctl.plugin import Dispatch


class Broken(Dispatch):
    def pick(self, task, inboxes):
        raise ValueError("no weights")
"""


@pytest.fixture
def place(tmp_path: Path) -> dict[str, str]:
    """Folders for this test alone, whose control sockets no other test creates."""
    (tmp_path / "run").mkdir()
    return dict.fromkeys(("RUNTIME_DIRECTORY", "XDG_RUNTIME_DIR", "TMPDIR"), str(tmp_path / "run"))


def status(place: dict[str, str], *words: str) -> subprocess.CompletedProcess[str]:
    return poolctl("status", *words, cwd=Path.cwd(), **place)


def told(place: dict[str, str], name: str) -> dict[str, Any]:
    done = status(place, name, "--format", "json")
    assert done.returncode == 0, done.stderr
    (found,) = json.loads(done.stdout)
    assert found["name"] == name
    return found  # type: ignore[no-any-return]


POOLS = {
    "process*2": {"kind": "process", "size": 2, "threads": 2},
    "thread": {"kind": "thread", "size": 3},
    "process": {"kind": "process", "size": 2},
}
OWNERSHIPS = ["half-sync/half-reactive", "half-sync/half-async", "leader/followers", "reuse-port"]
MET = list(zip(OWNERSHIPS, ["process*2", "process", "thread", "process"], strict=True))


@pytest.mark.parametrize(("ownership", "kind"), short(product(OWNERSHIPS, POOLS), MET))
def test_status_of_a_server(serve: Serve, place: dict[str, str], name: str, kind: str, ownership: str) -> None:
    pool = POOLS[kind]
    server = serve({"name": name, "app": "demo", "pool": pool, "ownership": ownership}, environment=place)
    for _ in range(5):
        assert get(server.port).status == 200
    wait_until(lambda: told(place, name)["in_flight"] == 0, "the last to be counted")
    found = told(place, name)
    assert (found["state"], found["generation"], found["pid"]) == ("running", 1, server.pid)
    assert (found["requests"], found["failed"], found["waiting"], found["plugin_faults"]) == (5, 0, 0, 0)
    pids = {each["pid"] for each in found["workers"]}
    assert pids == set(server.pids("worker" if pool["kind"] == "process" else "threads"))
    assert server.stop() == 0
    assert status(place, name).returncode == 1
    assert os.listdir(place["RUNTIME_DIRECTORY"]) == []


def test_status_counts_retries(serve: Serve, place: dict[str, str], name: str) -> None:
    topology = {"name": name, "app": "demo", "pool": {"kind": "process", "size": 2}}
    topology |= {"ownership": {"use": "half-sync/half-reactive", "retry": "idempotent"}}
    server = serve(topology, environment=place)
    assert "retried" not in status(place, name).stdout
    with Client(server.port) as client:
        client.ask("/sleep?seconds=0.5")
        (busy,) = server.wait_until_busy()
        os.kill(busy, signal.SIGKILL)
        assert client.answer().process != busy
    assert told(place, name)["retried"] == 1
    assert "  1 request retried because a worker died\n" in status(place, name).stdout


def test_status_and_explain_show_classes_and_what_was_learned(
    serve: Serve, tmp_path: Path, place: dict[str, str], name: str
) -> None:
    topology = {"name": name, "app": "demo", "pool": {"kind": "process", "size": 2}, "dispatch": "size-aware"}
    server = serve({**topology, "classes": [{"path": "/sleep", "most": 1}]}, environment=place)
    with Client(server.port) as client, Client(server.port) as other:
        client.ask("/sleep?seconds=0.5")
        server.wait_until_busy()
        other.ask("/sleep?seconds=0.5")

        def noted() -> bool:
            assert get(server.port, "/pid").status == 200
            return bool(told(place, name)["classes"] and told(place, name)["routes"])

        wait_until(noted, "the notes of the front")
        assert (client.answer().status, other.answer().status) == (200, 200)
    found = told(place, name)
    kept = {each["class"]: each["most"] for each in found["classes"]}
    assert kept == {"/sleep": 1, "": None}
    assert [each["route"] for each in found["routes"]] == ["GET /pid"]
    text = status(place, name).stdout
    assert re.search(r"^  busy waiting .* class$", text, re.MULTILINE)
    assert re.search(r"^ +\d+ .* 1  /sleep$", text, re.MULTILINE)
    (file,) = tmp_path.glob("*.yaml")
    explained = poolctl("explain", str(file), cwd=tmp_path, **place).stdout
    assert f"Measured by {name} (pid {server.pid}), which runs this file:\n" in explained
    assert "GET /pid" in explained
    assert server.stop() == 0
    assert "Measured by" not in poolctl("explain", str(file), cwd=tmp_path, **place).stdout


def test_status_shows_busy_workers_and_faults_of_a_strategy(
    serve: Serve, tmp_path: Path, place: dict[str, str], name: str
) -> None:
    (tmp_path / "broken.py").write_text(BROKEN)
    topology = {"name": name, "app": "demo", "pool": {"kind": "process", "size": 2}, "affinity": "request"}
    topology |= {"ownership": "half-sync/half-reactive", "dispatch": "./broken.py:Broken"}
    server = serve(topology, environment=place, tracebacks=True)
    with Client(server.port) as slow:
        assert get(server.port, "/error").status in (200, 404, 500)
        slow.ask("/sleep?seconds=1")
        wait_until(lambda: told(place, name)["plugin_faults"] == 2, "both requests to be routed")
        server.wait_until_busy()
        shown = status(place, str(server.pid)).stdout
        assert shown.startswith(f"{name} (pid {server.pid}): running, generation 1, up ")
        assert "2 processes, half-sync/half-reactive, dispatch ./broken.py:Broken, affinity request" in shown
        assert "in flight, 0 waiting" in shown
        assert "2 faults in the dispatch plugin, whose tasks least-loaded took over; see the log" in shown
        assert slow.answer().status == 200
    old = server.pids("worker")[0]
    os.kill(old, signal.SIGKILL)
    wait_until(lambda: told(place, name)["workers"][0]["starts"] == 2, "its successor")
    assert server.stop() == 0


def test_the_socket_is_private_and_dead_servers_are_skipped(serve: Serve, place: dict[str, str], name: str) -> None:
    server = serve({"name": name, "app": "demo", "pool": {"kind": "thread", "size": 1}}, environment=place)
    (path,) = Path(place["RUNTIME_DIRECTORY"]).iterdir()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    with socket.socket(socket.AF_UNIX) as silent:  # a client that asks nothing delays no other
        silent.connect(str(path))
        assert told(place, name)["state"] == "running"
    server.kill_all()
    assert path.exists()
    done = status(place, name)
    assert done.stderr.startswith(f"{name} is not running (searched {place['RUNTIME_DIRECTORY']}, ")
    assert (done.returncode, done.stdout) == (1, "")


def test_a_planted_link_is_not_followed(serve: Serve, tmp_path: Path, place: dict[str, str]) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "run" / f"poolctl-{os.getuid()}").symlink_to(tmp_path / "elsewhere")
    environment = {"TMPDIR": place["TMPDIR"], "RUNTIME_DIRECTORY": "", "XDG_RUNTIME_DIR": ""}
    server = serve({"app": "demo", "pool": {"kind": "thread", "size": 1}}, environment=environment)
    assert "no control socket" in server.log
    assert list((tmp_path / "elsewhere").iterdir()) == []
    assert server.stop() == 0


def test_a_server_runs_without_a_control_socket(serve: Serve, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    environment = {"RUNTIME_DIRECTORY": str(tmp_path / "file")}
    server = serve({"app": "demo", "pool": {"kind": "thread", "size": 1}}, environment=environment)
    assert get(server.port).status == 200
    assert "no control socket, so poolctl status cannot see this server" in server.log
    assert server.stop() == 0


def test_found_elsewhere(serve: Serve, tmp_path: Path, place: dict[str, str], name: str) -> None:
    """By the kernel's list, wherever its socket is. If no server is found, the message names the searched places."""
    (tmp_path / "other").mkdir()
    topology = {"name": name, "app": "demo", "pool": {"kind": "thread", "size": 1}}
    server = serve(topology, environment={**place, "RUNTIME_DIRECTORY": str(tmp_path / "other")})
    for own in (place["RUNTIME_DIRECTORY"], ""):  # of the command that looks for it
        assert told({**place, "RUNTIME_DIRECTORY": own}, name)["pid"] == server.pid
    assert server.stop() == 0
    done = status(place, name)
    assert done.returncode == 1
    searched = f"{place['RUNTIME_DIRECTORY']}, {place['XDG_RUNTIME_DIR']}/poolctl, "
    assert f"{name} is not running (searched {searched}" in done.stderr
    assert " and /proc/net/unix)" in done.stderr
