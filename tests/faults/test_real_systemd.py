"""Exported units under a real systemd, process 1 of namespaces of its own: it starts, reloads, upgrades and stops them.

    this process --unshare--> sh: private /run, /tmp, network ... --exec--> systemd --> the units of each test
                 --nsenter--> systemctl, poolctl, curl

Nothing of the machine's own systemd is used, and nothing is written outside of the namespaces. Needs root, systemd and
util-linux.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from harness.machine import PATIENCE
from harness.server import wait_until

SYSTEMD = "/lib/systemd/systemd"
POOLCTL = str(Path(sys.executable).with_name("poolctl"))
TOOLS = ("unshare", "nsenter", "systemctl", "ip", "curl")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(os.geteuid() != 0, reason="namespaces need root"),
    pytest.mark.skipif(
        not os.path.exists(SYSTEMD) or not all(map(shutil.which, TOOLS)), reason="systemd or a tool is missing"
    ),
]
# Directories that systemd and the services write to are private. Only the target below is started, so that none of the
# units that set up a machine runs.
BOOT = """
set -e
mount --make-rprivate /
mount -t proc proc /proc
mkdir -p /run/keep && mount --bind {folder} /run/keep
for folder in /tmp /var/tmp /var/log /etc/systemd/system; do mount -t tmpfs tmpfs $folder; done
mkdir -p {folder} && mount --bind /run/keep {folder}
mount -t tmpfs tmpfs /run
mkdir -p /run/lock /run/systemd
ip link set lo up
umount -R -l /sys/fs/cgroup
mount -t tmpfs tmpfs /sys/fs/cgroup
mkdir /sys/fs/cgroup/systemd
mount -t cgroup -o none,name=systemd cgroup /sys/fs/cgroup/systemd
printf '[Unit]\\nDefaultDependencies=no\\n' > /etc/systemd/system/alone.target
export container=lxc
exec {systemd} --system --log-target=console --log-level=notice --show-status=0 --unit=alone.target
"""
APP = """
import os, time
def app(environ, start_response):
    if environ["PATH_INFO"] == "/slow":
        time.sleep(1)
    body = str(os.getpid()).encode()
    start_response("200 OK", [("Content-Length", str(len(body)))])
    return [body]
async def async_app(scope, receive, send):
    body = str(os.getpid()).encode()
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"%d" % len(body))]})
    await send({"type": "http.response.body", "body": body})
"""


class Systemd:
    """A systemd of its own, and the units of one service."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        script = folder / "boot.sh"
        script.write_text(BOOT.format(folder=folder, systemd=SYSTEMD))
        self._log = (folder / "systemd.log").open("wb")
        command = ["unshare", "--pid", "--fork", "--kill-child", "--mount", "--uts", "--ipc", "--cgroup", "--net"]
        self.process = subprocess.Popen([*command, "sh", str(script)], stdout=self._log, stderr=self._log)
        wait_until(lambda: self.pid and self.run("systemctl", "is-system-running").stdout == "running\n", "systemd")

    @property
    def pid(self) -> int:
        """That of process 1, as this namespace sees it; 0: there is none yet."""
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        assert self.process.poll() is None, (self.folder / "systemd.log").read_text()
        return int(children[0]) if children else 0

    def run(self, *command: str) -> subprocess.CompletedProcess[str]:
        inside = ["nsenter", "-t", str(self.pid), "-m", "-p", "-n", "-u", "-i", "--wd=/"]
        return subprocess.run([*inside, *command], check=False, capture_output=True, text=True, timeout=PATIENCE)

    def does(self, *command: str) -> str:
        done = self.run(*command)
        assert done.returncode == 0, (done.stdout, done.stderr, self.log)
        return done.stdout

    def install(self, keys: str, *options: str) -> None:
        """Export the units of a topology, and put them where systemd looks."""
        (self.folder / "shop.py").write_text(APP)
        (self.folder / "shop.yaml").write_text(f"name: shop\nuser: root\npool: {{size: 2}}\n{keys}")
        units = self.folder / "units"
        shutil.rmtree(units, ignore_errors=True)
        units.mkdir()
        # the folder is below /tmp, which the unit would have of its own
        export = [POOLCTL, "export", "systemd", "shop.yaml", "--to", str(units), *options]
        subprocess.run(export, check=True, cwd=self.folder, capture_output=True)
        for unit in sorted(units.iterdir()):
            drop_in = f"/etc/systemd/system/{unit.name}.d"
            text = "[Unit]\nDefaultDependencies=no\n"
            if unit.suffix == ".service":
                log = self.folder / "shop.log"
                text += f"[Service]\nPrivateTmp=no\nStandardOutput=append:{log}\nStandardError=append:{log}\n"
            self.does(
                "sh", "-c", f"cp {unit} /etc/systemd/system/; mkdir -p {drop_in}; printf '{text}' > {drop_in}/a.conf"
            )
        self.does("systemctl", "daemon-reload")

    @property
    def log(self) -> str:
        found = self.folder / "shop.log"
        return found.read_text() if found.exists() else ""

    def shows(self, name: str) -> str:
        return self.does("systemctl", "show", "shop", "-p", name, "--value").strip()

    def get(self, path: str = "/") -> str:
        return self.does("curl", "-sS", "--fail", f"http://127.0.0.1:8000{path}")

    def end(self) -> None:
        self.process.send_signal(signal.SIGKILL)  # its child gets it too (--kill-child), and with that the namespace
        self.process.wait(PATIENCE)
        self._log.close()


@pytest.fixture(scope="module")
def systemd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Systemd]:
    manager = Systemd(tmp_path_factory.mktemp("systemd"))
    yield manager
    manager.end()


@pytest.fixture(autouse=True)
def stopped(systemd: Systemd) -> Iterator[None]:
    (systemd.folder / "shop.log").unlink(missing_ok=True)
    yield
    systemd.run("systemctl", "stop", "shop.socket", "shop.service")
    systemd.run("systemctl", "reset-failed")


OWNERSHIPS = ["half-sync/half-reactive", "half-sync/half-async", "leader/followers", "reuse-port"]


@pytest.mark.parametrize("app", ["wsgi: 'shop:app'", "asgi: 'shop:async_app'"])
@pytest.mark.parametrize("ownership", OWNERSHIPS)
def test_a_unit_starts_reloads_upgrades_and_stops(systemd: Systemd, ownership: str, app: str) -> None:
    systemd.install(f"app: {{{app}}}\nownership: {ownership}\n")
    systemd.does("systemctl", "start", "shop")
    first = systemd.shows("MainPID")
    assert systemd.shows("StatusText").startswith("serving on http://127.0.0.1:8000")
    worker = systemd.get()
    systemd.does("systemctl", "reload", "shop")
    wait_until(lambda: "reload (SIGHUP) ended" in systemd.log, "the reload")
    assert systemd.get() != worker
    assert systemd.shows("MainPID") == first
    systemd.does(POOLCTL, "upgrade", "shop")
    second = systemd.shows("MainPID")
    assert second != first
    assert systemd.get()
    systemd.does(POOLCTL, "recycle", "shop")
    assert systemd.shows("ActiveState") == "active"
    systemd.does("systemctl", "stop", "shop")
    assert (systemd.shows("ActiveState"), systemd.shows("Result")) == ("inactive", "success")
    assert systemd.log.count("SIGTERM: draining") == 1
    assert systemd.log.rstrip().endswith("shop stopped")


def test_a_request_in_flight_is_answered_by_a_stop_after_an_upgrade(systemd: Systemd) -> None:
    systemd.install("app: {wsgi: 'shop:app'}\n")
    systemd.does("systemctl", "start", "shop")
    systemd.does(POOLCTL, "upgrade", "shop")
    inside = ["nsenter", "-t", str(systemd.pid), "-n", "curl", "-sS", "--fail", "http://127.0.0.1:8000/slow"]
    with subprocess.Popen(inside, stdout=subprocess.PIPE, text=True) as client:
        wait_until(lambda: '"in_flight": 1' in systemd.does(POOLCTL, "status", "shop", "--format", "json"), "a request")
        systemd.does("systemctl", "stop", "shop")
        assert client.stdout is not None
        assert client.stdout.read().isdigit()
        assert client.wait(PATIENCE) == 0
    assert systemd.shows("Result") == "success"


def test_a_socket_of_systemd_starts_the_service_and_outlives_it(systemd: Systemd) -> None:
    systemd.install("app: {wsgi: 'shop:app'}\nlisten: systemd\n", "--socket")
    systemd.does("systemctl", "start", "shop.socket")
    assert systemd.get().isdigit()
    systemd.does("systemctl", "restart", "shop.service")
    assert systemd.get().isdigit()
    systemd.does(POOLCTL, "drain", "shop")
    systemd.does(POOLCTL, "resume", "shop")
    assert systemd.get().isdigit()
    systemd.does("systemctl", "stop", "shop.service")
    assert systemd.shows("Result") == "success"
    assert systemd.get().isdigit()  # started again by this client
    assert systemd.shows("ActiveState") == "active"


def test_a_killed_supervisor_is_started_again_and_an_invalid_file_is_not(systemd: Systemd) -> None:
    systemd.install("app: {wsgi: 'shop:app'}\n")
    systemd.does("systemctl", "start", "shop")
    systemd.does("sh", "-c", f"kill -KILL {systemd.shows('MainPID')}")
    wait_until(lambda: systemd.shows("NRestarts") == "1" and systemd.shows("ActiveState") == "active", "a restart")
    assert systemd.get().isdigit()
    systemd.does("systemctl", "stop", "shop")
    (systemd.folder / "shop.yaml").write_text("app: nonsense\n")
    assert systemd.run("systemctl", "start", "shop").returncode == 1
    assert (systemd.shows("ExecMainStatus"), systemd.shows("NRestarts")) == ("78", "0")
    assert 'unknown app "nonsense"' in systemd.log
