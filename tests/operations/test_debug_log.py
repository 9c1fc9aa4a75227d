"""POOLCTL_LOG=debug on a running server: why each connection was closed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from harness.client import Client
from harness.server import Serve

APP = """
async def app(scope, receive, send):
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
    await send({"type": "http.response.body", "body": b"ok"})
"""
MODELS: dict[str, dict[str, Any]] = {
    "held by a process": {"app": "demo", "ownership": "half-sync/half-reactive"},
    "held by a thread": {"app": "demo", "pool": {"kind": "thread", "size": 1}},
    "owned by a worker": {"app": "demo", "ownership": "reuse-port"},
    "awaited": {"app": {"asgi": "answers:app", "lifespan": "off"}, "ownership": "reuse-port"},
}


@pytest.mark.parametrize("model", MODELS)
def test_the_log_says_why_each_connection_was_closed(serve: Serve, tmp_path: Path, model: str) -> None:
    (tmp_path / "answers.py").write_text(APP)
    topology = {"pool": {"kind": "process", "size": 1}, "timeouts": {"idle": 1, "head": 1}, **MODELS[model]}
    server = serve(topology, path=tmp_path, environment={"POOLCTL_LOG": "debug"})
    with Client(server.port) as idle:
        assert idle.get("/").status == 200
        with Client(server.port) as silent:
            for client, phase in (
                (idle, r"IDLE for \S+ s \(timeouts\.idle\)"),
                (silent, r"NEW for \S+ s \(timeouts\.head\)"),
            ):
                host, port = client.sock.getsockname()
                server.wait_for_log(rf"debug connection of {host}:{port} was {phase}; closed\n")
                assert client.at_end()
