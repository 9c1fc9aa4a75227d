"""Whatever a request may change is its own: its context, its scope and all in it."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import httpx
import pytest
from harness.awaited import MODELS, OWNING, topology
from harness.client import Client, clients, get
from harness.forms import half, short
from harness.server import Serve
from websockets.sync.client import connect

ASK = b"GET /user?%d HTTP/1.1\r\nHost: a\r\n\r\n"
OWN = ["nobody", "startup", None, "at the start", False, ["http.response.pathsend"], None, False, []]


@pytest.mark.parametrize("model", short(MODELS, half(MODELS)))
def test_a_request_finds_nothing_of_another(model: str, serve: Serve) -> None:
    """Of other clients, of those before it on its connection, and when all slots were in use."""
    server = serve(topology(model, concurrency=2))
    with clients(server.port, 5) as several:
        for number in range(2):
            for client in several:
                client.ask(f"/user?{number}")
            for client in several:
                assert json.loads(client.answer().body) == OWN
    for _ in range(2):
        assert json.loads(get(server.port, "/user?alone").body) == OWN
    with Client(server.port) as client:
        client.send(b"".join(ASK % number for number in range(5)))
        for _ in range(5):
            assert json.loads(client.answer().body) == OWN
    assert server.stop() == 0


@pytest.mark.parametrize("model", ["reuse-port", "accept-threads"])
def test_over_http2_and_websockets(model: str, serve: Serve) -> None:
    server = serve(topology(model))

    async def visit() -> None:
        url = f"http://127.0.0.1:{server.port}"
        async with httpx.AsyncClient(http1=False, http2=True, base_url=url, timeout=20, trust_env=False) as client:
            for _ in range(2):
                for response in await asyncio.gather(*(client.get(f"/user?{n}") for n in range(5))):
                    assert response.json() == OWN

    asyncio.run(visit())
    for name in ("first", "second"):
        with connect(f"ws://127.0.0.1:{server.port}/", open_timeout=10) as client:
            said = []
            for _ in range(2):
                client.send(name)
                said.append(client.recv(10))
            assert said == ["nobody", name]  # the whole of a WebSocket is one request


@pytest.mark.parametrize("model", ["reuse-port", "accept-threads"])
@pytest.mark.parametrize("app", ["async-lines", "async-stream"])
def test_functions(app: str, model: str, serve: Serve) -> None:
    """Each message, also of one burst; each conversation."""
    target: dict[str, Any] = {app: f"raising:whose_{app.removeprefix('async-')}"}
    server = serve({"app": target, **OWNING[model]})
    for _ in range(3):
        with Client(server.port) as client:
            client.send(b"one\ntwo\nlater\nfour\n")
            said = [client.line() for _ in range(4 if app == "async-lines" else 1)]
            assert said == [b"nobody\n"] * len(said)
    assert server.stop() == 0
