"""The keys about the host, with real processes: accounts, permissions, folders, variables, the PID file."""

from __future__ import annotations

import json
import os
import pwd
import signal
import socket
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from harness.client import Client
from harness.machine import PATIENCE, within
from harness.server import Serve, Server, title, wait_until

from poolctl.errors import PoolctlError
from poolctl.runtime.system.identity import Identity

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root may become somebody else")
NOBODY = pwd.getpwnam("nobody")
APP = """
import json, os, socket

WHEN_IMPORTED = os.environ.get("SHOP")

def app(environ, start_response):
    mask = os.umask(0)
    os.umask(mask)
    start_response("200 OK", [])
    return [json.dumps({
        "users": os.getresuid(), "groups": os.getresgid(), "more": sorted(os.getgroups()), "mask": mask,
        "folder": os.getcwd(), "shop": WHEN_IMPORTED, "home": os.environ.get("HOME"), "user": os.environ.get("USER"),
    }).encode()]
"""


@pytest.fixture
def host_folder(open_folder: Path) -> Path:
    """With the app."""
    (open_folder / "host_app.py").write_text(APP)
    return open_folder


def told(port: int) -> dict[str, Any]:
    with Client(port) as client:
        client.ask("/")
        found: dict[str, Any] = json.loads(client.answer().body)
        return found


def status(pid: int, key: str) -> list[str]:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(line.split()[1:] for line in lines if line.startswith(key + ":"))


@as_root
@pytest.mark.parametrize("preload", [False, True])
@pytest.mark.parametrize("kind", ["process", "thread"])
def test_mold_and_roles_run_as_the_user(serve: Serve, host_folder: Path, kind: str, preload: bool) -> None:
    topology = {"app": {"wsgi": "host_app:app"}, "user": "nobody", "umask": "0027", "directory": str(host_folder)}
    server = serve({**topology, "environment": {"SHOP": "open"}, "pool": {"kind": kind, "size": 1}, "preload": preload})
    found = told(server.port)
    assert found["users"] == [NOBODY.pw_uid] * 3
    assert found["groups"] == [NOBODY.pw_gid] * 3
    assert found["more"] == sorted(os.getgrouplist("nobody", NOBODY.pw_gid))
    assert (found["mask"], found["folder"], found["shop"]) == (0o27, str(host_folder), "open")
    assert (found["home"], found["user"]) == (NOBODY.pw_dir, "nobody")
    for pid in server.tree():
        expected = os.geteuid() if "supervisor" in title(pid) else NOBODY.pw_uid
        assert status(pid, "Uid") == [str(expected)] * 4, title(pid)
    mold = server.pids("mold")[0]
    os.kill(mold, signal.SIGKILL)
    server.wait_for_log(r"generation 2 of \S+ is ready")
    assert told(server.port)["users"] == [NOBODY.pw_uid] * 3
    assert server.stop() == 0


@as_root
def test_numbers_and_a_group_alone(serve: Serve, host_folder: Path) -> None:
    base = {"app": {"wsgi": "host_app:app"}, "directory": str(host_folder), "pool": {"size": 1}}
    found = told(serve({**base, "user": 4711, "group": 4712}).port)
    assert (found["users"], found["groups"], found["more"]) == ([4711] * 3, [4712] * 3, [4712])
    found = told(serve({**base, "group": NOBODY.pw_gid}).port)
    assert (found["users"], found["groups"], found["more"]) == ([0] * 3, [NOBODY.pw_gid] * 3, [NOBODY.pw_gid])


@as_root
def test_a_log_belongs_to_the_user_also_after_a_rotation(serve: Serve, host_folder: Path) -> None:
    os.chown(host_folder, NOBODY.pw_uid, NOBODY.pw_gid)
    log = host_folder / "access.log"
    topology = {"app": {"wsgi": "host_app:app"}, "user": "nobody", "directory": str(host_folder), "pool": {"size": 1}}
    server = serve({**topology, "access_log": {"format": "%s", "to": str(log)}})
    told(server.port)
    wait_until(lambda: log.read_text() == "200\n", "the first line")  # it is written after the answer
    log.rename(host_folder / "old.log")
    server.signal(signal.SIGUSR1)

    def opened() -> bool:
        workers = [Path(f"/proc/{pid}/fd") for pid in server.pids("worker")]
        return all(any(os.path.realpath(fd) == str(log) for fd in worker.iterdir()) for worker in workers)

    wait_until(opened, "the new file")
    told(server.port)
    wait_until(lambda: log.read_text() == "200\n", "the line")
    assert (log.stat().st_uid, stat.S_IMODE(log.stat().st_mode) & ~0o640) == (NOBODY.pw_uid, 0)
    assert "cannot reopen" not in server.log


@as_root
def test_a_log_is_opened_with_the_rights_of_the_user(host_folder: Path) -> None:
    secret = host_folder / "secret"
    secret.touch(mode=0o600)
    os.chown(host_folder, NOBODY.pw_uid, NOBODY.pw_gid)
    (host_folder / "access.log").symlink_to(secret)  # as the user could do it
    topology = {"app": "demo", "user": "nobody", "access_log": {"to": str(host_folder / "access.log")}}
    with Server(topology, host_folder) as server:
        assert server.wait() == 1
        assert f"access_log: {host_folder}/access.log cannot be opened as user nobody: Permission denied" in server.log
    assert (secret.stat().st_uid, secret.read_text()) == (0, "")


REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "no such user": ({"user": "nobody-at-all"}, 'user: this machine has no user "nobody-at-all"'),
    "no such group": ({"group": "no-group"}, 'group: this machine has no group "no-group"'),
    "no such folder": ({"directory": "/none"}, "directory: /none cannot be entered: there is no such folder"),
    "a PID file that is none": ({"pid_file": "/dev/null"}, "pid_file: /dev/null exists and is not a PID file"),
    "no owner": (
        {"listen": {"at": "unix:///tmp/poolctl-none.sock", "owner": "nobody-at-all"}},
        'listen unix:///tmp/poolctl-none.sock: owner: this machine has no user "nobody-at-all"',
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_keys_that_this_machine_cannot_satisfy(tmp_path: Path, name: str) -> None:
    keys, message = REFUSED[name]
    with Server({"app": "demo", **keys}, tmp_path) as server:
        assert server.wait() == 1
        assert message in server.log


@as_root
def test_a_number_without_an_account_needs_a_group(tmp_path: Path) -> None:
    with Server({"app": "demo", "user": 4711}, tmp_path) as server:
        assert server.wait() == 1
        assert "user: uid 4711 has no account to take the group from" in server.log
        assert "help: set group" in server.log


@as_root
def test_a_folder_that_the_user_cannot_enter(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.mkdir(mode=0o700)
    with Server({"app": "demo", "user": "nobody", "directory": str(secret)}, tmp_path) as server:
        assert server.wait() == 1
        assert f"directory: {secret} cannot be entered: user nobody may not enter it" in server.log


def test_users_other_than_root_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 4711)
    monkeypatch.setattr(os, "getegid", lambda: 4712)
    with pytest.raises(PoolctlError, match="user: only root can change to user nobody"):
        Identity.find("nobody", "")
    with pytest.raises(PoolctlError, match="group: only root can change to user 4711, group 4713"):
        Identity.find("", "4713")
    assert Identity.find("4711", "4712") is None
    assert Identity.find("", "") is None


@as_root
def test_a_process_that_is_not_root(host_folder: Path) -> None:
    prefix = ("setpriv", "--reuid=nobody", f"--regid={NOBODY.pw_gid}", "--clear-groups")
    tried = subprocess.run(
        [*prefix, sys.executable, "-c", "import poolctl"], check=False, capture_output=True, timeout=within(30)
    )
    if tried.returncode:
        pytest.skip("nobody may not run this interpreter")
    with Server({"app": "demo", "user": "root"}, host_folder, prefix=prefix) as server:
        assert server.wait() == 1
        assert "user: only root can change to user root" in server.log


@pytest.mark.parametrize("mode", ["0600", "666", "0660"])
def test_the_file_of_a_unix_socket(serve: Serve, tmp_path: Path, mode: str) -> None:
    path = tmp_path / "s.sock"
    entry = {"at": f"unix://{path}", "mode": mode, "group": os.getgid()}
    if os.geteuid() == 0:
        entry |= {"owner": "nobody", "group": NOBODY.pw_gid}
    serve({"app": "demo", "listen": [entry], "umask": "0077", "pool": {"size": 1}})
    found = path.stat()
    assert stat.S_IMODE(found.st_mode) == int(mode, 8)
    if os.geteuid() == 0:
        assert (found.st_uid, found.st_gid) == (NOBODY.pw_uid, NOBODY.pw_gid)
    with socket.socket(socket.AF_UNIX) as sock:
        sock.settimeout(PATIENCE)
        sock.connect(str(path))
        sock.sendall(b"GET / HTTP/1.0\r\n\r\n")
        assert sock.recv(100).startswith(b"HTTP/1.1 200 OK\r\n")


def test_the_pid_file_of_a_server(serve: Serve, tmp_path: Path) -> None:
    topology = {"app": "demo", "pool": {"size": 1}, "pid_file": "shop.pid"}
    server = serve(topology)
    path = tmp_path / "shop.pid"
    assert path.read_text() == f"{server.pid}\n"
    for pid in server.tree():
        descriptors = os.listdir(f"/proc/{pid}/fd")
        held = [fd for fd in descriptors if os.path.samestat(os.stat(f"/proc/{pid}/fd/{fd}"), path.stat())]
        assert len(held) == (pid == server.pid)
    with Server(topology, tmp_path) as second:
        assert second.wait() == 1
        assert f"pid_file: {path} belongs to process {server.pid}, which is running" in second.log
        assert "help: stop it first" in second.log
    assert path.read_text() == f"{server.pid}\n"
    server.signal(signal.SIGKILL)
    server.wait()
    assert path.exists()
    third = serve(topology)
    assert path.read_text() == f"{third.pid}\n"
    assert third.stop() == 0
    assert not path.exists()
