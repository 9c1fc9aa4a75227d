"""Apps that answer with what they were asked. Nothing that a client sends makes them fail, but for what says so."""

from __future__ import annotations

import asyncio
from typing import Any

LARGE = 300_000


def heard(method: str, path: str, body: int) -> tuple[list[tuple[str, str]], bytes]:
    """Headers and body of an answer."""
    if path == "/raise":
        raise RuntimeError("on purpose")
    content = b"x" * LARGE if path == "/large" else b"%d" % body
    token = path.removeprefix("/t/") if path.removeprefix("/t/").isalnum() and path.isascii() else "-"
    return [("Content-Type", "text/plain"), ("X-Heard", f"{method} {token} {body}")], content


def wsgi(environ: dict[str, Any], start_response: Any) -> list[bytes]:
    """A WSGI application."""
    body = environ["wsgi.input"].read()
    headers, content = heard(environ["REQUEST_METHOD"], environ["PATH_INFO"], len(body))
    start_response("200 OK", headers)
    return [content[at : at + 65536] for at in range(0, len(content), 65536)]


async def asgi(scope: dict[str, Any], receive: Any, send: Any) -> None:
    """An ASGI application, which answers WebSockets with an echo."""
    if scope["type"] == "websocket":
        await websocket(scope, receive, send)
        return
    size, more = 0, True
    if scope["path"] == "/early":
        more = False  # answers without reading
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            return
        size += len(message["body"])
        more = message["more_body"]
    headers, content = heard(scope["method"], scope["path"], size)
    encoded = [(name.lower().encode(), value.encode()) for name, value in headers]
    if scope["path"] == "/slow":
        await asyncio.sleep(0.005)
    await send({"type": "http.response.start", "status": 200, "headers": encoded})
    for at in range(0, len(content), 65536):
        await send({"type": "http.response.body", "body": content[at : at + 65536], "more_body": True})
    await send({"type": "http.response.body", "body": b""})


async def websocket(scope: dict[str, Any], receive: Any, send: Any) -> None:
    """Echoes messages; some paths end it early."""
    await receive()
    if scope["path"] == "/deny":
        await send({"type": "websocket.close"})
        return
    await send({"type": "websocket.accept", "subprotocol": next(iter(scope["subprotocols"]), None)})
    while (message := await receive())["type"] == "websocket.receive":
        if scope["path"] == "/leave":
            await send({"type": "websocket.close", "code": 4000})
            return
        await send({"type": "websocket.send", **{key: message[key] for key in ("text", "bytes") if key in message}})


def line(request: bytes) -> bytes:
    """Lines and frames."""
    return request


async def async_line(request: bytes) -> bytes:
    """Lines and frames, awaited."""
    if len(request) % 3 == 0:
        await asyncio.sleep(0)
    return request


def stream(stream: Any) -> None:
    """A stream."""
    while data := stream.read(4096):
        stream.write(data)


async def async_stream(stream: Any) -> None:
    """A stream, awaited."""
    while data := await stream.read(4096):
        await stream.write(data)
