"""The key `timeouts.notice`: between the signal to stop and the drain everything is served, and every response is the
last of its connection."""

from __future__ import annotations

import os
import signal
import uuid
from pathlib import Path
from typing import Any

import pytest
from harness.client import Client, get
from harness.commands import poolctl
from harness.machine import PATIENCE
from harness.server import Serve, Server, wait_until
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

OWNERSHIPS = ["half-sync/half-reactive", "half-sync/half-async", "leader/followers", "reuse-port"]
ASGI = """
async def app(scope, receive, send):
    if scope["type"] == "websocket":
        await receive()
        await send({"type": "websocket.accept"})
        while (message := await receive())["type"] == "websocket.receive":
            await send({"type": "websocket.send", "text": message["text"]})
        return
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
    await send({"type": "http.response.body", "body": b"ok"})
"""
LONG = 3600.0  # seconds; the test ends the notice


def begin(serve: Serve, notice: float, **keys: Any) -> Server:
    topology = {"name": f"n{uuid.uuid4().hex[:8]}", "app": "demo", "timeouts": {"notice": notice}, **keys}
    return serve(topology)


def closes(client: Client) -> bool:
    """Whether the response to a request says that it is the last."""
    response = client.get()
    assert response.status == 200
    return response.headers.get("connection") == "close"


def fresh_closes(server: Server) -> bool:
    with Client(server.port) as client:
        return closes(client)


@pytest.mark.parametrize("ownership", OWNERSHIPS)
@pytest.mark.parametrize("app", ["demo", {"asgi": "shop:app"}], ids=["wsgi", "asgi"])
def test_clients_are_told_with_a_response_and_nothing_is_refused(
    serve: Serve, tmp_path: Path, ownership: str, app: Any
) -> None:
    (tmp_path / "shop.py").write_text(ASGI)
    server = begin(serve, LONG, app=app, ownership=ownership, pool={"size": 2})
    with Client(server.port) as idle, Client(server.port) as busy:
        assert (closes(idle), closes(busy)) == (False, False)
        server.signal()
        server.wait_for_log("still serving for 3600 s")
        assert server.status()["state"] == "stopping"
        with Client(server.port) as fresh:
            for client in (fresh, busy, idle):  # each worker notices by itself, within half a second
                wait_until(lambda client=client: closes(client), "a response that is the last")
                assert client.at_end()
    server.signal()  # ends the notice
    assert server.wait() == 0
    assert "draining for up to" in server.log


@pytest.mark.parametrize("ownership", OWNERSHIPS[1:])
def test_a_websocket_that_begins_in_the_notice_goes_on_until_the_stop(
    serve: Serve, tmp_path: Path, ownership: str
) -> None:
    (tmp_path / "shop.py").write_text(ASGI)
    server = begin(serve, LONG, app={"asgi": "shop:app"}, ownership=ownership, pool={"size": 1})
    server.signal()
    server.wait_for_log("still serving for 3600 s")
    wait_until(lambda: fresh_closes(server), "the notice")
    with connect(f"ws://127.0.0.1:{server.port}/") as client:
        for word in ("one", "two"):
            client.send(word)
            assert client.recv(PATIENCE) == word
        server.signal()  # ends the notice
        with pytest.raises(ConnectionClosed):
            client.recv(PATIENCE)
        assert client.close_code == 1012
    assert server.wait() == 0


def test_the_drain_begins_when_the_notice_is_over(serve: Serve) -> None:
    server = begin(serve, 0.2)
    server.signal()
    assert server.wait() == 0
    server.wait_for_log("the notice is over: draining")


def test_a_mold_that_dies_in_the_notice_is_replaced(serve: Serve) -> None:
    server = begin(serve, LONG, pool={"size": 2})
    server.signal()
    server.wait_for_log("still serving")
    (mold,) = server.pids("mold")
    os.kill(mold, signal.SIGKILL)
    server.wait_for_log("generation 2 of .* is ready")
    assert get(server.port).status == 200
    server.signal()
    assert server.wait() == 0


def test_commands_know_the_notice(serve: Serve, tmp_path: Any) -> None:
    server = begin(serve, LONG)
    server.signal()
    server.wait_for_log("still serving")
    for command in (["reload"], ["scale", str(server.pid), "3"]):
        done = poolctl(command[0], *(command[1:] or [str(server.pid)]), cwd=tmp_path)
        assert (done.returncode, "the server is being stopped" in done.stderr) == (1, True)
    done = poolctl("stop", str(server.pid), "--now", cwd=tmp_path)
    assert done.returncode == 0
