"""An ASGI application that lets the server send files."""

from __future__ import annotations

from typing import Any


async def application(scope: Any, receive: Any, send: Any) -> None:
    if scope["type"] != "http":
        raise NotImplementedError(scope["type"])
    assert "http.response.pathsend" in scope["extensions"]
    path = scope["query_string"].decode()
    await send({"type": "http.response.start", "status": 200, "headers": [(b"x-scheme", scope["scheme"].encode())]})
    if scope["path"] == "/late":
        await send({"type": "http.response.body", "body": b"first", "more_body": True})
    await send({"type": "http.response.pathsend", "path": path})
