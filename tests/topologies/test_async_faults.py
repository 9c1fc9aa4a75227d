"""Whatever an asynchronous app raises ends its request alone: the worker lives, and everything is freed."""

from __future__ import annotations

import asyncio
import socket
from typing import Any

import httpx
import pytest
from harness.awaited import MODELS, OWNING, topology
from harness.client import Client, get
from harness.forms import half, short
from harness.server import Serve, Server
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect

RAISED = ("panic", "keyboard", "exit", "generator", "cancelled", "group", "stop", "ordinary")


def worker(server: Server) -> list[int]:
    return server.pids("worker") + server.pids("threads")


@pytest.mark.parametrize("model", short(MODELS, half(MODELS, 1)))
def test_what_an_app_raises_ends_its_request_alone(model: str, serve: Serve) -> None:
    server = serve(topology(model, concurrency=2, timeouts={"request": "5s"}), tracebacks=True)
    before = worker(server)
    with Client(server.port) as neighbour:
        assert neighbour.get().status == 200
        for word in RAISED:
            for path in ("/before", "/later", "/before"):  # more than there are slots
                assert get(server.port, f"{path}?{word}").status == 500, (path, word)
            with Client(server.port) as client:
                client.ask(f"/begun?{word}")
                with pytest.raises((EOFError, ConnectionError)):
                    client.answer()
            with Client(server.port) as client:
                assert client.get(f"/after?{word}").body == b"whole"
                assert client.get(f"/task?{word}").body == b"whole"
        assert get(server.port, "/stops").body == b"whole"
        assert neighbour.get().status == 200
        server.wait_for_log("adverse.Panic\n")
        if model in ("reactive-processes", "reuse-port"):
            assert get(server.port, "/sleep?60").status == 504  # timeouts.request still holds
    assert worker(server) == before
    assert server.stop() == 0
    assert "the app has ended" in server.log


@pytest.mark.parametrize("model", ["reactive-processes", "reactive-threads", "reuse-port"])
def test_a_request_that_does_not_hear_its_cancellation_is_ended_without_its_app(model: str, serve: Serve) -> None:
    server = serve(topology(model, concurrency=1, timeouts={"request": "500ms", "drain": "2s"}))
    with Client(server.port) as neighbour:
        assert neighbour.get().status == 200
        for _ in range(2):  # more than there are slots
            with Client(server.port) as client:
                assert client.get("/deaf").status == 504
                assert client.at_end()
        assert neighbour.get().status == 200
    server.wait_for_log("was cancelled", 2)
    server.signal()  # which cancels what still runs once more
    assert server.wait() == 0


@pytest.mark.parametrize("model", ["reuse-port", "leader-threads"])
def test_over_http2_and_websockets(model: str, serve: Serve) -> None:
    server = serve(topology(model), tracebacks=True)
    before = worker(server)

    async def visit() -> None:
        url = f"http://127.0.0.1:{server.port}"
        async with httpx.AsyncClient(http1=False, http2=True, base_url=url, timeout=20, trust_env=False) as client:
            for word in RAISED:
                assert (await client.get(f"/before?{word}")).status_code == 500
                assert (await client.get(f"/later?{word}")).status_code == 500
                assert (await client.get(f"/after?{word}")).text == "whole"
                assert (await client.get(f"/task?{word}")).text == "whole"
                with pytest.raises(httpx.RemoteProtocolError):
                    await client.get(f"/begun?{word}")
                assert (await client.get("/")).text == "hello"  # the same connection

    asyncio.run(visit())
    for word in RAISED:
        with pytest.raises(InvalidStatus) as refused:
            connect(f"ws://127.0.0.1:{server.port}/?before-{word}", open_timeout=10)
        assert refused.value.response.status_code == 500
        with connect(f"ws://127.0.0.1:{server.port}/?after-{word}", open_timeout=10) as client:
            with pytest.raises(ConnectionClosed):
                client.recv(10)
            assert client.close_code == 1011
    assert worker(server) == before
    assert server.stop() == 0


@pytest.mark.parametrize("model", ["reuse-port", "accept-threads"])
@pytest.mark.parametrize("app", ["async-lines", "async-frames", "async-stream"])
def test_what_a_function_raises_ends_its_connection_alone(app: str, model: str, serve: Serve) -> None:
    name = app.removeprefix("async-")
    server = serve({"app": {app: f"raising:{name}"}, **OWNING[model]}, tracebacks=True)
    before = worker(server)
    for word in RAISED:
        for when in (b"at once ", b"later "):
            with Client(server.port) as client:
                client.send(asked(app, when + word.encode()))
                assert client.at_end()
    with Client(server.port) as client:
        client.send(asked(app, b"ordinary words"))
        client.sock.shutdown(socket.SHUT_WR)
        assert b"ordinary words" in client.sock.recv(100)
    assert worker(server) == before
    assert server.stop() == 0


def asked(app: str, words: bytes) -> bytes:
    return len(words).to_bytes(4, "big") + words if app == "async-frames" else words + b"\n"


STREAM = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0"
HEADERS = b"\0\0\6\1\5\0\0\0%c\x82\x86\x84\x41\1x"
SEGMENTS = {
    "reset": HEADERS % 1 + b"\0\0\4\3\0\0\0\0\1\0\0\0\10",
    "goaway": HEADERS % 1 + b"\0\0\10\7\0\0\0\0\0\0\0\0\0\0\0\0\2",  # with an error
    "window of the stream": HEADERS % 1 + b"\0\0\4\10\0\0\0\0\1\x7f\xff\xff\xff",
    "window of the connection": HEADERS % 1 + b"\0\0\4\10\0\0\0\0\0\x7f\xff\xff\xff",
    "settings": HEADERS % 1 + b"\0\0\6\4\0\0\0\0\0\0\4\xff\xff\xff\xff",
    "body past the end": HEADERS % 1 + b"\0\0\1\0\0\0\0\0\1x",
    "rapid resets": b"".join(HEADERS % n + b"\0\0\4\3\0\0\0\0%c\0\0\0\10" % n for n in range(1, 101, 2)),
}


@pytest.mark.parametrize("app", [{"asgi": "adverse:counted"}, {"wsgi": "adverse:blocking"}], ids=["asgi", "wsgi"])
def test_no_segment_of_http2_ends_a_worker(app: Any, serve: Serve) -> None:
    """What began a stream and ends it may come at once; for one that was reset before it was begun nobody is called."""
    protocol = {"use": "http", "http2": True}
    server = serve(
        {"app": app, "pool": {"kind": "process", "size": 1}, "ownership": "reuse-port", "protocol": protocol}
    )
    before = worker(server)
    for data in SEGMENTS.values():
        with Client(server.port) as client:
            client.send(STREAM + data)
            client.sock.shutdown(socket.SHUT_WR)
            while client.sock.recv(65536):
                continue
    assert get(server.port).body == b"1"  # it is the first
    assert worker(server) == before
    assert server.stop() == 0
