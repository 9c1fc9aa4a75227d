"""A server whose requests for /slow?FILE are in flight until that file exists."""

from __future__ import annotations

import uuid
from pathlib import Path
from typing import Any

from harness.ports import quiet_port
from harness.server import Serve, Server

GATED = """
import os, time
def app(environ, start_response):
    if environ["PATH_INFO"] == "/slow":
        while not os.path.exists(environ["QUERY_STRING"]):
            time.sleep(0.01)
    start_response("200 OK", [("Content-Length", "2")])
    return [b"ok"]
wsgi = app
async def asgi(scope, receive, send):
    import asyncio
    if scope["path"] == "/slow":
        while not os.path.exists(scope["query_string"]):
            await asyncio.sleep(0.01)
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
    await send({"type": "http.response.body", "body": b"ok"})
"""


def begin(serve: Serve, folder: Path, *, tracebacks: bool = False, **keys: Any) -> Server:
    """Start it, at an address that stays its own while it is reloaded or drained."""
    (folder / "shop.py").write_text(GATED)
    topology = {"app": {"wsgi": "shop:app"}, "listen": f"tcp://127.0.0.1:{quiet_port()}", **keys}
    return serve({"name": f"g{uuid.uuid4().hex[:8]}", **topology}, tracebacks=tracebacks)
