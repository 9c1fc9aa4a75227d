"""Apps that go on although they got notice. /endless sends parts without end, /silent one part and then nothing,
/huge more than a client takes, /deaf does not hear that it is cancelled or that its client has left;
/later?SECONDS answers after a while."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Iterator
from typing import Any

log = logging.getLogger("endless")
MADE = 64 << 20
PIECE = 1 << 20
PAUSE = 0.02


def parts() -> Iterator[bytes]:
    try:
        while True:
            yield b"part\n"
            time.sleep(PAUSE)
    finally:
        log.warning("the iteration has ended")


def huge() -> Iterator[bytes]:
    for _ in range(MADE // PIECE):
        yield bytes(PIECE)
    log.warning("all was made")


def unheard(write: Any) -> list[bytes]:
    """The pieces of a response of MADE bytes, the last one after a while, and a client that leaves is ignored."""
    write(b"part\n")
    time.sleep(3)
    try:
        write(bytes(MADE - 5))
    except OSError:
        log.warning("does not listen")
    return []


def application(environ: dict[str, Any], start_response: Any) -> Any:
    """As a WSGI application."""
    log.warning("begins %s", environ["PATH_INFO"])
    if environ["PATH_INFO"] == "/later":
        time.sleep(float(environ["QUERY_STRING"]))
    if environ["PATH_INFO"] == "/deaf":
        return unheard(start_response("200 OK", [("Content-Length", str(MADE))]))
    start_response("200 OK", [("Content-Type", "text/plain")])
    return {"/endless": parts, "/huge": huge}.get(environ["PATH_INFO"], lambda: [b"done"])()


async def app(scope: dict[str, Any], receive: Any, send: Any) -> None:
    """As an ASGI application; only its lifespan hears of the end."""
    if scope["type"] == "lifespan":
        await receive()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        log.warning("the app has ended")
        await send({"type": "lifespan.shutdown.complete"})
        return
    if scope["type"] == "websocket":
        await send({"type": "websocket.accept"})
    path = scope["path"]
    log.warning("begins %s", path)
    try:
        await (talk if scope["type"] == "websocket" else answer)(path, scope, send)
    except asyncio.CancelledError:
        log.warning("cancelled: %s", path)
        raise


async def talk(path: str, scope: dict[str, Any], send: Any) -> None:
    if path == "/deaf":
        await deaf()
    await asyncio.sleep(3600)


async def deaf() -> None:
    try:
        await asyncio.sleep(3600)
    except asyncio.CancelledError:
        log.warning("does not listen")
        await asyncio.sleep(2)
        log.warning("goes at last")
        raise


async def answer(path: str, scope: dict[str, Any], send: Any) -> None:
    if path == "/later":
        await asyncio.sleep(float(scope["query_string"]))
    await send({"type": "http.response.start", "status": 200, "headers": []})
    if path in ("/endless", "/silent", "/deaf"):
        await send({"type": "http.response.body", "body": b"part\n", "more_body": True})
    if path == "/deaf":
        await deaf()
    if path == "/silent":
        await asyncio.sleep(3600)
    while path == "/endless":
        await send({"type": "http.response.body", "body": b"part\n", "more_body": True})
        await asyncio.sleep(PAUSE)
    if path == "/huge":
        for _ in range(MADE // PIECE):
            await send({"type": "http.response.body", "body": bytes(PIECE), "more_body": True})
    await send({"type": "http.response.body", "body": b"done"})


def stream(conn: Any) -> None:
    """As a function that owns its connection."""
    log.warning("begins a conversation")
    try:
        for line in conn:
            conn.write(line)
    finally:
        log.warning("the conversation has ended")


async def async_stream(conn: Any) -> None:
    """The same, awaited; it does not even look at the client."""
    log.warning("begins a conversation")
    try:
        await asyncio.sleep(3600)
    finally:
        log.warning("the conversation has ended")
