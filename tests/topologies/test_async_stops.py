"""The steps of a stop, for apps that are awaited: told, cancelled, shut down; and the exit code is 0."""

from __future__ import annotations

import socket
import time
from contextlib import ExitStack, suppress
from typing import Any

import pytest
from harness.awaited import MODELS, OWNING, topology
from harness.client import Client
from harness.forms import half, short
from harness.server import Serve, Server
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect


def stream(server: Server, word: str) -> Client:
    client = Client(server.port)
    client.ask(f"/events?{word}")
    assert client.sock.recv(65536).startswith(b"HTTP/1.1 200 ")
    return client


@pytest.mark.parametrize("model", short(MODELS, half(MODELS, 1)))
def test_open_streams_are_told_at_the_beginning(model: str, serve: Serve) -> None:
    """With far more time than the test has; and an ordinary request is answered meanwhile, although a task of its own
    listens for the end of its client."""
    server = serve(topology(model, timeouts={"drain": "10m"}))
    with ExitStack() as stack:
        for word in ("listens", "asks", "other"):
            stack.enter_context(stream(server, word))
        ordinary, poll = (stack.enter_context(Client(server.port)) for _ in range(2))
        poll.ask("/poll")
        ordinary.ask("/listening?1")
        for words in ("streams", "polls", "works while"):
            server.wait_for_log(words, 3 if words == "streams" else 1)
        server.signal()
        assert poll.answer().status == 503  # it left without a word
        assert ordinary.answer().body == b"worked"
        assert server.wait() == 0
    for word in ("listens", "asks", "other"):
        assert f"the stream has ended: {word}" in server.log
    assert "the poll was told http.disconnect" in server.log
    assert "the app has ended" in server.log


@pytest.mark.parametrize("model", ["reactive-processes", "leader-threads", "reuse-port", "accept-threads"])
def test_what_is_left_is_cancelled_before_the_end(model: str, serve: Serve) -> None:
    server = serve(topology(model, timeouts={"drain": "4s"}))
    with ExitStack() as stack:
        stack.enter_context(stream(server, "sleeps"))
        slow = stack.enter_context(Client(server.port))
        slow.ask("/sleep?60")
        server.wait_for_log("sleeps")
        if model in OWNING:
            deaf = stack.enter_context(connect(f"ws://127.0.0.1:{server.port}/?deaf", open_timeout=10))
            server.wait_for_log("deaf")
        began = time.monotonic()
        server.signal()
        assert slow.answer().status == 503
        assert time.monotonic() - began > 3  # 80 percent of the time
        if model in OWNING:
            with pytest.raises(ConnectionClosed):
                deaf.recv(10)
        assert server.wait() == 0
    assert "the stream has ended: sleeps" in server.log
    assert ("the talk has ended" in server.log) == (model in OWNING)
    assert "the app has ended" in server.log
    assert "GET /sleep?60 HTTP/1.1 was cancelled: timeouts.drain is nearly over" in server.log


@pytest.mark.parametrize("model", ["reuse-port", "accept-threads"])
def test_websockets_are_closed_with_1012(model: str, serve: Serve) -> None:
    server = serve(topology(model, timeouts={"drain": "10m"}))
    with connect(f"ws://127.0.0.1:{server.port}/", open_timeout=10) as client:
        client.send("a")
        assert client.recv(10) == "nobody"
        server.signal()
        with pytest.raises(ConnectionClosed):
            client.recv(10)
        assert client.close_code == 1012
    assert server.wait() == 0
    assert "the talk has ended" in server.log


@pytest.mark.parametrize("app", ["async-lines", "async-stream"])
def test_functions_are_cancelled_before_the_end(app: str, serve: Serve) -> None:
    model: dict[str, Any] = OWNING["leader-threads"]
    server = serve({"app": {app: f"raising:{app.removeprefix('async-')}"}, "timeouts": {"drain": "2s"}, **model})
    with Client(server.port) as client:
        client.send(b"forever\n")
        server.wait_for_log("waits")
        server.signal()
        assert client.at_end()
        assert server.wait() == 0
    assert "cleaned up" in server.log


def test_a_client_that_reads_nothing_does_not_keep_the_app_from_its_end(serve: Serve) -> None:
    server = serve(topology("reuse-port", timeouts={"drain": "2s"}))
    with Client(server.port) as client, suppress(OSError):
        client.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.ask("/large")
        server.wait_for_log("sent much")
        assert server.stop() == 0
    assert "the app has ended" in server.log
