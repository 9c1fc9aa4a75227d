"""Applications that raise what no `except Exception` catches, before and after the head of their answer."""

from __future__ import annotations

import contextvars
import decimal
from typing import Any
from urllib.parse import parse_qs


class Panic(BaseException):
    """As those of Rust's extensions are."""


KINDS: dict[str, Any] = {
    "panic": Panic,
    "exit": SystemExit,
    "interrupt": KeyboardInterrupt,
    "generator": GeneratorExit,
    "group": lambda: BaseExceptionGroup("several", [Panic(), ValueError()]),
    "memory": MemoryError,
}
user: contextvars.ContextVar[str] = contextvars.ContextVar("user", default="nobody")


def application(environ: dict[str, Any], start_response: Any) -> Any:
    query = parse_qs(environ["QUERY_STRING"])
    kind = query.get("raise", [""])[0]
    if kind and "late" in query:
        start_response("200 OK", [("Content-Length", "1000")])
        return late(kind)
    if kind:
        raise KINDS[kind]
    body = f"{user.get()} {decimal.getcontext().prec} {environ.get('x.left', 'nothing')}".encode()
    user.set("me")
    decimal.getcontext().prec = 3
    environ["x.left"] = "something"
    start_response("200 OK", [("Content-Length", str(len(body)))])
    return [body]


def late(kind: str) -> Any:
    yield b"begun"
    raise KINDS[kind]


def line(request: bytes) -> bytes:
    if request == b"context":
        seen = user.get().encode()
        user.set("me")
        return seen
    if request == b"pid":
        return b"fine"
    raise KINDS[request.decode()]


def stream(stream: Any) -> None:
    stream.write(line(stream.readline().strip()) + b"\n")
