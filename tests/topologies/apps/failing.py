"""Apps that fail as their path says: /raise, /die (the worker), /slow; anything else is 200."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from typing import Any


def answer(environ: dict[str, Any], start_response: Any) -> list[bytes]:
    """As a WSGI application."""
    path = environ["PATH_INFO"]
    if path == "/raise":
        raise RuntimeError("as it was asked to")
    if path == "/die":
        os.kill(os.getpid(), signal.SIGKILL)
    if path == "/slow":
        time.sleep(60)
    start_response("200 OK", [("Content-Length", "2")])
    return [b"ok"]


async def answer_async(scope: Any, receive: Any, send: Any) -> None:
    """As an ASGI application."""
    if scope["type"] != "http":
        raise NotImplementedError
    path = scope["path"]
    if path == "/raise":
        raise RuntimeError("as it was asked to")
    if path == "/die":
        os.kill(os.getpid(), signal.SIGKILL)
    if path == "/slow":
        await asyncio.sleep(60)
    while (message := await receive()).get("more_body"):
        pass
    if message["type"] == "http.disconnect":
        return
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
    await send({"type": "http.response.body", "body": b"ok"})
