"""Apps that leave a file for each request that they were asked: /FOLDER/name makes FOLDER/name. One whose name is hold
then waits until somebody opens FOLDER/gate for writing; late does so after its answer, as WSGI only."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any


def attend(path: str) -> None:
    Path(path).touch()
    if path.endswith("/hold"):
        wait(path)


def wait(path: str) -> None:
    Path(path).with_name("gate").read_bytes()  # a FIFO


def answer(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
    """As a WSGI application, which answers in parts."""
    path = environ["PATH_INFO"]
    attend(path)
    start_response("200 OK", [("Content-Type", "text/plain")])
    if path.endswith("/late"):
        return late(path)
    return iter((b"o" * 65536, b"k"))  # one byte more than the window of HTTP/2


def late(path: str) -> Iterable[bytes]:
    yield b"ok"
    wait(path)


async def answer_async(scope: Any, receive: Any, send: Any) -> None:
    """As an ASGI application, which computes rather than waits."""
    if scope["type"] != "http":
        raise NotImplementedError
    attend(scope["path"])
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
    await send({"type": "http.response.body", "body": b"ok"})
