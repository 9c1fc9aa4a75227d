"""Serving requests with an app, without sockets."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from poolctl.runtime.app import Surroundings
from poolctl.runtime.app.wsgi.app import WsgiApp
from poolctl.runtime.app.wsgi.call import Application
from poolctl.runtime.protocol.http.protocol import Http
from poolctl.runtime.task import Peer

PEER = Peer("192.0.2.1", "40000", "192.0.2.2", "8000")
ALONE = Surroundings(multithread=False, multiprocess=True)


class Sent:
    """An output that keeps what was sent."""

    def __init__(self, last: bool = False) -> None:
        self.began = False
        self.last = last
        self.sends: list[bytes] = []
        self.ranges = 0  # ranges of files sent

    def send(self, data: bytes) -> None:
        self.began = True
        self.sends.append(data)

    def send_file(self, file: int, offset: int, count: int) -> None:
        self.ranges += 1
        self.send(os.pread(file, count, offset))

    @property
    def head(self) -> list[str]:
        return b"".join(self.sends).partition(b"\r\n\r\n")[0].decode("latin-1").split("\r\n")

    @property
    def headers(self) -> dict[str, str]:
        return dict(line.split(": ", 1) for line in self.head[1:])

    @property
    def body(self) -> bytes:
        return b"".join(self.sends).partition(b"\r\n\r\n")[2]


@dataclass
class Given(WsgiApp):
    """Serves the WSGI callable that a test passes in."""

    application: Callable[..., Any]

    def find(self) -> Application:
        return self.application


def serve_callable(application: Callable[..., Any], data: bytes, last: bool = False) -> tuple[Sent, bool]:
    """Return what the app sends for one request, and whether the connection may be kept."""
    app = Given(application)
    app.load(ALONE)
    return serve_with(app, data, last)


def serve_with(app: WsgiApp, data: bytes, last: bool = False) -> tuple[Sent, bool]:
    conversation = Http().conversation(PEER)
    conversation.receive(data)
    assert (len(conversation.requests), conversation.failure) == (1, None)
    out = Sent(last)
    return out, app.serve(conversation.requests.popleft(), out)


def request(
    target: str = "/", method: str = "GET", version: str = "1.1", headers: str = "", body: bytes = b""
) -> bytes:
    length = f"Content-Length: {len(body)}\r\n" if body else ""
    return f"{method} {target} HTTP/{version}\r\nHost: shop\r\n{length}{headers}\r\n".encode("latin-1") + body
