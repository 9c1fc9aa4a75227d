"""The Dockerfile, read strictly; and what it says, done here: PID 1, a read-only root, a stop, a health check."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from harness.client import Client
from harness.machine import PATIENCE
from harness.server import ROOT, Server, alive, wait_until
from typer.testing import CliRunner

from poolctl.cli.main import cli

INSTRUCTIONS = {
    "FROM", "RUN", "WORKDIR", "COPY", "ENV", "USER", "EXPOSE", "STOPSIGNAL", "HEALTHCHECK", "ENTRYPOINT",
}  # fmt: skip
SHOP = """
name: Shop
app: {wsgi: shop:application}
listen: [tcp://127.0.0.1:8001, tcp://0.0.0.0:80, "tcp://[::1]:9000", systemd]
user: www-data
pid_file: /run/shop.pid
access_log: {to: log/access.log}
timeouts: {drain: 45s}
"""


def exported(folder: Path, text: str, *words: str, to: str = "") -> str:
    file = folder / "shop.yaml"
    file.write_text(text)
    command = ["export", "container", str(file), *words, *(["--to", to] if to else [])]
    done = CliRunner().invoke(cli, command)
    assert done.exit_code == 0, done.output
    return Path(to, "Dockerfile").read_text() if to else done.stdout


def parsed(dockerfile: str) -> dict[str, list[str]]:
    """The arguments of each instruction. Raises AssertionError for anything that is neither one nor a comment."""
    found: dict[str, list[str]] = {}
    lines = [line for line in dockerfile.splitlines() if line.strip() and not line.startswith("#")]
    for line in re.sub(r" *\\\n *", " ", "\n".join(lines)).split("\n"):
        instruction, _, rest = line.partition(" ")
        assert instruction in INSTRUCTIONS, line
        assert rest
        found.setdefault(instruction, []).append(rest)
    assert dockerfile.splitlines()[0].startswith("#")
    assert next(iter(found)) == "FROM"
    return found


def test_the_dockerfile_follows_the_topology(tmp_path: Path) -> None:
    found = parsed(text := exported(tmp_path, SHOP))
    assert found["FROM"] == [f"python:{sys.version_info.major}.{sys.version_info.minor}-slim"]
    words = json.loads(found["ENTRYPOINT"][0])  # the exec form, without a shell
    assert words[:3] == ["poolctl", "run", "/srv/Shop/shop.yaml"]
    pairs = list(zip(words[3::2], words[4::2], strict=True))
    assert [value for option, value in pairs if option == "--set"] == ["user=", "pid_file=", "access_log.to=stdout"]
    listen = ["tcp://0.0.0.0:8001", "tcp://0.0.0.0:80", "tcp://[::]:9000", "tcp://0.0.0.0:8000"]
    assert [value for option, value in pairs if option == "--listen"] == listen
    assert found["EXPOSE"] == ["8001 80 9000 8000"]
    assert json.loads(found["HEALTHCHECK"][0].partition("CMD ")[2]) == ["poolctl", "status", "Shop"]
    assert (found["STOPSIGNAL"], found["USER"]) == (["SIGTERM"], ["10001:10001"])
    for note in ("--stop-timeout 55", "terminationGracePeriodSeconds: 55", "--read-only --tmpfs /tmp"):
        assert note in text


def test_addresses_that_can_be_reached_stay(tmp_path: Path) -> None:
    text = exported(tmp_path, "app: demo\nlisten: [tcp://0.0.0.0:8000, unix:///run/web/shop.sock]\n")
    assert "--listen" not in parsed(text)["ENTRYPOINT"][0]
    assert "mount a volume at /run/web" in text


def test_requirements_are_installed_first(tmp_path: Path) -> None:
    assert "COPY requirements.txt ./" not in exported(tmp_path, "app: demo\n")
    (tmp_path / "requirements.txt").write_text("flask\n")
    found = parsed(exported(tmp_path, "app: demo\n"))
    assert found["COPY"] == ["requirements.txt ./", ". ."]
    assert [each for each in found["RUN"] if "requirements.txt" in each]


def test_overlays_and_an_absolute_directory_are_found_in_the_image(tmp_path: Path) -> None:
    (tmp_path / "app").mkdir()
    (tmp_path / "app" / "prod.yaml").write_text("timeouts: {drain: 5s}\n")
    overlay = ["-f", str(tmp_path / "app" / "prod.yaml")]
    words = json.loads(parsed(exported(tmp_path, "app: demo\n", *overlay))["ENTRYPOINT"][0])
    assert words[2:5] == ["/srv/shop/shop.yaml", "-f", "/srv/shop/app/prod.yaml"]
    found = parsed(exported(tmp_path, f"app: demo\ndirectory: {tmp_path}/app\n", *overlay))
    assert json.loads(found["ENTRYPOINT"][0])[2] == f"{tmp_path}/shop.yaml"
    assert found["WORKDIR"][0] == str(tmp_path)
    relative = parsed(exported(tmp_path, "app: demo\ndirectory: app\n", *overlay))
    assert relative["WORKDIR"][0] == "/srv/shop"


def test_options_of_a_loopback_address_are_a_warning(tmp_path: Path) -> None:
    file = tmp_path / "shop.yaml"
    file.write_text("app: demo\nlisten: {at: tcp://127.0.0.1:80, proxy_protocol: 127.0.0.1}\n")
    done = CliRunner().invoke(cli, ["export", "container", str(file)])
    assert (done.exit_code, "change it in an overlay" in done.stderr) == (0, True)


def test_the_compose_file_has_the_same_options(tmp_path: Path) -> None:
    dockerfile = exported(tmp_path, SHOP, to=str(tmp_path / "deploy"))
    assert dockerfile == exported(tmp_path, SHOP)
    service = yaml.safe_load((tmp_path / "deploy" / "compose.yaml").read_text())["services"]["shop"]
    assert service["stop_grace_period"] == "55s"
    assert (service["read_only"], service["tmpfs"]) == (True, ["/tmp", "/run/poolctl"])
    assert service["ports"] == ["8001:8001", "80:80", "9000:9000", "8000:8000"]
    build = service["build"]
    context = (tmp_path / "deploy" / build["context"]).resolve()
    assert context == tmp_path
    assert (context / build["dockerfile"]).resolve() == tmp_path / "deploy" / "Dockerfile"
    exported(tmp_path, "app: demo\nlisten: unix:///run/a/x.sock\n", "--force", to=str(tmp_path / "deploy"))
    assert "ports" not in yaml.safe_load((tmp_path / "deploy" / "compose.yaml").read_text())["services"]["shop"]


# A grandchild whose parent ends becomes the child of PID 1, ends, and is gone once PID 1 has reaped it.
APP = """
import os, time
def application(environ, start_response):
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        if not os.fork():
            while os.getppid() != 1:
                time.sleep(0.01)
            os.write(writing, str(os.getpid()).encode())
        os._exit(0)
    os.waitpid(child, 0)
    os.close(writing)
    orphan = os.read(reading, 100).decode()
    os.close(reading)
    while os.path.exists(f"/proc/{orphan}"):
        time.sleep(0.01)
    try:
        open("file", "w")
    except OSError as error:
        reason = error.strerror
    start_response("200 OK", [])
    return [f"{orphan}: {reason}".encode()]
"""
# A process tree and mounts of its own, in which everything but one tmpfs is read-only.
CONTAINED = (
    "mount -t tmpfs tmpfs {run} && mount -o remount,bind,ro / && mount -o remount,bind,ro {folder} && "
    'cd {folder} && exec "$@"'
)


@pytest.fixture
def contained(tmp_path: Path) -> tuple[str, ...]:
    """The words before a command that runs it like a container. Skips where that is not allowed."""
    run = tmp_path / "run"
    run.mkdir()
    unshare = shutil.which("unshare")
    if unshare is None or os.geteuid() != 0:
        pytest.skip("needs root and unshare(1)")
    prefix = (unshare, "--mount", "--pid", "--fork", "--kill-child", "--mount-proc", "sh", "-c")
    script = f"mount --bind {tmp_path} {tmp_path} && {CONTAINED.format(run=run, folder=tmp_path)}"
    done = subprocess.run([*prefix, script, "sh", "true"], capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"no namespaces here: {done.stderr.strip()}")
    return (*prefix, script, "sh")


def test_it_serves_as_pid_1_with_a_read_only_root(contained: tuple[str, ...], tmp_path: Path) -> None:
    (tmp_path / "shop.py").write_text(APP)
    (tmp_path / "shop.yaml").write_text("app: {wsgi: shop:application}\npool: {kind: process, size: 1}\n")
    runtime = str(tmp_path / "run" / "shop")
    environment = {"RUNTIME_DIRECTORY": runtime, "HOME": str(tmp_path), "PYTHONDONTWRITEBYTECODE": "1"}
    with Server(tmp_path / "shop.yaml", tmp_path, environment=environment, prefix=contained) as server:
        supervisor = server.ready().tree()[1]  # the child of unshare
        inner = Path(f"/proc/{supervisor}/status").read_text()
        assert re.search(r"^NSpid:\s+\d+\s+1$", inner, re.MULTILINE)
        with Client(server.port) as client:
            assert re.fullmatch(rb"\d+: Read-only file system", client.get().body)
        enter = ["nsenter", "-t", str(supervisor), "-m", "-p", sys.executable, "-m", "poolctl", "status", "shop"]
        status = subprocess.run(
            enter,
            capture_output=True,
            text=True,
            check=False,
            env=os.environ | environment | {"PYTHONPATH": str(ROOT)},
            timeout=PATIENCE,
        )
        assert (status.returncode, "1 process, half-sync" in status.stdout) == (0, True), status
        os.kill(supervisor, signal.SIGTERM)
        assert server.process.wait(PATIENCE) == 0
        wait_until(lambda: not alive(supervisor), "the end of the supervisor")
    assert "Traceback" not in server.log
