"""Apps that close their streams, raise from signal handlers, fork and raise, or replace functions of os."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from harness.client import Client, get
from harness.server import ROOT, Serve, wait_until

from faults.models import ALL

APPS = Path(__file__).parent / "apps"
MODELS = [
    *(("wsgi", name) for name in ("hshr-processes", "hsha-front-processes", "lf-processes", "reuse-port")),
    *(("asgi", name) for name in ("hshr-processes", "reuse-port")),
]


def serve_hostile(serve: Serve, app: str, name: str) -> Any:
    target = "hostile:application" if app == "wsgi" else "hostile:asgi"
    return serve({**ALL[name].topology(1), "app": {app: target}}, tracebacks=True)


@pytest.mark.parametrize("path", ["/closed", "/alarm", "/fork", "/write"])
@pytest.mark.parametrize(("app", "name"), MODELS)
def test_the_client_is_answered_and_the_worker_lives(serve: Serve, app: str, name: str, path: str) -> None:
    server = serve_hostile(serve, app, name)
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


@pytest.mark.parametrize(("app", "name"), MODELS)
def test_no_client_reads_the_log_when_the_app_has_closed_its_standard_error(serve: Serve, app: str, name: str) -> None:
    """Whose descriptor may be the next client's."""
    server = serve_hostile(serve, app, name)
    with Client(server.port) as kept:
        assert kept.get("/two").status == 200
        for _ in range(4):
            with Client(server.port) as client:
                client.ask("/raise", close=True)
                response = client.answer()
                assert (response.status, response.body) == (500, b"500 Internal Server Error\n")
                assert client.at_end()
        assert kept.get("/").status == 200
    server.wait_for_log("which no client is to read", 4)  # a copy of the descriptor of the start has it
    assert server.stop() == 0


@pytest.mark.parametrize("path", ["/unable", "/closed"])
@pytest.mark.parametrize("name", ["hshr-processes", "hsha-front-processes", "reuse-port"])
def test_a_worker_whose_event_loop_cannot_run_is_replaced(
    serve_typed: Serve, name: str, path: str, tmp_path: Path
) -> None:
    (tmp_path / "sitecustomize.py").write_text(
        "import sys\nsys.modules['uvloop'] = None"
    )  # whose loops have no such parts
    server = serve_typed(
        {**ALL[name].topology(1), "app": {"asgi": "hostile:unable"}},
        environment={"PYTHONPATH": os.pathsep.join([str(tmp_path), str(APPS), str(ROOT)])},
        tracebacks=True,
    )
    before = server.pids("worker")
    with Client(server.port) as client:
        client.ask(path)
        wait_until(lambda: server.pids("worker") and server.pids("worker") != before, "another worker")
    assert get(server.port).status == 200
    assert server.stop() == 0


UNSPEAKABLE = """
class Bad(BaseException):
    def __repr__(self):
        raise KeyboardInterrupt
    __str__ = __repr__
class Plain(Exception):
    __str__ = __repr__ = Bad.__repr__
async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        raise {raised}
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
    await send({"type": "http.response.body", "body": b"ok"})
"""


@pytest.mark.parametrize("raised", ["Bad", "Plain"])
@pytest.mark.parametrize("mode", ["on", "auto"])
@pytest.mark.parametrize("name", ["hshr-processes", "lf-threads"])
def test_a_start_that_raises_what_cannot_be_told_comes_to_its_end(
    serve: Serve, name: str, mode: str, raised: str, tmp_path: Path
) -> None:
    (tmp_path / "unspeakable.py").write_text(UNSPEAKABLE.replace("{raised}", raised))
    app = {"use": "asgi", "target": "unspeakable:app", "lifespan": mode}
    model = ALL[name].topology(1)
    if name == "lf-threads":
        model["affinity"] = "connection"  # each thread has an event loop, and connections are bound to it
    if mode == "auto":
        server = serve({**model, "app": app}, path=tmp_path, tracebacks=True)
        assert get(server.port).body == b"ok"
        assert server.stop() == 0
        return
    with pytest.raises(AssertionError, match=r"error\[PC411\]|failed to start"):
        serve({**model, "app": app}, path=tmp_path, tracebacks=True)


ALARMED = """
import signal
def ring(number, frame):
    raise TimeoutError("rung")
signal.signal(signal.SIGALRM, ring)
signal.setitimer(signal.ITIMER_REAL, 0.2, 0.2)
def application(environ, start_response):
    signal.setitimer(signal.ITIMER_REAL, 0)
    start_response("200 OK", [("Content-Length", "2")])
    return [b"ok"]
"""


@pytest.mark.parametrize("name", ["hshr-processes", "lf-threads"])
def test_a_signal_handler_of_a_preloaded_app_does_not_end_the_mold(serve: Serve, name: str, tmp_path: Path) -> None:
    (tmp_path / "alarmed.py").write_text(ALARMED)
    server = serve({**ALL[name].topology(2, preload=True), "app": {"wsgi": "alarmed"}}, path=tmp_path, tracebacks=True)
    tree = server.tree()
    server.wait_for_log("the mold.s loop raised an error; continuing", 3)
    assert get(server.port).status == 200
    assert server.tree() == tree
    assert server.stop() == 0
