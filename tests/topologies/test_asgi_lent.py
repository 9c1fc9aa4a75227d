"""Requests that a front lends to workers which have many in hand: half-sync/half-reactive with an ASGI application."""

from __future__ import annotations

import hashlib
import json
import os
import re
import signal
import socket
from pathlib import Path
from typing import Any

import pytest
from harness.client import Client, clients, get
from harness.server import Serve, Server, wait_until

POOLS: dict[str, dict[str, Any]] = {"process": {"kind": "process", "size": 1}, "thread": {"kind": "thread", "size": 1}}


def serve_lent(serve: Serve, pool: str = "process", concurrency: int = 100, **more: Any) -> Server:
    app = {"use": "asgi", "target": "lent:app", "concurrency": concurrency}
    tracebacks = more.pop("tracebacks", False)
    topology = {"name": "lent", "app": app, "ownership": "half-sync/half-reactive", "pool": POOLS[pool], **more}
    return serve(topology, tracebacks=tracebacks)


@pytest.mark.parametrize("pool", POOLS)
def test_a_worker_has_many_in_flight(pool: str, serve: Serve) -> None:
    server = serve_lent(serve, pool)
    with clients(server.port, 40) as many:
        for client in many:
            client.ask("/meet?40")
        assert {client.answer().body for client in many} == {b"met"}
        for client in many:  # and their connections are kept
            assert client.get("/").status == 200
    told = json.loads(get(server.port).body)
    assert told["most"] == 40
    assert told["greeting"] == "hello"
    assert server.stop() == 0
    assert "the app has ended" in server.log


@pytest.mark.parametrize("pool", POOLS)
def test_no_more_than_its_concurrency(pool: str, serve: Serve) -> None:
    server = serve_lent(serve, pool, concurrency=3)
    with clients(server.port, 9) as many:
        for client in many:
            client.ask("/wait?0.1")
        assert {client.answer().body for client in many} == {b"waited"}
    assert json.loads(get(server.port).body)["most"] == 3


@pytest.mark.parametrize("pool", POOLS)
def test_bodies(pool: str, serve: Serve) -> None:
    server = serve_lent(serve, pool)
    with Client(server.port) as client:
        for size in (10, 100_000, 3_000_000):
            sent = os.urandom(size)
            client.ask("/digest", method="POST", body=sent)
            assert client.answer().body.decode() == hashlib.sha256(sent).hexdigest()
            client.ask("/", method="POST", body=sent)  # which nobody reads
            assert client.answer().status == 200
        assert len(client.get("/large?100").body) == 100 * 65536
        client.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n" * 5)
        assert [client.answer().status for _ in range(5)] == [200] * 5


def test_what_the_app_raises(serve: Serve) -> None:
    server = serve_lent(serve, tracebacks=True)
    assert get(server.port, "/fail").status == 500
    with Client(server.port) as client, pytest.raises(EOFError):
        client.get("/late")
    assert get(server.port).status == 200


def test_all_that_a_killed_worker_had_in_flight_is_answered(serve: Serve) -> None:
    server = serve_lent(serve)
    (worker,) = server.pids("worker")
    with clients(server.port, 10) as many:
        for client in many:
            client.ask("/wait?30")
        server.wait_for_log("waits", 10)
        os.kill(worker, signal.SIGKILL)
        assert [client.answer().status for client in many] == [502] * 10
    assert get(server.port).status == 200


@pytest.mark.parametrize("pool", POOLS)
def test_a_slow_reader_costs_no_memory(pool: str, serve: Serve) -> None:
    server = serve_lent(serve, pool, timeouts={"write": "1s"})
    with Client(server.port) as slow:
        slow.ask("/large?2000")
        assert get(server.port).status == 200
        server.wait_for_log("cut off in the middle")
    for pid in server.tree():
        peak = int(re.search(r"VmHWM:\s+(\d+)", Path(f"/proc/{pid}/status").read_text())[1])  # type: ignore[index]
        assert peak < 100 * 1024


@pytest.mark.parametrize("pool", POOLS)
def test_a_client_that_breaks_off(pool: str, serve: Serve) -> None:
    server = serve_lent(serve, pool)
    with Client(server.port) as client:
        client.ask("/gone")
        server.wait_for_log("waits for the end")
        client.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    server.wait_for_log("told of the end")
    assert get(server.port).status == 200


@pytest.mark.parametrize("pool", POOLS)
def test_a_stop_finishes_what_is_in_flight(pool: str, serve: Serve) -> None:
    server = serve_lent(serve, pool)
    with clients(server.port, 5) as many:
        for client in many:
            client.ask("/wait?0.5")
        server.wait_for_log("waits", 5)
        server.signal()
        assert {client.answer().body for client in many} == {b"waited"}
    assert server.wait() == 0
    assert "the app has ended" in server.log


def test_a_request_for_a_websocket_is_one_of_http_here(serve: Serve) -> None:
    server = serve_lent(serve)
    with Client(server.port) as client:
        for _ in range(2):
            client.send(
                b"GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
            )
            assert client.answer().status == 200


def test_a_line_for_each(serve: Serve, tmp_path: Path) -> None:
    log = tmp_path / "access.log"
    server = serve_lent(serve, access_log={"format": "common", "to": str(log)})
    with Client(server.port) as client:
        client.get("/large?3")
    wait_until(lambda: '"GET /large?3 HTTP/1.1" 200 ' in log.read_text(), "the line")
