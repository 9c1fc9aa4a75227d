"""Apps that kill their own process: /once?NAME the first time, which a file of that name remembers; /always each time;
/begun?NAME the first time, after a part of the answer. Whoever lives answers with the process and the request's body.
"""

from __future__ import annotations

import hashlib
import os
import signal
from collections.abc import Iterator
from typing import Any

START = {"type": "http.response.start", "status": 200, "headers": []}


def first(name: str) -> bool:
    """Whether no process has been here before, in the server's folder."""
    try:
        os.close(os.open(name, os.O_CREAT | os.O_EXCL))
    except FileExistsError:
        return False
    return True


def dies(path: str, name: str) -> bool:
    return path == "/always" or (path == "/once" and first(name))


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def told(method: str, body: bytes) -> bytes:
    return f"{os.getpid()} {method} {len(body)} {hashlib.sha256(body).hexdigest()}".encode()


def wsgi(environ: dict[str, Any], start_response: Any) -> Iterator[bytes]:
    path, name = environ["PATH_INFO"], environ["QUERY_STRING"]
    body = environ["wsgi.input"].read(-1 if path != "/once" else 100_000)  # a part of it, if it is large
    if dies(path, name):
        die()
    body += environ["wsgi.input"].read()
    start_response("200 OK", [])
    if path == "/begun" and first(name):
        yield b"begun"
        die()
    yield told(environ["REQUEST_METHOD"], body)


async def asgi(scope: Any, receive: Any, send: Any) -> None:
    if scope["type"] != "http":
        raise NotImplementedError
    path, name = scope["path"], scope["query_string"].decode()
    body, more = b"", True
    while more:
        message = await receive()
        body += message["body"]
        more = message["more_body"]
        if dies(path, name):
            die()
    await send(START)
    if path == "/begun" and first(name):
        await send({"type": "http.response.body", "body": b"begun", "more_body": True})
        die()
    await send({"type": "http.response.body", "body": told(scope["method"], body)})
