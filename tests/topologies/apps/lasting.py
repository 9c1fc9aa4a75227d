"""Apps that take a while, and count what they have begun. Variables: LASTING_SECONDS."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable, Iterable
from typing import Any

SECONDS = float(os.environ.get("LASTING_SECONDS", "0.02"))
HEADERS = [("Content-Type", "text/plain"), ("Content-Length", "2")]


def answer(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    time.sleep(SECONDS)
    start_response("200 OK", HEADERS)
    return [b"ok"]


async def answer_async(scope: dict[str, Any], receive: Any, send: Any) -> None:
    if scope["type"] == "lifespan":
        return
    await asyncio.sleep(SECONDS)
    headers = [(name.lower().encode(), value.encode()) for name, value in HEADERS]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": b"ok"})
