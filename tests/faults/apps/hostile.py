"""An application that does to its worker what its path says."""

from __future__ import annotations

import asyncio
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
    if path == "/two":
        os.close(2)
    if path == "/raise":
        raise Panic("which no client is to read")
    if path == "/write":
        os.write = os.read = os.close = None  # type: ignore[assignment]


def application(environ: dict[str, Any], start_response: Any) -> list[bytes]:
    act(environ["PATH_INFO"])
    start_response("200 OK", [("Content-Length", "2")])
    return [b"ok"]


async def unable(scope: dict[str, Any], receive: Any, send: Any) -> None:
    """Has the event loop of its worker fail whenever it runs, or closes it."""
    if scope["type"] != "http":
        raise NotImplementedError
    events = asyncio.get_running_loop()
    if scope["path"] == "/unable":
        events._run_once = None  # type: ignore[attr-defined]
    if scope["path"] == "/closed":
        events.run_forever = lambda: (_ for _ in ()).throw(RuntimeError("Event loop is closed"))  # type: ignore[method-assign]
        events.stop()
    await asgi(scope, receive, send)


async def asgi(scope: dict[str, Any], receive: Any, send: Any) -> None:
    if scope["type"] != "http":
        raise NotImplementedError
    act(scope["path"])
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
    await send({"type": "http.response.body", "body": b"ok"})
