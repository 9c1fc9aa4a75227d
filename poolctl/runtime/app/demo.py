"""The built-in demo, a WSGI application that needs nothing installed.

It shows which worker answers, and how a server behaves with slow, large and broken responses.
"""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs

from poolctl.runtime.app.wsgi.app import WsgiApp
from poolctl.runtime.app.wsgi.call import Application

Environ = dict[str, Any]
Answer = tuple[str, list[tuple[str, str]], Iterable[bytes]]
DEMO_PIECE_BYTES = 64 * 1024


class BadParameter(ValueError):
    """A query parameter that is not a number, or is out of bounds."""


@dataclass
class Demo(WsgiApp):
    """Serves the demo application."""

    def find(self) -> Application:
        """Return the demo application."""
        return application


def application(environ: Environ, start_response: Callable[..., Any]) -> Iterable[bytes]:
    """Serve the demo: a WSGI callable. Return the body."""
    page = PAGES.get("/" + environ["PATH_INFO"].lstrip("/").partition("/")[0])  # the rest may name a session
    try:
        status, headers, body = (
            page(environ) if page else _text(f"no such page; try {' '.join(PAGES)}", "404 Not Found")
        )
    except BadParameter as error:
        status, headers, body = _text(str(error), "400 Bad Request")
    headers += [("X-Worker", threading.current_thread().name), ("X-Process", str(os.getpid()))]
    start_response(status, headers)
    return body


def _text(text: str, status: str = "200 OK", kind: str = "text/plain; charset=utf-8") -> Answer:
    body = f"{text}\n".encode()
    return status, [("Content-Type", kind), ("Content-Length", str(len(body)))], [body]


def _number(environ: Environ, name: str, default: float, most: float) -> float:
    """Return a query parameter. Raises BadParameter if it is not a number from 0 to ``most``."""
    word = parse_qs(environ["QUERY_STRING"], keep_blank_values=True).get(name, [str(default)])[-1]
    try:
        number = float(word)
    except ValueError:
        number = -1.0
    if not 0 <= number <= most:
        raise BadParameter(f"{name} must be a number from 0 to {most:g}, not {word!r}")
    return number


def _greet(environ: Environ) -> Answer:
    return _text(f"poolctl is running; answered by {threading.current_thread().name} of process {os.getpid()}")


def _pid(environ: Environ) -> Answer:
    return _text(str(os.getpid()))


def _sleep(environ: Environ) -> Answer:
    seconds = _number(environ, "seconds", 0.5, 60)
    time.sleep(seconds)
    return _text(f"slept {seconds:g} s")


def _bytes(environ: Environ) -> Answer:
    count = int(_number(environ, "count", 100_000, 100_000_000))
    headers = [("Content-Type", "application/octet-stream"), ("Content-Length", str(count))]
    return "200 OK", headers, [b"x" * count] if count <= DEMO_PIECE_BYTES else _pieces(count)


def _pieces(count: int) -> Iterator[bytes]:
    piece = b"x" * DEMO_PIECE_BYTES
    for _ in range(count // DEMO_PIECE_BYTES):
        yield piece
    yield piece[: count % DEMO_PIECE_BYTES]


def _chunks(environ: Environ) -> Answer:
    count = int(_number(environ, "count", 5, 100_000))
    return "200 OK", [("Content-Type", "text/plain")], (b"chunk %d\n" % number for number in range(count))


def _echo(environ: Environ) -> Answer:
    body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
    kind = environ.get("CONTENT_TYPE") or "application/octet-stream"
    return "200 OK", [("Content-Type", kind), ("Content-Length", str(len(body)))], [body]


def _error(environ: Environ) -> Answer:
    raise RuntimeError("the demo was asked for an error")


def _environ(environ: Environ) -> Answer:
    words = {key: value for key, value in sorted(environ.items()) if isinstance(value, str)}
    return _text(json.dumps(words, indent=1), kind="application/json")


PAGES: dict[str, Callable[[Environ], Answer]] = {
    "/": _greet,
    "/sleep": _sleep,
    "/bytes": _bytes,
    "/chunks": _chunks,
    "/echo": _echo,
    "/error": _error,
    "/environ": _environ,
    "/pid": _pid,
}
