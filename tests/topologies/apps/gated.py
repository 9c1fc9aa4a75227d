"""Applications whose requests say where they run, and stay there until the test lets them go.

``/PORT`` connects to that port of the loopback interface, writes the number of its process, and waits for the end of
file. ``/`` answers at once.
"""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Callable, Iterable
from typing import Any

PID = b"%d\n"


def application(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    """With threads."""
    port = environ["PATH_INFO"].strip("/")
    if port:
        with socket.create_connection(("127.0.0.1", int(port))) as gate:
            gate.sendall(PID % os.getpid())
            gate.recv(1)
    start_response("200 OK", [("Content-Length", "2")])
    return [b"ok"]


async def asgi(scope: dict[str, Any], receive: Any, send: Any) -> None:
    """Awaited. With ``/compute/PORT`` it holds the event loop until it is let go."""
    if scope["type"] != "http":
        raise NotImplementedError
    compute, _, port = scope["path"].strip("/").rpartition("/")
    if compute:
        application({"PATH_INFO": port}, lambda status, headers: None)
    elif port:
        reader, writer = await asyncio.open_connection("127.0.0.1", int(port))
        writer.write(PID % os.getpid())
        await reader.read()
        writer.close()
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
    await send({"type": "http.response.body", "body": b"ok"})
