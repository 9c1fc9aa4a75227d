"""The environ of a request and all in it are its own, whatever a request before did to its own."""

from __future__ import annotations

from typing import Any

import pytest
from harness.client import Client
from harness.forms import half, short
from harness.server import Serve

PROCESS, THREAD = {"kind": "process", "size": 1}, {"kind": "thread", "size": 2}
MODELS: dict[str, dict[str, Any]] = {
    "half-sync/half-reactive": {"pool": PROCESS, "ownership": "half-sync/half-reactive"},
    "half-sync/half-reactive, threads": {"pool": THREAD, "ownership": "half-sync/half-reactive"},
    "half-sync/half-async": {"pool": PROCESS, "ownership": "half-sync/half-async"},
    "leader/followers": {"pool": THREAD, "ownership": "leader/followers"},
    "reuse-port": {"pool": PROCESS, "ownership": "reuse-port"},
    "iterative": {"pool": "iterative"},
}
PATHS = ["/taint", "/taint", "/look", "/taint?a", "/look", "/look"]


@pytest.mark.parametrize("name", short(MODELS, half(MODELS)))
def test_what_a_request_leaves_in_its_environ_no_other_finds(serve: Serve, name: str) -> None:
    server = serve({"app": {"wsgi": "tainted:answer"}, **MODELS[name]})
    asked = [
        f"{method} {path} HTTP/1.{minor}\r\nHost: a\r\nConnection: keep-alive\r\nX-Role: user\r\n{body}"
        for method, body in (("GET", "\r\n"), ("POST", "Content-Length: 3\r\n\r\nabc"))
        for minor in (1, 0)
        for path in PATHS
    ]
    for pipelined in (True, False):
        with Client(server.port) as client:
            if pipelined:
                client.send("".join(asked).encode())
            for each in asked:
                if not pipelined:
                    client.send(each.encode())
                assert client.answer().body.decode() == each.split(" ")[1].partition("?")[0]
    assert server.stop() == 0
