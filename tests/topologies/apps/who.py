"""Apps that tell who answers: `who SECONDS` is answered, after so many seconds, with the thread's name and the pid."""

from __future__ import annotations

import os
import threading
import time
from typing import Any


def line(request: bytes) -> str:
    """One line's answer."""
    seconds = float(request.removeprefix(b"who "))
    if seconds:
        time.sleep(seconds)
    return f"{threading.current_thread().name} {os.getpid()}"


def talk(stream: Any) -> None:
    """A conversation of lines, until the client ends."""
    for each in stream:
        stream.write(line(each.rstrip()).encode() + b"\n")


async def answer(scope: Any, receive: Any, send: Any) -> None:
    """The demo's ``/`` and ``/sleep``, as an ASGI application. It sleeps in its worker's thread, to keep it busy."""
    if scope["type"] != "http":
        raise NotImplementedError
    _, _, seconds = scope["query_string"].partition(b"=")
    if seconds:
        time.sleep(float(seconds))  # noqa: ASYNC251  # that nothing else goes on meanwhile is what it is for
    headers = [(b"x-worker", threading.current_thread().name.encode()), (b"x-process", str(os.getpid()).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": b""})
