"""Apps that get stuck: /hang in Python, /held in C code that keeps the interpreter and that no signal interrupts;
/later?SECONDS answers after a while, and anything else at once."""

from __future__ import annotations

import asyncio
import re
import time
from typing import Any

BODY = b"ok"
LENGTH = [("Content-Length", str(len(BODY)))]


def deep_inside() -> None:
    time.sleep(3600)


def answer(environ: dict[str, Any], start_response: Any) -> list[bytes]:
    """As a WSGI application."""
    if environ["PATH_INFO"] == "/hang":
        deep_inside()
    if environ["PATH_INFO"] == "/held":
        re.match(r"(a|a|a)+$", "a" * 60 + "b")
    if environ["PATH_INFO"] == "/later":
        time.sleep(float(environ["QUERY_STRING"]))
    start_response("200 OK", LENGTH)
    return [BODY]


async def never() -> None:
    while True:
        try:
            await asyncio.sleep(3600)
        except asyncio.CancelledError:
            continue


async def in_a_task() -> None:
    await asyncio.create_task(never())


async def answer_async(scope: Any, receive: Any, send: Any) -> None:
    """As an ASGI application; it does not hear that it is cancelled."""
    if scope["type"] != "http":
        raise NotImplementedError
    if scope["path"] == "/hang":
        await in_a_task()
    if scope["path"] == "/block":
        deep_inside()
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": BODY})
