"""More than a window of HTTP/2 holds, in pieces, and in one; and what came of it on stderr."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any

PIECE = b"x" * 16384
PIECES = 64


def application(environ: dict[str, Any], start_response: Any) -> Iterator[bytes]:
    start_response("200 OK", [("Content-Type", "text/plain")])
    count = 1 if environ["PATH_INFO"] == "/small" else PIECES
    try:
        for _ in range(count):
            yield PIECE[:100] if count == 1 else PIECE
    finally:
        sys.stderr.write("the app has ended\n")


async def asgi(scope: Any, receive: Any, send: Any) -> None:
    if scope["type"] != "http":
        raise NotImplementedError
    count = 1 if scope["path"] == "/small" else PIECES
    try:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        for _ in range(count):
            body = PIECE[:100] if count == 1 else PIECE
            await send({"type": "http.response.body", "body": body, "more_body": True})
        await send({"type": "http.response.body"})
    finally:
        sys.stderr.write("the app has ended\n")
