"""The key `health`: whoever reads a health check answers it, and no app sees it."""

from __future__ import annotations

import uuid
from pathlib import Path
from typing import Any

import httpx
import pytest
from harness.client import Client, get
from harness.server import Serve, Server

REACTIVE = "half-sync/half-reactive"
OWNERSHIPS = [REACTIVE, "half-sync/half-async", "leader/followers", "reuse-port"]
PROCESSES, THREADS = {"size": 2}, {"kind": "thread", "size": 2}
MODELS = [(each, "wsgi", pool) for each in OWNERSHIPS for pool in (PROCESSES, THREADS)][:-1]
MODELS += [(each, "asgi", PROCESSES) for each in OWNERSHIPS]
BASELINES = [{"kind": "iterative"}, {"kind": "thread-per-connection"}, {"kind": "process-per-connection"}]
APP = """
import os, time
def wsgi(environ, start_response):
    if environ["PATH_INFO"] == "/slow":
        while not os.path.exists(environ["QUERY_STRING"]):
            time.sleep(0.01)
    body = environ["PATH_INFO"].encode()
    start_response("200 OK", [("Content-Length", str(len(body)))])
    return [body]
async def asgi(scope, receive, send):
    body = scope["path"].encode()
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"%d" % len(body))]})
    await send({"type": "http.response.body", "body": body})
"""


def begin(serve: Serve, folder: Path, app: str = "wsgi", **keys: Any) -> Server:
    (folder / "shop.py").write_text(APP)
    return serve({"name": f"h{uuid.uuid4().hex[:8]}", "app": {app: f"shop:{app}"}, "health": "/healthz", **keys})


@pytest.mark.parametrize(("ownership", "app", "pool"), MODELS, ids=str)
def test_checks_are_answered_in_their_order_and_not_counted(
    serve: Serve, tmp_path: Path, ownership: str, app: str, pool: dict[str, Any]
) -> None:
    log = tmp_path / "log"
    server = begin(serve, tmp_path, app, ownership=ownership, pool=pool, access_log={"format": "%U", "to": str(log)})
    paths = ["/a", "/healthz", "/healthz?x=1", "/b", "/healthz", "/healthzz", "/healthz/"]
    with Client(server.port) as client:
        client.send(b"".join(b"GET %b HTTP/1.1\r\nHost: a\r\n\r\n" % path.encode() for path in paths))
        answers = [client.answer().body.decode() for _ in paths]
        expected = ["ready\n" if path.partition("?")[0] == "/healthz" else path for path in paths]
        assert answers == expected
        client.send(b"POST /healthz HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nx")
        assert client.answer().body == b"/healthz"  # only GET and HEAD ask for it
        client.send(b"HEAD /healthz HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        assert client.answer(head=True).status == 200
        assert client.at_end()
    assert server.status()["total"]["requests"] == 5
    assert server.stop() == 0
    assert log.read_text().split() == ["/a", "/b", "/healthzz", "/healthz/", "/healthz"]


@pytest.mark.parametrize("ownership", OWNERSHIPS)
@pytest.mark.parametrize("app", ["wsgi", "asgi"])
def test_the_client_knows_whether_a_check_with_a_body_is_the_last(
    serve: Serve, tmp_path: Path, app: str, ownership: str
) -> None:
    server = begin(serve, tmp_path, app, ownership=ownership, pool=PROCESSES)
    with Client(server.port) as client:
        client.send(b"GET /healthz HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n")
        response = client.answer()
        if response.status == 100:
            client.send(b"hello")
            response = client.answer()
        assert response.body == b"ready\n"
        if response.headers.get("connection") == "close":
            assert client.at_end()
        else:
            assert client.get("/a").body == b"/a"
    assert server.stop() == 0


@pytest.mark.parametrize("pool", BASELINES, ids=str)
def test_servers_without_a_pool_answer_too(serve: Serve, tmp_path: Path, pool: dict[str, Any]) -> None:
    server = begin(serve, tmp_path, pool=pool)
    assert [get(server.port, path).body for path in ("/healthz", "/x")] == [b"ready\n", b"/x"]
    assert server.stop() == 0


@pytest.mark.parametrize("app", ["wsgi", "asgi"])
def test_checks_over_http2(serve: Serve, tmp_path: Path, app: str) -> None:
    keys = {"ownership": "reuse-port", "pool": {"size": 1}, "protocol": {"http2": True}}
    server = begin(serve, tmp_path, app, **keys)
    with httpx.Client(http1=False, http2=True, base_url=f"http://127.0.0.1:{server.port}") as client:
        answers = [client.get(path) for path in ("/healthz", "/x", "/healthz")]
    assert [(each.status_code, each.text) for each in answers] == [(200, "ready\n"), (200, "/x"), (200, "ready\n")]
    assert answers[0].http_version == "HTTP/2"
    assert server.status()["total"]["requests"] == 1
    assert server.stop() == 0


@pytest.mark.parametrize("pool", [PROCESSES, THREADS], ids=str)
def test_a_front_answers_although_all_workers_are_stuck_and_tasks_wait(
    serve: Serve, tmp_path: Path, pool: dict[str, Any]
) -> None:
    gate = tmp_path / "gate"
    server = begin(serve, tmp_path, ownership=REACTIVE, pool=pool, limits={"waiting": 3})
    clients = [Client(server.port) for _ in range(8)]
    for client in clients[:2]:
        client.send(f"GET /slow?{gate} HTTP/1.1\r\nHost: a\r\n\r\n".encode())
    server.wait_until_busy(2)
    for client in clients[2:]:
        client.send(f"GET /slow?{gate} HTTP/1.1\r\nHost: a\r\n\r\n".encode())
    assert get(server.port, "/healthz").body == b"ready\n"
    gate.touch()
    assert {client.answer().status for client in clients} == {200, 503}
    for client in clients:
        client.close()
    assert server.stop() == 0


def test_a_check_is_no_session_of_another_worker(serve: Serve, tmp_path: Path) -> None:
    affinity = {"use": "header", "name": "X-Session"}
    server = begin(serve, tmp_path, affinity=affinity, dispatch="round-robin", ownership=REACTIVE)
    assert get(server.port, "/healthz").body == b"ready\n"
    assert server.status()["total"]["requests"] == 0
    assert server.stop() == 0
