"""Applications that start processes, in every way that Python has."""

from __future__ import annotations

import atexit
import concurrent.futures
import contextvars
import multiprocessing
import os
import signal
import subprocess
import time
from typing import Any
from urllib.parse import parse_qs

FORK = multiprocessing.get_context("fork")
kept: list[Any] = []  # for as long as the worker lives


def pool() -> int:
    """The usual one: it forks its worker at the first job."""
    executor = concurrent.futures.ProcessPoolExecutor(1, mp_context=FORK)
    kept.append(executor)
    return executor.submit(os.getpid).result()


def child() -> int:
    process = FORK.Process(target=time.sleep, args=(600,), daemon=True)
    process.start()
    kept.append(process)
    assert process.pid is not None  # it was started
    return process.pid


def raw() -> int:
    pid = os.fork()
    if pid == 0:
        signal.pause()
        os._exit(0)
    kept.append(pid)
    atexit.register(os.kill, pid, signal.SIGTERM)
    return pid


def program() -> int:
    """One that keeps what it may: what has no close-on-exec flag."""
    process = subprocess.Popen(["sleep", "600"], close_fds=False)
    kept.append(process)
    atexit.register(process.kill)
    return process.pid


def returning() -> int:
    """The child returns into the server."""
    pid = os.fork()
    if pid == 0:
        return 0
    os.waitpid(pid, 0)
    return pid


WAYS = {"pool": pool, "child": child, "raw": raw, "program": program, "returning": returning}


def application(environ: dict[str, Any], start_response: Any) -> list[bytes]:
    way = parse_qs(environ["QUERY_STRING"]).get("way")
    body = b"%d" % WAYS[way[0]]() if way else b"%d" % os.getpid()
    start_response("200 OK", [("Content-Length", str(len(body)))])
    return [body]


seen: contextvars.ContextVar[str] = contextvars.ContextVar("seen", default="nobody")


async def asgi(scope: dict[str, Any], receive: Any, send: Any) -> None:
    if scope["type"] != "http":
        raise NotImplementedError
    way = parse_qs(scope["query_string"].decode()).get("way")
    body = b"%d" % WAYS[way[0]]() if way else b"%d" % os.getpid()
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"%d" % len(body))]})
    await send({"type": "http.response.body", "body": body})


def line(request: bytes) -> bytes:
    return b"%d" % WAYS[request.decode()]() if request != b"pid" else b"%d" % os.getpid()
