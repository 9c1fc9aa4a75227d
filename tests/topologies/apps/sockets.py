"""ASGI applications that talk through WebSockets; the path says which."""

from __future__ import annotations

import asyncio
import json
import logging
from typing import Any

log = logging.getLogger("sockets")


async def app(scope: dict[str, Any], receive: Any, send: Any) -> None:
    if scope["type"] == "lifespan":
        raise NotImplementedError
    if scope["type"] == "http":
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"5")]})
        await send({"type": "http.response.body", "body": b"plain"})
        return
    await PAGES[scope["path"]](scope, receive, send)


async def echo(scope: dict[str, Any], receive: Any, send: Any) -> None:
    assert (await receive())["type"] == "websocket.connect"
    await send({"type": "websocket.accept"})
    while (message := await receive())["type"] == "websocket.receive":
        await send({"type": "websocket.send", **{key: message[key] for key in ("text", "bytes") if key in message}})
    log.warning("disconnected %s %r", message["code"], message["reason"])


async def about(scope: dict[str, Any], receive: Any, send: Any) -> None:
    chosen = scope["subprotocols"][-1] if scope["subprotocols"] else None
    await send({"type": "websocket.accept", "subprotocol": chosen, "headers": [(b"x-shop", b"open")]})
    keys = ("type", "scheme", "path", "query_string", "subprotocols", "http_version", "client", "extensions")
    told = {key: value.decode() if isinstance(value := scope[key], bytes) else value for key in keys}
    await send({"type": "websocket.send", "text": json.dumps(told)})
    await send({"type": "websocket.close", "code": 4000, "reason": "that was all"})
    try:
        await send({"type": "websocket.send", "text": "more"})
    except OSError:
        log.warning("a send after the close is an OSError")


async def deny(scope: dict[str, Any], receive: Any, send: Any) -> None:
    await receive()
    await send({"type": "websocket.close"})


async def deny_with_a_page(scope: dict[str, Any], receive: Any, send: Any) -> None:
    await receive()
    await send({"type": "websocket.http.response.start", "status": 418, "headers": [(b"content-type", b"text/plain")]})
    await send({"type": "websocket.http.response.body", "body": b"tea ", "more_body": True})
    await send({"type": "websocket.http.response.body", "body": b"only"})


async def raise_before(scope: dict[str, Any], receive: Any, send: Any) -> None:
    raise RuntimeError("before")


async def raise_after(scope: dict[str, Any], receive: Any, send: Any) -> None:
    await send({"type": "websocket.accept"})
    raise RuntimeError("after")


async def leave(scope: dict[str, Any], receive: Any, send: Any) -> None:
    await send({"type": "websocket.accept"})


async def leave_before(scope: dict[str, Any], receive: Any, send: Any) -> None:
    await receive()


async def flood(scope: dict[str, Any], receive: Any, send: Any) -> None:
    await send({"type": "websocket.accept"})
    try:
        for number in range(100_000):
            await send({"type": "websocket.send", "bytes": bytes(65536)})
            if number == 99:
                log.warning("sent a hundred")
    except OSError:
        log.warning("the reader was cut")


async def deaf(scope: dict[str, Any], receive: Any, send: Any) -> None:
    """Does not receive until it is told to, by another's request."""
    await send({"type": "websocket.accept"})
    await asyncio.sleep(1)
    count = 0
    while (message := await receive())["type"] == "websocket.receive":
        count += len(message["bytes"])
        if count >= 20_000_000:
            await send({"type": "websocket.send", "text": str(count)})


PAGES = {
    "/": echo,
    "/about": about,
    "/deny": deny,
    "/page": deny_with_a_page,
    "/before": raise_before,
    "/after": raise_after,
    "/leave": leave,
    "/silent": leave_before,
    "/flood": flood,
    "/deaf": deaf,
}
