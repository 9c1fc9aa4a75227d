"""A connection of an awaited app that fails while the app has it: nothing of it may reach the next client."""

from __future__ import annotations

import asyncio
import contextlib
import importlib.util
import os
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from harness.asgi_app import AnsweringAsgi, ok
from harness.async_rig import AsyncRig

from poolctl.runtime.app.functions.async_function import MessageApp
from poolctl.runtime.app.functions.async_stream import AsyncStreamApp
from poolctl.runtime.protocol.http.protocol import Http
from poolctl.runtime.protocol.lines import Lines
from poolctl.runtime.protocol.raw import Raw
from poolctl.runtime.serving.phases import ANSWERING

GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"


class Gate:
    """An app that goes on when ``opened`` is called."""

    def __init__(self) -> None:
        self.opened = asyncio.Event()

    async def messages(self, line: bytes) -> bytes:
        await self.opened.wait()
        return b"late"

    async def stream(self, stream: Any) -> None:
        await self.opened.wait()
        await stream.write(b"late")

    async def asgi(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "websocket":
            await send({"type": "websocket.accept"})
        await self.opened.wait()
        if scope["type"] == "websocket":
            await send({"type": "websocket.send", "text": "late"})
        else:
            await ok(scope, receive, send)


class Messages(MessageApp):
    word = "tested"
    protocol = "lines"

    def __init__(self, gate: Gate) -> None:
        super().__init__("tested")
        self.gate = gate

    async def answer(self, request: Any) -> bytes:
        return await self.gate.messages(request)


class Stream(AsyncStreamApp):
    def __init__(self, gate: Gate) -> None:
        super().__init__("tested")
        self._function = gate.stream


def websocket() -> bytes:
    from wsproto import ConnectionType, WSConnection
    from wsproto.events import Request

    return WSConnection(ConnectionType.CLIENT).send(Request("a", "/"))


def http2() -> bytes:
    from h2.connection import H2Connection

    client = H2Connection()
    client.initiate_connection()
    names = (":method", "GET"), (":path", "/"), (":scheme", "http"), (":authority", "a")
    client.send_headers(1, names, end_stream=True)
    data: bytes = client.data_to_send()
    return data


def needs(package: str) -> Any:
    return pytest.mark.skipif(importlib.util.find_spec(package) is None, reason=f"needs {package}")


KINDS = [
    pytest.param(Messages, Lines, lambda: b"a\n", id="message"),
    pytest.param(Stream, Raw, lambda: b"a\n", id="stream"),
    pytest.param(lambda gate: AnsweringAsgi(gate.asgi), Http, lambda: GET, id="http"),
    pytest.param(lambda gate: AnsweringAsgi(gate.asgi), Http, websocket, id="websocket", marks=needs("wsproto")),
    pytest.param(lambda gate: AnsweringAsgi(gate.asgi), lambda: Http(http2=True), http2, id="http2", marks=needs("h2")),
]


@pytest.fixture
def make() -> Iterator[Callable[..., AsyncRig]]:
    made: list[AsyncRig] = []

    def one(app: Any, protocol: Any) -> AsyncRig:
        made.append(AsyncRig(app, protocol))
        return made[-1]

    yield one
    for rig in made:
        rig.close()


@pytest.mark.parametrize(("app", "protocol", "request_of"), KINDS)
def test_a_connection_that_fails_while_the_app_has_it_ends_once(
    make: Callable[..., AsyncRig], app: Any, protocol: Any, request_of: Callable[[], bytes]
) -> None:
    gate = Gate()
    rig = make(app(gate), protocol())
    rig.accept()
    rig.send(request_of())
    connection = rig.connection
    assert connection.phase is ANSWERING
    rig.loop.fail(connection, rig.service, RuntimeError("in the middle of an event"))
    while rig.read():  # what was sent before, such as the head of a WebSocket
        pass
    assert rig.client.recv(1) == b""  # the client need not wait for the app
    others = os.pipe()  # with the number of the connection, if it is free
    try:
        gate.opened.set()
        rig.settle()
        os.set_blocking(others[0], False)
        with pytest.raises(BlockingIOError):  # not EBADF, and nothing was written to it
            os.read(others[0], 1)
        os.fstat(others[1])
    finally:
        for fd in others:
            with contextlib.suppress(OSError):
                os.close(fd)
    assert rig.over
    assert rig.loop.open == 0
