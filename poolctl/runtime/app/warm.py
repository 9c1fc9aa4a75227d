"""Warm requests (the key ``reload.warm``): a new worker answers them before it is ready, so that no client pays for
first connections, lazy imports and cold caches.

The application is called directly, without a connection: the response goes nowhere. A response of 500 or above, or an
exception, means that the worker is not ready.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from typing import Any
from urllib.parse import unquote_to_bytes
from wsgiref.util import setup_testing_defaults

from poolctl.errors import AppError

log = logging.getLogger("poolctl")
AGENT = "poolctl (warm request)"


def warm_wsgi(application: Callable[..., Iterable[bytes]], targets: Iterable[str]) -> None:
    """Have a WSGI application answer a GET for each target. Raises AppError, and whatever the application raises."""
    for target in targets:
        path, _, query = target.partition("?")
        environ: dict[str, Any] = {
            "PATH_INFO": unquote_to_bytes(path).decode("latin-1"),
            "QUERY_STRING": query,
            "HTTP_HOST": "localhost",
            "HTTP_USER_AGENT": AGENT,
            "REMOTE_ADDR": "127.0.0.1",
        }
        setup_testing_defaults(environ)
        statuses: list[str] = []
        body = application(environ, _starter(statuses))
        try:
            for _ in body:
                pass  # the response may be made while it is read
        finally:
            if hasattr(body, "close"):
                body.close()
        judge(target, int(statuses[-1].split()[0]) if statuses else 0)


def _starter(statuses: list[str]) -> Callable[..., Callable[[bytes], None]]:
    def start_response(status: str, headers: Any, exc_info: Any = None) -> Callable[[bytes], None]:
        statuses.append(status)
        return lambda data: None

    return start_response


async def warm_asgi(application: Callable[..., Any], target: str, state: dict[str, Any]) -> None:
    """Have an ASGI application answer a GET. ``state``: of its lifespan. Raises AppError, and whatever the application
    raises."""
    path, _, query = target.partition("?")
    scope = {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.4"},
        "http_version": "1.1",
        "method": "GET",
        "scheme": "http",
        "path": unquote_to_bytes(path).decode("utf-8", "replace"),
        "raw_path": path.encode("ascii"),
        "query_string": query.encode("ascii"),
        "root_path": "",
        "headers": [(b"host", b"localhost"), (b"user-agent", AGENT.encode())],
        "client": ("127.0.0.1", 0),
        "server": ("localhost", 80),
        "state": state.copy(),
    }
    messages = [{"type": "http.request", "body": b"", "more_body": False}]
    statuses: list[int] = []

    async def receive() -> dict[str, Any]:
        return messages.pop() if messages else {"type": "http.disconnect"}

    async def send(message: dict[str, Any]) -> None:
        if message["type"] == "http.response.start":
            statuses.append(message["status"])

    await application(scope, receive, send)
    judge(target, statuses[-1] if statuses else 0)


def judge(target: str, status: int) -> None:
    """Raise AppError if a worker that answers with this status is not ready. 0: it did not answer."""
    if not status:
        raise AppError(f"the warm request GET {target} got no response")
    if status >= 500:
        raise AppError(f"the warm request GET {target} got a {status}")
    if status >= 400:
        log.warning("the warm request GET %s got a %d", target, status)
