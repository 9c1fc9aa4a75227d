"""Apps that take their time: /hang never answers, /begin begins an answer and hangs, /late reads its body late."""

from __future__ import annotations

import asyncio
import sys
import time
from typing import Any

START = {"type": "http.response.start", "status": 200, "headers": []}


def answer(environ: dict[str, Any], start_response: Any) -> Any:
    """As a WSGI application."""
    body = environ["wsgi.input"].read()
    start_response("200 OK", [])
    return hung(environ["PATH_INFO"], body)


def hung(path: str, body: bytes) -> Any:
    """The parts of the answer."""
    if path == "/begin":
        yield b"begun"
    if path in ("/hang", "/begin"):
        time.sleep(60)
    yield b"%d" % len(body)


async def answer_async(scope: Any, receive: Any, send: Any) -> None:
    """As an ASGI application."""
    if scope["type"] != "http":
        raise NotImplementedError
    if scope["path"] == "/late":
        await asyncio.sleep(1.2)
    size, more = 0, True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            return
        size += len(message["body"])
        more = message["more_body"]
    if scope["path"] == "/begin":
        await send(START)
        await send({"type": "http.response.body", "body": b"begun", "more_body": True})
    if scope["path"] in ("/hang", "/begin"):
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            sys.stderr.write("the app was cancelled\n")
            sys.stderr.flush()
            raise
    if scope["path"] != "/begin":
        await send(START)
    await send({"type": "http.response.body", "body": b"%d" % size})


async def line(request: bytes) -> bytes:
    """A line's answer, after so many seconds."""
    await asyncio.sleep(60 if request == b"hang" else float(request))
    return request
