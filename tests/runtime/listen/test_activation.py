"""Sockets that systemd passes: a launcher that does what systemd does, and real servers."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from harness.client import Client
from harness.machine import PATIENCE
from harness.server import ROOT

from poolctl.runtime.listen.activation import NotPassed, Passed, chosen, passed

# Moves the descriptors of its first argument to 3, 4, ..., sets the variables for its own PID, and becomes the server.
LAUNCHER = """
import fcntl, os, sys
given = [int(fd) for fd in sys.argv[1].split(",")]
high = [fcntl.fcntl(fd, fcntl.F_DUPFD, 100) for fd in given]
for fd in given:
    os.close(fd)
for number, fd in enumerate(high, 3):
    os.dup2(fd, number, inheritable=True)
    os.close(fd)
os.environ.update(LISTEN_PID=str(os.getpid() + int(sys.argv[3])), LISTEN_FDS=str(len(high)), LISTEN_FDNAMES=sys.argv[2])
os.execv(sys.executable, [sys.executable, "-m", "poolctl", *sys.argv[4:]])
"""
APP = '''
import os, subprocess, sys
LIST = """
import os, stat
opened = [fd for fd in range(256) if os.path.exists(f"/proc/self/fd/{fd}")]
print([fd for fd in opened if stat.S_ISSOCK(os.fstat(fd).st_mode)])
"""
def application(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    names = [name for name in os.environ if name.startswith("LISTEN_")]
    inherited = subprocess.run([sys.executable, "-c", LIST], close_fds=False, capture_output=True, text=True).stdout
    return [f"{names} {inherited}".encode()]
'''


@contextlib.contextmanager
def launched(
    words: list[str], sockets: list[socket.socket], names: str = "", off: int = 0
) -> Iterator[subprocess.Popen[str]]:
    """A command that was given the sockets as systemd does it. ``off``: how far LISTEN_PID is from its PID."""
    numbers = [sock.fileno() for sock in sockets]
    command = [sys.executable, "-c", LAUNCHER, ",".join(map(str, numbers)), names, str(off), *words]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    pipe = subprocess.PIPE
    with subprocess.Popen(command, pass_fds=numbers, stderr=pipe, stdout=pipe, text=True, env=environment) as process:
        try:
            yield process
        finally:
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
                assert process.wait(PATIENCE) == 0


def serves_on(process: subprocess.Popen[str]) -> tuple[str, str]:
    """The addresses that the log names, and the lines before."""
    assert process.stderr is not None
    before = ""
    for line in process.stderr:
        if found := re.search(r"serves on (.*): 1 process", line):
            return found[1], before
        before += line
    raise AssertionError(before)


@pytest.fixture
def listening() -> Iterator[list[socket.socket]]:
    with contextlib.ExitStack() as stack:
        yield [stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=16)) for _ in range(3)]


def port(sock: socket.socket) -> int:
    return int(sock.getsockname()[1])


def test_all_sockets_are_served_and_nothing_is_passed_on(listening: list[socket.socket], tmp_path: Path) -> None:
    (tmp_path / "shop.py").write_text(APP)
    file = tmp_path / "shop.yaml"
    file.write_text("app: {wsgi: shop:application}\npool: {kind: process, size: 1}\nlisten: systemd\n")
    with launched(["run", str(file)], listening) as process:
        where, _ = serves_on(process)
        assert where == ", ".join(f"http://127.0.0.1:{port(sock)}" for sock in listening)
        for sock in listening:
            with Client(port(sock)) as client:
                assert client.get().body == b"[] []\n"
    assert all(sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN) for sock in listening)  # systemd's copies


@pytest.mark.parametrize("ownership", ["half-sync/half-reactive", "half-sync/half-async", "leader/followers"])
def test_names_choose_their_sockets(ownership: str, listening: list[socket.socket], tmp_path: Path) -> None:
    file = tmp_path / "shop.yaml"
    listen = "[{at: systemd://admin, proxy_protocol: 127.0.0.1}, systemd]"
    text = f"app: demo\npool: {{kind: process, size: 1}}\nownership: {ownership}\nlisten: {listen}\n"
    file.write_text(text)
    first, admin, last = listening
    with launched(["run", str(file)], listening, "web:admin:other") as process:
        assert serves_on(process)[0].split(", ") == [f"http://127.0.0.1:{port(sock)}" for sock in (admin, first, last)]
        for sock in (first, last):
            with Client(port(sock)) as client:
                assert client.get().status == 200
        with Client(port(admin)) as client:
            client.send(b"PROXY TCP4 127.0.0.9 127.0.0.1 80 80\r\n")
            assert client.get().status == 200


def test_a_reload_takes_another_of_the_sockets(listening: list[socket.socket], tmp_path: Path) -> None:
    file = tmp_path / "shop.yaml"
    text = "app: demo\npool: {kind: process, size: 1}\nlisten: "
    file.write_text(f"{text}systemd://web\n")
    web, admin = listening[:2]
    with launched(["run", str(file)], [web, admin], "web:admin") as process:
        assert serves_on(process)[0] == f"http://127.0.0.1:{port(web)}"
        file.write_text(f"{text}[systemd://admin, systemd]\n")
        process.send_signal(signal.SIGHUP)
        assert serves_on(process)[0] == f"http://127.0.0.1:{port(admin)}, http://127.0.0.1:{port(web)}"
        for sock in (web, admin):
            with Client(port(sock)) as client:
                assert client.get().status == 200


def test_an_upgrade_keeps_the_sockets(listening: list[socket.socket], tmp_path: Path) -> None:
    (tmp_path / "shop.py").write_text(APP)
    file = tmp_path / "shop.yaml"
    text = "app: {wsgi: shop:application}\npool: {kind: process, size: 1}\nlisten: "
    file.write_text(f"{text}systemd://web\n")
    web, admin = listening[:2]
    with launched(["run", str(file)], [web, admin], "web:admin") as process:
        serves_on(process)
        for number, (name, sock) in enumerate((("admin", admin), ("web", web))):  # from the start, and taken over
            file.write_text(f"{text}systemd://{name}\n")
            process.send_signal(signal.SIGUSR2)
            assert serves_on(process)[0] == f"http://127.0.0.1:{port(sock)}"
            assert process.stderr is not None
            while "with exit code 0" not in process.stderr.readline():
                pass
            with Client(port(sock)) as client:
                assert client.get().body == b"[] []\n", number
    assert all(sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN) for sock in listening)  # systemd's copies


def test_a_socket_that_no_address_uses_is_reported(listening: list[socket.socket], tmp_path: Path) -> None:
    file = tmp_path / "shop.yaml"
    file.write_text("app: demo\npool: {kind: process, size: 1}\nlisten: systemd://web\n")
    with launched(["run", str(file)], listening[:2], "web:old") as process:
        where, before = serves_on(process)
    assert where == f"http://127.0.0.1:{port(listening[0])}"
    assert "a socket named old, which no address" in before


@pytest.mark.parametrize(
    ("listen", "names", "off", "message"),
    [
        ("systemd", "", 1, r"passed to process (\d+) \(LISTEN_PID\), and poolctl is process \d+.*exec poolctl run"),
        ("systemd://wbe", "web", 0, r'no socket named "wbe" was passed.* did you mean "systemd://web"\?'),
        ("systemd://metrics", "web", 0, "use one of those that were passed: web"),
        ("[systemd://web, systemd]", "web", 0, "other addresses of the file name all sockets"),
    ],
)
def test_what_is_wrong_is_said(
    listen: str, names: str, off: int, message: str, listening: list[socket.socket], tmp_path: Path
) -> None:
    file = tmp_path / "shop.yaml"
    file.write_text(f"app: demo\nlisten: {listen}\n")
    words = ["run", str(file)] if off else ["validate", str(file)]
    with launched(words, listening[:1], names, off) as process:
        stdout, stderr = process.communicate(timeout=PATIENCE)
        assert process.returncode == 1
    assert "PC405" in stdout + stderr
    assert re.search(message, " ".join((stdout + stderr).split()))


def test_outside_of_systemd_validate_gives_a_note_and_run_an_error(tmp_path: Path) -> None:
    file = tmp_path / "shop.yaml"
    file.write_text("app: demo\nlisten: systemd\n")
    command = [sys.executable, "-m", "poolctl"]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("LISTEN_")}
    for words, code, severity in ((["validate", str(file)], 0, "note"), (["run", str(file)], 1, "error")):
        ran = subprocess.run(
            [*command, *words],
            check=False,
            capture_output=True,
            text=True,
            env=environment | {"PYTHONPATH": str(ROOT)},
        )
        assert ran.returncode == code, ran
        assert f"{severity}[PC405]" in ran.stdout + ran.stderr
        assert "LISTEN_FDS is not set" in ran.stdout + ran.stderr


def variables(number: str = "1", pid: str = "7", names: str = "") -> dict[str, str]:
    return {"LISTEN_FDS": number, "LISTEN_PID": pid, "LISTEN_FDNAMES": names}


def test_sockets_without_names_are_unknown() -> None:
    assert passed(variables("3", names="web:api"), 7) == [Passed(3, "web"), Passed(4, "api"), Passed(5, "unknown")]
    assert passed(variables("1"), 7) == [Passed(3, "unknown")]


WRONG = [{}, variables(""), variables(pid=""), variables("x"), variables("0"), variables("99999"), variables(pid="8")]


@pytest.mark.parametrize("environment", WRONG)
def test_variables_that_are_missing_or_wrong(environment: dict[str, str]) -> None:
    with pytest.raises(NotPassed):
        passed(environment, 7)


def test_only_listening_stream_sockets_are_taken() -> None:
    with contextlib.ExitStack() as stack:
        datagram = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
        connected, _ = map(stack.enter_context, socket.socketpair())
        read, write = os.pipe()
        stack.callback(os.close, read)
        stack.callback(os.close, write)
        wrong = {
            datagram.fileno(): "is not a stream socket",
            connected.fileno(): "is not a listening socket",
            read: "is not a socket: Socket operation on non-socket",
            987: "is not a socket: Bad file descriptor",
        }
        for fd, reason in wrong.items():
            with pytest.raises(NotPassed, match=rf"descriptor {fd} \(web\) {reason}"):
                chosen("web", {"web"}, [Passed(fd, "web")])
        assert connected.fileno() >= 0  # left open
        os.fstat(connected.fileno())
