"""`poolctl upgrade` with real servers: who the server is afterwards, what it goes on with, and that an upgrade that
fails changes nothing."""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import uuid
from collections import Counter
from pathlib import Path

import pytest
from harness.client import Client, get
from harness.commands import poolctl
from harness.load import Load
from harness.machine import PATIENCE
from harness.ports import quiet_port
from harness.server import ROOT, Serve, alive, ask, title, wait_until
from harness.shop import APP, OTHER, Shop

SLOW = """
import os, time
while os.path.exists({gate!r}):
    time.sleep(0.01)
"""


@pytest.fixture
def upgraded(serve: Serve, tmp_path: Path) -> Shop:
    return Shop(serve, tmp_path, pid_file=str(tmp_path / "shop.pid"))


def test_a_new_supervisor_serves_when_the_command_returns(upgraded: Shop) -> None:
    shop = upgraded
    old = shop.server.pid
    shop.code(OTHER)
    done = shop.upgrade()
    assert (done.returncode, done.stderr) == (0, "")
    new = shop.supervisor
    assert f"{shop.name} (pid {old}) upgraded: process {new} serves (" in done.stdout
    assert new != old
    assert shop.body == b"other"
    assert (shop.folder / "shop.pid").read_text() == f"{new}\n"
    assert [path.name for path in shop.server.control_socket().parent.glob(f"{shop.name}.*")] == [
        f"{shop.name}.{new}.sock"
    ]
    wait_until(lambda: title(old) == f"poolctl: first process {shop.name}", "the end of the old supervisor's work")
    assert len(shop.server.pids("mold")) == 1
    assert len(shop.server.pids("worker")) == 2
    assert poolctl("stop", shop.name, cwd=shop.folder).returncode == 0
    assert shop.server.wait() == 0
    assert not (shop.folder / "shop.pid").exists()


def test_figures_and_events_go_on(upgraded: Shop) -> None:
    shop = upgraded
    for _ in range(3):
        get(shop.server.port)
    started = shop.server.status()["uptime_seconds"]
    for _ in range(2):
        assert shop.upgrade().returncode == 0
        get(shop.server.port)
    wait_until(lambda: shop.server.status()["total"] == {"requests": 5, "failed": 0}, "the total")
    status = shop.server.status()
    assert status["uptime_seconds"] >= started
    assert (status["generation"], status["state"]) == (3, "running")
    events = [each["event"] for each in ask(shop.server.control_socket(), "events") if "event" in each]
    assert [each["number"] for each in events] == list(range(1, len(events) + 1))
    kinds = [each["kind"] for each in events]
    assert kinds.count("server-started") == 1
    assert kinds.count("server-replaced") == kinds.count("command-done") == kinds.count("generation-ended") == 2
    assert re.search(r"goes on as process \d+ \(poolctl \S+, Python 3\.\S+\)", str(events))


def test_the_total_counts_earlier_generations(serve: Serve, tmp_path: Path) -> None:
    shop = Shop(serve, tmp_path)
    shop.code('def app(environ, start_response):\n    raise ValueError("no")\n')
    get(shop.server.port)
    assert shop.reload().returncode == 0
    get(shop.server.port)
    wait_until(lambda: shop.server.status()["total"] == {"requests": 2, "failed": 1}, "the total")
    assert shop.server.status()["requests"] == 1


def test_what_a_reload_cannot_change_is_changed(upgraded: Shop) -> None:
    shop = upgraded
    elsewhere = quiet_port()
    old = shop.server.port
    shop.write(
        umask="0027", control="read", pid_file=str(shop.folder / "other.pid"), listen=f"tcp://127.0.0.1:{elsewhere}"
    )
    assert shop.reload().returncode == 1
    with Client(old) as kept:
        assert kept.get().body == b"one"
        assert shop.upgrade().returncode == 0
        assert kept.at_end()  # its address is gone
    assert get(elsewhere).body == b"one"
    with pytest.raises(ConnectionRefusedError):
        Client(old)
    assert not (shop.folder / "shop.pid").exists()
    assert (shop.folder / "other.pid").read_text() == f"{shop.supervisor}\n"
    assert re.search(r"^Umask:\s+0027$", Path(f"/proc/{shop.supervisor}/status").read_text(), re.MULTILINE)
    assert "control: read" in shop.reload().stderr


def test_the_new_supervisor_is_of_the_version_that_is_installed(upgraded: Shop) -> None:
    shop = upgraded
    installed = shop.folder / "poolctl"  # before the others on the path of python -m
    installed.mkdir()
    (installed / "__init__.py").write_text("raise ImportError('half of an installation')")
    failed = shop.upgrade()
    assert failed.returncode == 1
    assert "the new supervisor exited with status 1 before it was ready; see the server's log" in failed.stderr
    shop.server.wait_for_log("ImportError: half of an installation")
    assert shop.body == b"one"
    shutil.rmtree(installed)
    shutil.copytree(ROOT / "poolctl", installed, ignore=shutil.ignore_patterns("__pycache__"))
    (installed / "__init__.py").write_text('__version__ = "99.1"\n')
    assert shop.upgrade().returncode == 0
    shop.server.wait_for_log(r"goes on as process \d+ \(poolctl 99\.1, Python")
    assert shop.body == b"one"


FAILURES = {
    "invalid": ({"poool": 3}, APP, (), 78, 'did you mean "pool"?'),
    "syntax": ({}, "x = = 1", (), 1, "SyntaxError: invalid syntax"),
    "raises": ({}, "raise LookupError('no settings')", (), 1, "LookupError: no settings"),
    "exits": ({}, "import os; os._exit(3)", (), 1, "exited with status 3"),
    "hangs": ({}, "import time; time.sleep(600)", ("--wait", "1.5s"), 3, "was not ready within 1.5 s"),
    "address": ({"listen": "tcp://192.0.2.1:80"}, APP, (), 1, "cannot listen on tcp://192.0.2.1:80"),
    "reuse-port": ({"ownership": "reuse-port", "dispatch": "kernel-hash"}, APP, (), 1, "stop the server and start it"),
    "pid file": ({"pid_file": "/nowhere/shop.pid"}, APP, (), 1, "there is no folder /nowhere"),
}


@pytest.mark.parametrize("kind", FAILURES)
def test_what_fails_leaves_the_old_supervisor_serving(upgraded: Shop, kind: str) -> None:
    shop = upgraded
    keys, code, options, status, text = FAILURES[kind]
    before, valid = shop.server.tree(), dict(shop.keys)
    with Client(shop.server.port) as kept:
        assert kept.get().body == b"one"
        shop.write(**keys)
        shop.code(code)
        done = shop.upgrade(*options)
        assert (done.returncode, text in done.stderr) == (status, True), done.stderr
        assert "was not upgraded; it serves as before" in done.stderr
        assert kept.get().body == b"one"
    wait_until(lambda: shop.server.tree() == before, "the end of the new processes")
    assert sorted(path.name for path in shop.folder.glob("*.pid*")) == ["shop.pid"]
    assert (shop.folder / "shop.pid").read_text() == f"{shop.server.pid}\n"
    shop.keys = valid
    shop.write()
    shop.code(OTHER)
    assert shop.upgrade().returncode == 0
    assert shop.body == b"other"
    assert shop.server.stop() == 0


def test_a_folder_that_is_gone_is_a_reason(upgraded: Shop) -> None:
    shop = upgraded
    before, gone = shop.server.tree(), shop.folder.with_name("gone")
    shop.folder.rename(gone)
    done = poolctl("upgrade", shop.name, cwd=gone)
    gone.rename(shop.folder)
    assert done.returncode == 1
    assert f" in {shop.folder}: No such file or directory" in done.stderr
    wait_until(lambda: shop.server.tree() == before, "the end of the new process")
    assert shop.upgrade().returncode == 0


@pytest.mark.parametrize("preload", [False, True])
def test_a_stop_ends_both(serve: Serve, tmp_path: Path, preload: bool) -> None:
    shop, gate = Shop(serve, tmp_path, preload=preload), tmp_path / "gate"
    gate.touch()
    shop.code(SLOW.format(gate=str(gate)) + APP)
    shop.server.signal(signal.SIGUSR2)
    pid = wait_until(lambda: len(found := shop.server.pids("mold")) == 2 and found[1], "the new mold")
    assert shop.server.stop() == 0
    wait_until(lambda: not alive(pid), "the end of the new mold")
    assert re.search(r"upgrade \(SIGUSR2\) ended .* with exit code 1: the server is being stopped", shop.server.log)


def starting(shop: Shop) -> tuple[Path, int]:
    """Begin an upgrade whose app waits for the end of a file; that, and the pid of the new supervisor."""
    gate = shop.folder / "gate"
    gate.touch()
    shop.code(SLOW.format(gate=str(gate)) + OTHER)
    shop.server.signal(signal.SIGUSR2)
    found = shop.server.wait_for_log(r"upgrade: process (\d+) starts")
    wait_until(lambda: len(shop.server.pids("mold")) == 2, "the new mold")
    return gate, int(found[1])


def test_a_killed_new_supervisor_leaves_the_old_one(upgraded: Shop) -> None:
    shop = upgraded
    before = shop.server.tree()
    with Load(shop.server.port) as load:
        _, pid = starting(shop)
        os.kill(pid, signal.SIGKILL)
        shop.server.wait_for_log("exit code 1: the new supervisor was killed by SIGKILL before it was ready")
        load.goes_on()
    assert load.failures == []
    wait_until(lambda: shop.server.tree() == before, "the end of the new mold")
    assert shop.server.status()["pid"] == shop.server.pid


def test_a_killed_old_supervisor_leaves_the_new_one(upgraded: Shop) -> None:
    shop = upgraded
    gate, pid = starting(shop)
    os.kill(shop.server.pid, signal.SIGKILL)
    gate.unlink()
    wait_until(lambda: shop.body == b"other", "the new workers")  # clients wait for them in the queue
    wait_until(lambda: (shop.folder / "shop.pid").read_text() == f"{pid}\n", "the new PID file")
    done = poolctl("stop", shop.name, cwd=shop.folder)
    assert done.returncode == 0
    assert f"{shop.name} (pid {pid}) stopped" in done.stdout


def test_an_old_supervisor_that_is_killed_while_it_drains_leaves_the_new_one(serve: Serve) -> None:
    server = serve({"name": f"u{uuid.uuid4().hex[:8]}", "app": "demo", "pool": {"kind": "process", "size": 2}})
    with Client(server.port) as client:
        client.ask("/sleep?seconds=2")
        server.wait_until_busy()
        server.signal(signal.SIGUSR2)
        new = int(server.wait_for_log(r"goes on as process (\d+)")[1])
        server.tree()
        os.kill(server.pid, signal.SIGKILL)
        assert client.answer().status == 200  # its worker drains without it
        assert get(server.port).status == 200
        os.kill(new, signal.SIGTERM)
        server.wait_for_log(r"SIGTERM: draining")
        wait_until(lambda: not alive(new), "the end of the new supervisor")


def test_a_killed_first_process_ends_the_server(upgraded: Shop) -> None:
    shop = upgraded
    for _ in range(2):
        assert shop.upgrade().returncode == 0
    pid = shop.supervisor
    wait_until(lambda: title(shop.server.pid).startswith("poolctl: first process"), "the end of the first upgrade")
    wait_until(lambda: len(shop.server.tree()) == 6, "the end of the second one")
    os.kill(shop.server.pid, signal.SIGKILL)
    shop.server.wait_for_log("the first process was killed: draining")
    wait_until(lambda: not alive(pid), "the end of the supervisor")
    assert not (shop.folder / "shop.pid").exists()


def test_a_storm_of_signals_is_one_upgrade_after_another(upgraded: Shop) -> None:
    shop = upgraded
    with Load(shop.server.port) as load:
        for _ in range(4):
            shop.server.signal(signal.SIGUSR2)
            load.goes_on(10)
        shop.server.wait_for_log(r"upgrade \(SIGUSR2\) ended after .* exit code 0", count=2)
        load.goes_on()
    assert load.failures == []
    wait_until(lambda: len(shop.server.pids("supervisor")) == 1, "the end of the upgrades")
    assert "exit code 1" not in shop.server.log
    assert shop.server.stop() == 0


def test_other_changes_and_upgrades_wait_for_each_other(upgraded: Shop) -> None:
    shop = upgraded
    gate, _ = starting(shop)
    for second in (shop.upgrade(), shop.reload()):
        assert (second.returncode, "upgrade has been at work for" in second.stderr) == (1, True)
    shop.server.signal(signal.SIGHUP)  # for the supervisor that is to come
    gate.unlink()
    shop.server.wait_for_log(r"upgrade \(SIGUSR2\) ended after .* exit code 0")
    shop.server.wait_for_log(r"reload \(SIGHUP\) ended after .* exit code 0: generation 3 serves")


def test_the_app_and_the_new_supervisor_inherit_nothing(upgraded: Shop) -> None:
    """Neither clients of the control socket nor pipes of the old one, and no variable of the upgrade."""
    shop = upgraded
    shop.code(
        "import os\n"
        "def app(environ, start_response):\n"
        "    start_response('200 OK', [])\n"
        "    return [str('POOLCTL_TAKEOVER' in os.environ).encode()]\n"
    )
    before = descriptors(shop.supervisor)
    with socket.socket(socket.AF_UNIX) as follower:
        follower.settimeout(PATIENCE)
        follower.connect(str(shop.server.control_socket()))
        follower.sendall(b'{"poolctl": 1, "do": "events", "follow": true}\n')
        follower.recv(10)
        assert shop.upgrade().returncode == 0
        while follower.recv(65536):  # its server has ended
            pass
    assert shop.body == b"False"
    before["socket"] += 1  # to the first process
    wait_until(lambda: descriptors(shop.supervisor) == before, f"{before} in {descriptors(shop.supervisor)}")


def descriptors(pid: int) -> Counter[str]:
    """What a supervisor holds, by kind."""
    kinds = [os.readlink(fd).partition(":")[0] for fd in Path(f"/proc/{pid}/fd").iterdir()]
    return Counter(kind for kind in kinds if kind in ("pipe", "socket", "/memfd"))


def test_a_topology_that_cannot_be_read_again_is_refused(tmp_path: Path) -> None:
    name = f"u{os.getpid()}stdin"
    process = subprocess.Popen(
        [sys.executable, "-m", "poolctl", "run", "-"],
        cwd=tmp_path,
        stdin=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdin is not None
        assert process.stderr is not None
        process.stdin.write(f"name: {name}\napp: demo\nlisten: tcp://127.0.0.1:0\n")
        process.stdin.close()
        while "serves on" not in process.stderr.readline():
            pass
        done = poolctl("upgrade", name, cwd=tmp_path)
        assert (done.returncode, "was read from standard input" in done.stderr) == (1, True)
    finally:
        process.terminate()
        process.wait(PATIENCE)
        process.stderr.close()
