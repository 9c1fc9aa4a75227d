"""Apps that close their streams, raise from signal handlers, fork and raise, or replace functions of os."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from harness.client import Client, get
from harness.server import wait_until

from faults.models import ALL, Start

APPS = Path(__file__).parent / "apps"
MODELS = [
    *(("wsgi", name) for name in ("hshr-processes", "hsha-front-processes", "lf-processes", "reuse-port")),
    *(("asgi", name) for name in ("hshr-processes", "reuse-port")),
]


def start(serve: Start, app: str, name: str) -> Any:
    target = "hostile:application" if app == "wsgi" else "hostile:asgi"
    return serve({**ALL[name].topology(1), "app": {app: target}}, path=APPS, tracebacks=True)


@pytest.mark.parametrize("path", ["/closed", "/alarm", "/fork", "/write"])
@pytest.mark.parametrize(("app", "name"), MODELS)
def test_the_client_is_answered_and_the_worker_lives(serve: Start, app: str, name: str, path: str) -> None:
    server = start(serve, app, name)
    workers = server.pids("worker")
    with Client(server.port) as client:
        client.ask(path)
        assert client.answer().status == (500 if path == "/closed" else 200)
    if path == "/alarm":
        server.wait_for_log("Panic: from a signal handler")
    wait_until(lambda: server.tree()[-1] == max(server.tree()) and len(server.pids("worker")) == 1, "no child left")
    for _ in range(3):
        assert get(server.port).status == 200
    assert server.pids("worker") == workers
    assert server.stop() == 0
