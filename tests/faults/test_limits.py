"""The limits on connections, waiting tasks and descriptors: what happens past them, and that it passes."""

from __future__ import annotations

import contextlib
import os
import select
import socket
from pathlib import Path

import pytest
from harness.client import Client, clients, get
from harness.machine import PATIENCE
from harness.server import Serve, at_rest, wait_until

from faults.models import ALL, FEW, MODELS, begin, busy, models

LENT = [name for name, model in ALL.items() if model.lends]


def refused(client: Client) -> bool:
    """Whether the client was turned away with the words that HTTP has for it."""
    try:
        response = client.answer()
    except (EOFError, ConnectionError):
        return False
    assert response.status == 503
    assert int(response.headers["retry-after"]) > 0
    assert response.headers["connection"] == "close"
    return client.at_end()


@models()
def test_connections_past_the_limit_get_a_503_and_the_others_are_served(serve_typed: Serve, name: str) -> None:
    model, server = begin(serve_typed, name, 2, limits={"connections": 8})
    inside: list[Client] = []
    outside = 0
    try:
        for _ in range(24):
            client = Client(server.port)
            client.ask()
            response = client.answer()
            if response.status == 200:
                inside.append(client)
            else:
                assert response.status == 503
                assert int(response.headers["retry-after"]) > 0
                assert client.at_end()
                client.close()
                outside += 1
        assert len(inside) <= 8
        if model.ownership.get("accept") == "front" or model.lends or not model.processes:
            assert len(inside) == 8  # where each worker has a share of its own, the kernel may fill one before another
        assert outside == 24 - len(inside)
        assert all(client.get().status == 200 for client in inside)
    finally:
        for client in inside:
            client.close()
    wait_until(lambda: get(server.port).status == 200, "room after they have left")


@pytest.mark.parametrize("name", ["hshr-processes", "hsha-front-processes", "lf-processes", "lf-threads"])
def test_connections_past_the_limit_are_closed_where_the_protocol_has_no_words(serve_typed: Serve, name: str) -> None:
    model = ALL[name]
    affinity = "connection"
    topology = {**model.topology(1, limits={"connections": 2}), "app": "echo", "affinity": affinity}
    if name == "hshr-processes":
        topology = {**topology, "app": {"lines": "builtins:bytes"}, "affinity": "request"}
    server = serve_typed(topology)
    with clients(server.port, 2) as inside:
        for client in inside:
            client.send(b"hello\n")
            assert client.sock.recv(5)
        with Client(server.port) as outside:
            assert outside.at_end()
        for client in inside:
            client.send(b"hello\n")
            assert client.sock.recv(5)


@models(LENT)
def test_requests_past_the_limit_on_waiting_tasks_get_a_503(serve_typed: Serve, name: str) -> None:
    model, server = begin(serve_typed, name, 1, limits={"waiting": 4})
    with clients(server.port, 16) as many:
        blocking = [busy(server.port, 1) for _ in range(model.threads)]
        wait_until(lambda: server.busy() and server.status()["in_flight"] >= model.threads, "busy threads")
        for client in many:
            client.ask("/")
        statuses = [client.answer().status for client in many]
        assert sorted(set(statuses)) == [200, 503]
        assert 4 <= statuses.count(200) <= 5
        for client in blocking:
            assert client.answer().status == 200
            client.close()
    assert get(server.port).status == 200


@pytest.mark.parametrize("name", ["hsha-front-processes", "hsha-front-threads", "hsha-hybrid"])
def test_connections_past_the_limit_on_waiting_tasks_get_a_503(serve_typed: Serve, name: str) -> None:
    model, server = begin(serve_typed, name, 1, limits={"waiting": 4})
    blocking = [busy(server.port, 1.5) for _ in range(model.threads)]
    wait_until(lambda: server.busy() and server.status()["in_flight"] >= model.threads, "busy threads")
    with clients(server.port, 16) as many:
        for client in many:
            client.ask("/")
        statuses = [client.answer().status for client in many]
        assert sorted(set(statuses)) == [200, 503]
        assert 4 <= statuses.count(200) <= 6
    for client in blocking:
        assert client.answer().status == 200
        client.close()
    assert get(server.port).status == 200


def resident(pids: list[int]) -> int:
    """Their resident bytes; what they share is counted for each, so look at differences only."""
    return sum(int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") for pid in pids)


@models(MODELS, always=FEW)
def test_memory_stays_bounded_however_much_a_client_sends_ahead(serve_typed: Serve, name: str) -> None:
    """A client that sends requests and never reads: it is stopped by its own full buffers, not by our memory."""
    _, server = begin(serve_typed, name, 2)
    assert get(server.port).status == 200
    before = resident(server.tree())
    request = b"GET /bytes?count=60000 HTTP/1.1\r\nHost: x\r\n\r\n" * 500
    with Client(server.port) as flood:
        flood.sock.setblocking(False)
        sent = 0
        while sent < 40_000_000 and select.select([], [flood.sock], [], 0.5)[1]:
            with contextlib.suppress(BlockingIOError):
                sent += flood.sock.send(request)
        assert get(server.port).status == 200
        assert resident(server.tree()) - before < 40e6


LOW = ("prlimit", "--nofile=40:40")
FEW_CLIENTS = ("prlimit", "--nofile=64:64")  # of which a process of threads has 34 before its first client


@models(MODELS, always=FEW)
def test_whoever_comes_when_descriptors_are_short_is_told_so(serve_typed: Serve, name: str) -> None:
    """The limit on connections is what the process has descriptors for, so that it is reached before accept fails."""
    model = ALL[name]
    server = serve_typed(model.topology(2), environment=model.environment, prefix=FEW_CLIENTS)
    pids = server.tree()
    many: list[socket.socket] = []
    try:
        many.extend(socket.create_connection(("127.0.0.1", server.port), PATIENCE) for _ in range(120))
        wait_until(lambda: any(map(told, many)), "a 503")
        looks = [all(map(at_rest, pids)) for _ in range(20) if not select.select([], [], [], 0.05)[0]]
        assert looks.count(True) > 10  # one that spins never sleeps
        assert len(server.log) < 20_000
    finally:
        for sock in many:
            sock.close()
    wait_until(lambda: served(server.port), "an answer after they have left")
    assert server.tree() == pids, server.log
    assert server.stop() == 0


def told(sock: socket.socket) -> bool:
    """Whether it has been told that there is no room."""
    try:
        return b" 503 " in sock.recv(100, socket.MSG_PEEK | socket.MSG_DONTWAIT)
    except OSError:
        return False


HOARDING = """
import os
held = []
def application(environ, start_response):
    if environ["PATH_INFO"] == "/hoard":
        try:
            while True:
                held.append(os.open(os.devnull, os.O_RDONLY))
        except OSError:
            os.close(held.pop())  # one is enough for nobody behind a front
    start_response("200 OK", [("Content-Length", "2")])
    return [b"ok"]
"""


@models(("lf-processes", "lf-threads", "reuse-port"), ("lf-processes", "lf-threads"))
def test_a_server_out_of_descriptors_goes_on_with_each_that_is_closed(
    serve_typed: Serve, name: str, tmp_path: Path
) -> None:
    """An app that takes them all: whoever waits is served when somebody has left, one after the other."""
    (tmp_path / "hoarding.py").write_text(HOARDING)
    model = ALL[name]
    topology = {**model.topology(1 if model.processes else 2), "app": {"wsgi": "hoarding"}}
    server = serve_typed(topology, environment=model.environment, prefix=LOW, path=tmp_path)
    pids = server.tree()
    with Client(server.port) as first:
        assert first.get("/hoard").status == 200
        with clients(server.port, 12) as waiting:
            for client in waiting:
                client.ask("/", close=True)
            first.close()
            assert [client.answer().status for client in waiting] == [200] * 12
    assert server.tree() == pids, server.log
    assert server.stop() == 0


def served(port: int) -> bool:
    try:
        return get(port).status == 200
    except (OSError, EOFError):
        return False
