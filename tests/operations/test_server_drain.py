"""`poolctl drain` and `resume` of a whole server: every request in flight is answered, then clients are refused until
new workers serve them."""

from __future__ import annotations

import os
import signal
import socket
import threading
from pathlib import Path
from typing import Any

import pytest
from harness.client import Client, Response, get
from harness.commands import poolctl
from harness.gated import GATED, begin
from harness.load import Load
from harness.server import Serve, Server, wait_until

OWNERSHIPS = ["half-sync/half-reactive", "half-sync/half-async", "leader/followers", "reuse-port"]
POOLS: list[dict[str, Any]] = [{"size": 2}, {"kind": "thread", "size": 2}]
MODELS = [
    (ownership, pool) for ownership in OWNERSHIPS for pool in POOLS if (ownership, pool) != ("reuse-port", POOLS[1])
]
IN_FLIGHT = [
    (OWNERSHIPS[0], "wsgi", POOLS[0]),
    (OWNERSHIPS[0], "wsgi", POOLS[1]),
    (OWNERSHIPS[2], "wsgi", POOLS[1]),
    (OWNERSHIPS[1], "asgi", POOLS[0]),
    (OWNERSHIPS[3], "asgi", POOLS[0]),
]  # where a process gives notice while it answers a request
LONG = 3600.0  # seconds; the test ends it


def ask(server: Server | int, do: str, *options: str) -> tuple[int, str]:
    pid = server if isinstance(server, int) else server.pid
    done = poolctl(do, str(pid), *options, cwd=Path.cwd())
    return done.returncode, done.stdout + done.stderr


def refuses(port: int) -> bool:
    """Whether new clients are refused."""
    try:
        socket.create_connection(("127.0.0.1", port), 5).close()
    except ConnectionRefusedError:
        return True
    return False


def stays(port: int) -> bool:
    """Whether a new connection is kept after its first response."""
    with Client(port) as client:
        return client.get().headers.get("connection") != "close"


class Slow(threading.Thread):
    """A client whose request is in flight until the gate exists."""

    def __init__(self, server: Server, gate: Path) -> None:
        super().__init__()
        self._server, self._gate = server, gate
        self.response: Response | None = None
        self.start()

    def run(self) -> None:
        self.response = get(self._server.port, f"/slow?{self._gate}")


@pytest.mark.parametrize(("ownership", "pool"), MODELS, ids=str)
def test_a_server_is_drained_and_resumed(serve: Serve, tmp_path: Path, ownership: str, pool: dict[str, Any]) -> None:
    server = begin(serve, tmp_path, ownership=ownership, pool=pool)
    gate = tmp_path / "gate"
    clients = [Slow(server, gate) for _ in range(2)]
    server.wait_until_busy()
    answers: list[tuple[int, str]] = []
    draining = threading.Thread(target=lambda: answers.append(ask(server, "drain", "--reason", "new disk")))
    draining.start()
    wait_until(lambda: server.status()["state"] == "draining", "the drain")
    code, text = ask(server, "scale", "3")
    assert (code, "drain has been at work" in text) == (1, True), text
    gate.touch()
    for client in clients:
        client.join()
    draining.join()
    ((code, text),) = answers
    assert (code, "drained: 0 failed" in text) == (0, True), text
    assert [client.response and client.response.body for client in clients] == [b"ok", b"ok"]
    assert refuses(server.port)
    assert (server.status()["state"], server.pids("worker"), server.pids("mold")) == ("drained", [], [])
    for change in (["scale", "3"], ["reload"], ["recycle"], ["upgrade"], ["drain", "--worker", "0"]):
        assert ask(server, *change)[0] == 1, change
    assert ask(server, "drain") == (0, f"{server.status()['name']} (pid {server.pid}): it is drained already\n")
    code, text = ask(server, "resume")
    assert (code, "generation 2 serves" in text) == (0, True), text
    with Load(server.port) as load:
        wait_until(lambda: load.answers > 50, "answers")
    assert load.failures == []
    server.wait_for_log("drain .*new disk|new disk: draining")
    assert server.stop() == 0


def test_a_unix_socket_is_opened_again(serve: Serve, tmp_path: Path) -> None:
    path = tmp_path / "s.sock"
    server = begin(serve, tmp_path, listen=[f"unix://{path}", "tcp://127.0.0.1:0"])
    port = server.port
    for _ in range(2):
        assert ask(server, "drain")[0] == 0
        with socket.socket(socket.AF_UNIX) as client, pytest.raises(ConnectionRefusedError):
            client.connect(str(path))
        assert ask(server, "resume")[0] == 0
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(str(path))
            client.sendall(b"GET / HTTP/1.0\r\n\r\n")
            assert client.recv(15) == b"HTTP/1.1 200 OK"
        assert get(port).status == 200  # the address had any free port, which it keeps
    assert server.stop() == 0


def test_what_cannot_start_leaves_the_server_drained(serve: Serve, tmp_path: Path) -> None:
    server = begin(serve, tmp_path, tracebacks=True)
    assert ask(server, "drain")[0] == 0
    (tmp_path / "shop.py").write_text("import nowhere_to_be_found\n")
    code, text = ask(server, "resume")
    assert (code, "nowhere_to_be_found" in text, "the server stays drained" in text) == (1, True, True), text
    assert server.status()["state"] == "drained"
    assert refuses(server.port)
    (tmp_path / "shop.py").write_text(GATED)
    assert ask(server, "resume")[0] == 0
    assert get(server.port).status == 200
    assert server.stop() == 0


@pytest.mark.parametrize("ownership", OWNERSHIPS)
def test_the_notice_comes_first_and_can_be_called_off(serve: Serve, tmp_path: Path, ownership: str) -> None:
    server = begin(serve, tmp_path, ownership=ownership, pool={"size": 2}, health="/healthz", timeouts={"notice": LONG})
    workers = server.pids("worker")
    assert get(server.port, "/healthz").status == 200
    with Client(server.port) as kept:
        assert kept.get().status == 200
        assert ask(server, "drain", "--wait", "0.1")[0] == 3
        assert server.status()["state"] == "about to drain"
        assert get(server.port, "/healthz").status == 503
        assert get(server.port).status == 200
        assert ask(server, "scale", "3")[0] == 1
        code, text = ask(server, "resume")
        assert (code, "called off" in text) == (0, True), text
        assert get(server.port, "/healthz").status == 200
        wait_until(lambda: stays(server.port), "connections that are kept")
        assert kept.get().status == 200
    assert (server.status()["state"], server.pids("worker")) == ("running", workers)
    assert ask(server, "resume") == (0, f"{server.status()['name']} (pid {server.pid}): no worker is drained\n")
    server.signal()
    server.wait_for_log("SIGTERM: still serving")
    server.signal()
    assert server.wait() == 0


def warned(server: Server) -> None:
    """Wait until every process has given notice: each does with its next sweep, and says so in its responses."""
    for _ in range(8):
        wait_until(lambda: not stays(server.port), "the notice")


@pytest.mark.parametrize("reads_ahead", [False, True])
@pytest.mark.parametrize(("ownership", "app", "pool"), IN_FLIGHT, ids=str)
def test_a_request_in_flight_during_a_notice_that_is_called_off(
    serve: Serve, tmp_path: Path, ownership: str, app: str, pool: dict[str, Any], reads_ahead: bool
) -> None:
    """Its response does not say that it is the last, so it is not."""
    keys = {"ownership": ownership, "app": {app: f"shop:{app}"}, "pool": pool, "timeouts": {"notice": LONG}}
    server = begin(serve, tmp_path, **keys)
    gate = tmp_path / "gate"
    with Client(server.port) as client:
        if reads_ahead:  # so that its connection is registered when the next request arrives
            assert client.get().status == 200
        client.ask(f"/slow?{gate}")
        server.wait_until_busy()
        assert ask(server, "drain", "--wait", "0.1")[0] == 3
        warned(server)
        assert ask(server, "resume")[0] == 0
        wait_until(lambda: all(stays(server.port) for _ in range(8)), "connections that are kept")
        gate.touch()
        assert "connection" not in client.answer().headers
        for _ in range(2):
            response = client.get()
            assert (response.body, response.headers.get("connection")) == (b"ok", None)
    assert ask(server, "drain", "--wait", "0.1")[0] == 3
    server.signal()
    server.wait_for_log("SIGTERM: still serving")
    server.signal()
    assert server.wait() == 0


def test_what_an_upgrade_has_replaced_is_drained_too(serve: Serve, tmp_path: Path) -> None:
    server = begin(serve, tmp_path, pool={"size": 2})
    gate = tmp_path / "gate"
    slow = Slow(server, gate)
    server.wait_until_busy()
    upgrade = threading.Thread(target=ask, args=(server, "upgrade"))
    upgrade.start()
    server.wait_for_log("goes on as process")
    (new,) = (pid for pid in server.pids("supervisor") if pid != server.pid)
    code, text = ask(new, "drain", "--wait", "1")
    assert (code, "not done within 1 s" in text) == (3, True), text
    gate.touch()
    code, text = ask(new, "drain")
    assert (code, "drained" in text) == (0, True), text
    slow.join()
    upgrade.join()
    assert slow.response is not None
    assert slow.response.body == b"ok"
    assert (server.pids("mold"), server.pids("worker")) == ([], [])
    assert server.stop() == 0


def test_a_drain_that_takes_too_long_cuts_requests_off(serve: Serve, tmp_path: Path) -> None:
    server = begin(serve, tmp_path, timeouts={"drain": 0.2})
    with Client(server.port) as client:
        client.send(f"GET /slow?{tmp_path}/never HTTP/1.1\r\nHost: a\r\n\r\n".encode())
        server.wait_until_busy()
        code, text = ask(server, "drain")
        assert (code, "unfinished requests were cut off" in text) == (0, True), text
    assert ask(server, "resume")[0] == 0
    assert get(server.port).status == 200
    assert server.stop() == 0


@pytest.mark.parametrize("state", ["draining", "drained", "resuming"])
def test_a_server_can_be_stopped_in_every_state(serve: Serve, tmp_path: Path, state: str) -> None:
    server = begin(serve, tmp_path)
    gate = tmp_path / "gate"
    slow = Slow(server, gate)
    server.wait_until_busy()
    if state != "draining":
        gate.touch()
    threads = [threading.Thread(target=ask, args=(server, "drain"))]
    threads[0].start()
    wait_until(lambda: server.status()["state"] == ("draining" if state == "draining" else "drained"), state)
    if state == "resuming":
        (tmp_path / "shop.py").write_text("import time; time.sleep(3600)")
        threads.append(threading.Thread(target=ask, args=(server, "resume")))
        threads[1].start()
        wait_until(lambda: server.status()["state"] == "resuming", state)
    server.signal()
    gate.touch()
    assert server.wait() == 0
    for thread in (slow, *threads):
        thread.join()
    assert slow.response is not None


def test_a_mold_that_dies_in_the_drain_loses_nothing(serve: Serve, tmp_path: Path) -> None:
    server = begin(serve, tmp_path)
    gate = tmp_path / "gate"
    slow = Slow(server, gate)
    server.wait_until_busy()
    draining = threading.Thread(target=ask, args=(server, "drain"))
    draining.start()
    wait_until(lambda: server.status()["state"] == "draining", "the drain")
    (mold,) = server.pids("mold")
    os.kill(mold, signal.SIGKILL)
    gate.touch()
    slow.join()
    draining.join()
    assert slow.response is not None
    assert slow.response.body == b"ok"
    assert server.status()["state"] == "drained"
    assert ask(server, "resume")[0] == 0
    assert get(server.port).status == 200
    assert server.stop() == 0
