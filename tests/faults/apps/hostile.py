"""An application that does to its worker what its path says."""

from __future__ import annotations

import os
import signal
import sys
from typing import Any


class Panic(BaseException):
    pass


def alarm(number: int, frame: Any) -> None:
    raise Panic("from a signal handler")


def act(path: str) -> None:
    if path == "/closed":
        for stream in (sys.stdout, sys.stderr):
            stream.close()
        raise Panic("with nowhere to say it")
    if path == "/alarm":
        signal.signal(signal.SIGALRM, alarm)
        signal.setitimer(signal.ITIMER_REAL, 0.2)
    if path == "/fork" and os.fork() == 0:
        raise Panic("in the child")
    if path == "/write":
        os.write = os.read = os.close = None  # type: ignore[assignment]


def application(environ: dict[str, Any], start_response: Any) -> list[bytes]:
    act(environ["PATH_INFO"])
    start_response("200 OK", [("Content-Length", "2")])
    return [b"ok"]


async def asgi(scope: dict[str, Any], receive: Any, send: Any) -> None:
    if scope["type"] != "http":
        raise NotImplementedError
    act(scope["path"])
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
    await send({"type": "http.response.body", "body": b"ok"})
