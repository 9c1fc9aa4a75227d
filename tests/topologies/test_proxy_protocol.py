"""Proxies that say first for whom they come, over real sockets."""

from __future__ import annotations

import json
import socket
import struct
import subprocess
from pathlib import Path
from typing import Any

import pytest
from harness.client import Client, get
from harness.forms import half, short
from harness.machine import PATIENCE
from harness.server import Serve, Server

WSGI: dict[str, Any] = {"wsgi": "secure:wsgi"}
MODELS: dict[str, dict[str, Any]] = {
    "half-sync/half-reactive": {"app": WSGI, "pool": {"size": 1}},
    "half-sync/half-async threads": {
        "app": WSGI,
        "pool": {"kind": "thread", "size": 2},
        "ownership": "half-sync/half-async",
    },
    "leader/followers threads": {"app": WSGI, "pool": {"kind": "thread", "size": 2}, "ownership": "leader/followers"},
    "reuse-port": {"app": WSGI, "pool": {"size": 1}, "ownership": "reuse-port"},
    "asgi": {"app": {"asgi": "secure:asgi"}, "pool": {"size": 1}, "ownership": "half-sync/half-async"},
    "thread-per-connection": {"app": WSGI, "pool": "thread-per-connection"},
}
HEADER = b"PROXY TCP4 192.0.2.7 198.51.100.1 4711 443\r\n"
REQUEST = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"


def serve_proxied(serve: Serve, model: str, *trust: str, **more: Any) -> Server:
    listen = [{"at": "tcp://127.0.0.1:0", "proxy_protocol": list(trust or ("127.0.0.0/8",))}]
    return serve({"name": "proxied", "listen": listen, **MODELS[model], **more})


@pytest.mark.parametrize("model", short(MODELS, half(MODELS, 1)))
def test_the_app_sees_the_client_and_not_the_proxy(model: str, serve: Serve) -> None:
    server = serve_proxied(serve, model)
    payload = socket.inet_aton("192.0.2.7") + socket.inet_aton("198.51.100.1") + struct.pack("!HH", 4711, 443)
    for header in (HEADER, b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c" + payload):
        with Client(server.port) as client:
            client.send(header + REQUEST)
            assert json.loads(client.answer().body)["REMOTE_ADDR"] == "192.0.2.7"
            client.send(REQUEST)  # the header is there once a connection
            assert json.loads(client.answer().body)["REMOTE_ADDR"] == "192.0.2.7"
        with Client(server.port) as slow:
            for byte in header:
                slow.send(bytes([byte]))
            slow.send(REQUEST)
            assert json.loads(slow.answer().body)["REMOTE_ADDR"] == "192.0.2.7"
    with Client(server.port) as itself:
        itself.send(b"PROXY UNKNOWN\r\n" + REQUEST)
        assert json.loads(itself.answer().body)["REMOTE_ADDR"] == "127.0.0.1"
    assert server.stop() == 0


@pytest.mark.parametrize("model", ["half-sync/half-reactive", "reuse-port"])
def test_a_proxy_that_says_nothing_of_the_kind_is_not_served(model: str, serve: Serve) -> None:
    server = serve_proxied(serve, model, timeouts={"head": "1s"})
    for wrong in (REQUEST, b"PROXY TCP4 nonsense\r\n" + REQUEST, b""):
        with Client(server.port) as client:
            client.send(wrong)
            assert client.at_end()
    server.wait_for_log("no PROXY header from 127.0.0.1", 3)


def test_nobody_else_is_asked_for_it(serve: Serve) -> None:
    server = serve_proxied(serve, "reuse-port", "10.0.0.0/8")
    assert get(server.port).status == 200
    with Client(server.port) as forger:
        forger.send(HEADER + REQUEST)
        assert forger.answer().status == 400


def test_a_unix_socket_and_curl(serve: Serve, tmp_path: Path) -> None:
    path = tmp_path / "s"
    listen = [
        {"at": f"unix://{path}", "proxy_protocol": "unix"},
        {"at": "tcp://127.0.0.1:0", "proxy_protocol": "127.0.0.1"},
    ]
    server = serve({"listen": listen, **MODELS["half-sync/half-reactive"]})
    with socket.socket(socket.AF_UNIX) as sock:
        sock.settimeout(PATIENCE)
        sock.connect(str(path))
        sock.sendall(HEADER + REQUEST)
        assert b'"REMOTE_ADDR": "192.0.2.7"' in sock.recv(65536)
    found = subprocess.run(
        ["curl", "-sS", "--haproxy-protocol", f"http://127.0.0.1:{server.ports[0]}/"],
        capture_output=True,
        timeout=PATIENCE,
        check=True,
    )
    assert json.loads(found.stdout)["REMOTE_ADDR"] == "127.0.0.1"
