"""What a service manager hears: real datagram sockets, and a real server from its start to its end."""

from __future__ import annotations

import logging
import os
import signal
import socket
import struct
import time
from collections.abc import Iterator
from math import inf
from pathlib import Path

import pytest
from harness.client import Client
from harness.machine import PATIENCE
from harness.server import Server, alive, descendants, title, wait_until

from poolctl.supervision.notify import MAX_STATUS, STATUS_SECONDS, Notifier

SO_PASSCRED, SCM_CREDENTIALS = 16, 2  # Linux; socket(7), unix(7)


class Manager:
    """The service manager's end of the socket."""

    def __init__(self, address: str) -> None:
        self.address = address
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.sock.bind("\0" + address[1:] if address[0] == "@" else address)
        self.sock.settimeout(PATIENCE)

    def hear(self) -> list[str]:
        """The lines of the next datagram."""
        return self.sock.recv(4096).decode().split("\n")

    def hear_until(self, line: str) -> list[list[str]]:
        """All datagrams up to the first one with a line of this beginning, which is the last of them."""
        heard = []
        while True:
            heard.append(self.hear())
            if any(each.startswith(line) for each in heard[-1]):
                return heard

    def silent(self) -> bool:
        """Whether nothing has been sent so far: a datagram is there as soon as it was sent."""
        self.sock.setblocking(False)
        try:
            self.sock.recv(4096)
        except BlockingIOError:
            return True
        finally:
            self.sock.settimeout(PATIENCE)
        return False


@pytest.fixture(params=["path", pytest.param("abstract", marks=pytest.mark.slow)])
def manager(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Manager]:
    made = Manager(str(tmp_path / "notify") if request.param == "path" else f"@poolctl-test-{os.getpid()}")
    with made.sock:
        yield made


class Clock:
    """Seconds that only a test moves on."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_the_messages(manager: Manager) -> None:
    notifier = Notifier(manager.address)
    notifier.ready("serving on http://127.0.0.1:8000: 2 processes")
    assert manager.hear() == ["READY=1", "STATUS=serving on http://127.0.0.1:8000: 2 processes"]
    before = time.monotonic_ns() // 1000
    notifier.reloading()
    state, clock, status = manager.hear()
    assert (state, status) == ("RELOADING=1", "STATUS=reloading")
    assert before <= int(clock.removeprefix("MONOTONIC_USEC=")) <= time.monotonic_ns() // 1000
    notifier.stopping("draining\nfor up to 30 s")  # a second line would be a message of its own
    assert manager.hear() == ["STOPPING=1", "STATUS=draining for up to 30 s"]
    notifier.main_pid(12)
    assert manager.hear() == ["MAINPID=12"]


def test_the_status_is_sent_when_it_changed_and_not_too_often(manager: Manager) -> None:
    clock = Clock()
    notifier = Notifier(manager.address, clock=clock)
    assert notifier.due == inf
    notifier.status("one")
    notifier.tick()
    assert manager.hear() == ["STATUS=one"]
    notifier.status("one")
    assert notifier.due == inf
    notifier.status("two")
    notifier.tick()
    notifier.status("three" * MAX_STATUS)
    notifier.tick()
    assert (manager.silent(), notifier.due) == (True, clock.now + STATUS_SECONDS)
    clock.now += STATUS_SECONDS
    notifier.tick()
    assert manager.hear() == [f"STATUS={('three' * MAX_STATUS)[:MAX_STATUS]}"]
    assert notifier.due == inf


@pytest.mark.parametrize(
    ("variables", "half"),
    [
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": str(os.getpid())}, 15.0),
        ({"WATCHDOG_USEC": "30000000"}, 15.0),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "1"}, inf),
        ({"WATCHDOG_USEC": "0"}, inf),
        ({"WATCHDOG_USEC": "soon"}, inf),
        ({}, inf),
    ],
)
def test_the_watchdog_bounds_the_sleep_only_if_it_is_ours(
    variables: dict[str, str], half: float, manager: Manager
) -> None:
    environment = variables | {"NOTIFY_SOCKET": manager.address, "HOME": "/"}
    before = time.monotonic()
    notifier = Notifier.from_environment(environment)
    assert environment == {"HOME": "/"}
    assert notifier.variables == variables | {"NOTIFY_SOCKET": manager.address}
    assert notifier.due == inf if half == inf else notifier.due >= before + half


def test_a_sign_of_life_at_half_of_the_interval(manager: Manager) -> None:
    clock = Clock()
    notifier = Notifier(manager.address, 15.0, clock=clock)
    notifier.tick()
    assert (manager.silent(), notifier.due) == (True, clock.now + 15.0)
    clock.now += 15.0
    notifier.tick()
    assert (manager.hear(), notifier.due) == (["WATCHDOG=1"], clock.now + 15.0)


def test_without_a_socket_nothing_is_due() -> None:
    notifier = Notifier.from_environment({"WATCHDOG_USEC": "30000000"})
    notifier.status("one")
    notifier.ready("two")
    notifier.tick()
    assert (notifier.on, notifier.due) == (False, inf)


@pytest.mark.parametrize("address", ["{}/missing", "{}", "/" + "x" * 200, "/a\0b"])
def test_a_manager_that_does_not_listen_is_reported_once(
    address: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    notifier = Notifier(address.format(tmp_path))
    for _ in range(3):
        notifier.ready("serving")
    assert [record.levelno for record in caplog.records] == [logging.WARNING]
    assert "cannot notify the service manager" in caplog.text


def test_an_address_of_another_kind_is_ignored(caplog: pytest.LogCaptureFixture) -> None:
    assert not Notifier.from_environment({"NOTIFY_SOCKET": "vsock:2:99"}).on
    assert "neither a path nor an abstract socket" in caplog.text


def test_a_manager_that_reads_nothing_blocks_nobody(manager: Manager) -> None:
    notifier = Notifier(manager.address)
    for _ in range(5000):  # more than a socket's queue holds (net.unix.max_dgram_qlen)
        notifier.main_pid(1)
    assert manager.hear() == ["MAINPID=1"]


APP = """
import os
def application(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    names = [name for name in os.environ if name.startswith(("NOTIFY_", "WATCHDOG_"))]
    return [f"{names}".encode()]
"""


def test_a_server_from_start_to_end(manager: Manager, tmp_path: Path) -> None:
    (tmp_path / "shop.py").write_text(APP)
    topology = {"app": {"wsgi": "shop:application"}, "pool": {"kind": "process", "size": 2}, "timeouts": {"drain": 7}}
    environment = {"NOTIFY_SOCKET": manager.address, "WATCHDOG_USEC": "200000"}
    with Server(topology, tmp_path, environment=environment) as server:
        assert manager.hear_until("STATUS=")[-1] == ["STATUS=starting generation 1"]
        ready = manager.hear_until("READY=1")[-1]
        serving = f"STATUS=serving on http://127.0.0.1:{server.ready().port}: 2 processes"
        assert ready == ["READY=1", serving]
        for _ in range(3):
            manager.hear_until("WATCHDOG=1")
        with Client(server.port) as client:
            assert client.get().body == b"[]"
        server.signal(signal.SIGTERM)
        assert manager.hear_until("STOPPING=1")[-1] == ["STOPPING=1", "STATUS=draining for up to 7 s"]
        assert server.process.wait(PATIENCE) == 0


def test_a_reload_is_reported_whether_it_succeeds_or_not(manager: Manager, tmp_path: Path) -> None:
    """Type=notify-reload sends SIGHUP and waits for RELOADING=1, and for READY=1 after that."""
    file = tmp_path / "shop.yaml"
    file.write_text("app: demo\npool: {kind: process, size: 1}\n")
    with Server(file, tmp_path, environment={"NOTIFY_SOCKET": manager.address}) as server:
        manager.hear_until("READY=1")
        before = time.monotonic_ns() // 1000
        file.write_text("app: demo\npool: {kind: process, size: 2}\n")
        server.signal(signal.SIGHUP)
        _, clock, _ = manager.hear_until("RELOADING=1")[-1]
        assert int(clock.removeprefix("MONOTONIC_USEC=")) >= before
        assert manager.hear_until("READY=1")[-1][1].endswith(": 2 processes")
        server.wait_for_log(r"exit code 0: generation \d serves \(")
        file.write_text("app: nonsense\n")
        server.signal(signal.SIGHUP)
        manager.hear_until("RELOADING=1")
        ready = manager.hear_until("READY=1")[-1][1]
        assert ": 2 processes; the last reload was refused: " in ready
        server.signal(signal.SIGTERM)
        manager.hear_until("STOPPING=1")
        assert server.process.wait(PATIENCE) == 0


def test_the_service_manager_follows_an_upgrade(manager: Manager, tmp_path: Path) -> None:
    """With NotifyAccess=main it listens to the main process only: to the old one until that has named the new one."""
    manager.sock.setsockopt(socket.SOL_SOCKET, SO_PASSCRED, 1)
    heard: list[tuple[int, list[str]]] = []

    def hear_until(line: str) -> list[str]:
        while True:
            data, beside, _, _ = manager.sock.recvmsg(4096, socket.CMSG_SPACE(12))
            (pid,) = {struct.unpack("3i", each)[0] for _, kind, each in beside if kind == SCM_CREDENTIALS}
            heard.append((pid, data.decode().split("\n")))
            if heard[-1][1][0].startswith(line):
                return heard[-1][1]

    environment = {"NOTIFY_SOCKET": manager.address, "WATCHDOG_USEC": "200000"}
    with Server({"app": "demo", "pool": {"kind": "process", "size": 1}}, tmp_path, environment=environment) as server:
        hear_until("READY=1")
        server.tree()
        environment["WATCHDOG_PID"] = str(server.pid)  # of no meaning for the new one
        server.signal(signal.SIGUSR2)
        hear_until("RELOADING=1")
        (main,) = hear_until("MAINPID=")
        new = int(main.removeprefix("MAINPID="))
        try:
            # systemd stops a main process that is not its child with SIGKILL
            assert Path(f"/proc/{new}/stat").read_text().rpartition(")")[2].split()[1] != str(server.pid)
            assert hear_until("READY=1")[1].startswith("STATUS=serving on ")
            hear_until("WATCHDOG=1")
            assert server.process.wait(PATIENCE) == 0
            moment = [lines for _, lines in heard].index([main])
            assert {pid for pid, _ in heard[: moment + 1]} == {server.pid}
            assert {pid for pid, _ in heard[moment + 1 :]} == {new}
            assert title(new).startswith("poolctl: supervisor ")
            with Client(server.port) as client:
                assert client.get().status == 200
            os.kill(new, signal.SIGTERM)
            hear_until("STOPPING=1")
        finally:
            server._seen.update(descendants(new))
        wait_until(lambda: not alive(new), "the end of the new supervisor")


def test_an_upgrade_that_fails_is_reported(manager: Manager, tmp_path: Path) -> None:
    file = tmp_path / "shop.yaml"
    file.write_text("app: demo\npool: {kind: process, size: 1}\n")
    with Server(file, tmp_path, environment={"NOTIFY_SOCKET": manager.address}) as server:
        manager.hear_until("READY=1")
        file.write_text("app: nonsense\n")
        server.signal(signal.SIGUSR2)
        manager.hear_until("RELOADING=1")
        assert ": 1 process; the last upgrade was refused: " in manager.hear_until("READY=1")[-1][1]
        assert server.stop() == 0


def test_a_server_that_cannot_start_says_why(manager: Manager, tmp_path: Path) -> None:
    (tmp_path / "shop.py").write_text("raise RuntimeError('no database')\n")
    environment = {"NOTIFY_SOCKET": manager.address}
    with Server({"app": {"wsgi": "shop:application"}}, tmp_path, environment=environment, tracebacks=True) as server:
        assert server.process.wait(PATIENCE) == 3
    heard = manager.hear_until("STOPPING=1")
    assert not any("READY=1" in lines for lines in heard)
    assert heard[-1][1] == "STATUS=cannot start: RuntimeError: no database"
