"""Idle keep-alive connections: what one costs in the memory of the server's processes (the kernel's share aside)."""

from __future__ import annotations

import re
import resource
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
from harness.server import Serve, Server

MOST = 8192  # bytes for each
FIRST = 1200  # connections that are there before the measuring begins: what is remembered of some is full then
REQUEST = (
    b"GET / HTTP/1.1\r\nHost: x\r\nUser-Agent: Mozilla/5.0 (X11; Linux x86_64)\r\nAccept: */*\r\nCookie: a=%d\r\n\r\n"
)
ASGI = """
async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        raise NotImplementedError
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
    await send({"type": "http.response.body", "body": b"ok"})
"""
MODELS: dict[str, dict[str, Any]] = {
    "half-sync/half-reactive": {"app": "demo", "ownership": "half-sync/half-reactive"},
    "half-sync/half-async": {"app": "demo", "ownership": "half-sync/half-async"},
    "leader/followers, threads": {
        "app": "demo",
        "ownership": "leader/followers",
        "pool": {"kind": "thread", "size": 2},
    },
    "reuse-port": {"app": "demo", "ownership": "reuse-port"},
    "reuse-port, asynchronous": {"app": {"asgi": "idle_app:app"}, "ownership": "reuse-port"},
}


def used(server: Server) -> int:
    """Bytes of memory of all processes of a server; what several share is divided among them (PSS)."""
    total = 0
    for pid in server.tree():
        found = re.search(r"^Pss:\s+(\d+) kB", Path(f"/proc/{pid}/smaps_rollup").read_text(), re.MULTILINE)
        assert found is not None
        total += int(found[1]) * 1024
    return total


@contextmanager
def descriptors(count: int) -> Iterator[int]:
    """Room for so many connections in this process, or as many as its hard limit leaves; the number."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    room = count + 256 if hard == resource.RLIM_INFINITY else min(count + 256, hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(room, soft), hard))
    try:
        yield min(count, max(room, soft) - 256)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def idle(stack: ExitStack, port: int, net: int, count: int, first: int) -> None:
    """Open so many connections that have had an answer; ``first``: the number of their first request. ``net``: another
    one each time, for the ports of closed connections stay taken for a minute."""
    for number in range(first, first + count):
        sock = socket.create_connection(("127.0.0.1", port), 10, (f"127.0.{net}.{1 + number // 5000}", 0))
        stack.enter_context(sock)
        sock.sendall(REQUEST % number)
        assert sock.recv(4096).startswith(b"HTTP/1.1 200 ")


def cost(serve_typed: Serve, folder: Path, name: str, count: int) -> float:
    """Bytes for each of so many idle connections."""
    (folder / "idle_app.py").write_text(ASGI)
    net = 1 + list(MODELS).index(name)
    topology = {"pool": {"kind": "process", "size": 1}, **MODELS[name]}
    with descriptors(count + FIRST) as room, ExitStack() as stack:
        server = serve_typed({**topology, "limits": {"connections": room + FIRST}, "timeouts": {"idle": "600s"}})
        idle(stack, server.port, net, FIRST, 0)
        before = used(server)
        idle(stack, server.port, net, room - FIRST, FIRST)
        return (used(server) - before) / (room - FIRST)


@pytest.mark.parametrize("name", ["half-sync/half-reactive", "reuse-port, asynchronous"])
def test_an_idle_connection_costs_little(serve_typed: Serve, tmp_path: Path, name: str) -> None:
    assert 0 < cost(serve_typed, tmp_path, name, 800) < MOST


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("name", MODELS)
def test_ten_thousand_idle_connections_cost_little(serve_typed: Serve, tmp_path: Path, name: str) -> None:
    assert 0 < cost(serve_typed, tmp_path, name, 10_000) < MOST
