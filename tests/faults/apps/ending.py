"""An application that still has work to do when its worker leaves. What has ended says so in a file, LEDGER."""

from __future__ import annotations

import atexit
import concurrent.futures
import logging
import logging.handlers
import multiprocessing
import os
import tempfile
import threading
import time
from typing import Any

LEDGER = os.environ["LEDGER"]
WORK = float(os.environ.get("WORK", "0.5"))  # seconds
SHORT = 0.5  # seconds, of a process: nobody would end one that is left behind
lock = threading.Lock()
buffered = logging.getLogger("buffered")
kept: list[Any] = []


def note(what: str) -> None:
    with open(LEDGER, "a") as file:
        file.write(f"{what}\n")


def work(what: str, seconds: float = WORK) -> None:
    time.sleep(seconds)
    note(what)


def begin() -> None:
    atexit.register(note, "atexit")
    buffered.addHandler(logging.handlers.MemoryHandler(1000, target=logging.FileHandler(LEDGER)))
    buffered.propagate = False
    buffered.warning("buffered")
    threading.Thread(target=work, args=("thread",)).start()
    executor = concurrent.futures.ThreadPoolExecutor(1)
    executor.submit(work, "job")
    folder = tempfile.TemporaryDirectory(prefix="ending-")
    process = multiprocessing.get_context("fork").Process(target=work, args=("process", SHORT))
    process.start()
    kept.extend((executor, folder, process))


def application(environ: dict[str, Any], start_response: Any) -> list[bytes]:
    with lock:
        if not kept:
            begin()
    body = kept[1].name.encode()
    start_response("200 OK", [("Content-Length", str(len(body)))])
    return [body]


async def asgi(scope: dict[str, Any], receive: Any, send: Any) -> None:
    if scope["type"] != "http":
        raise NotImplementedError
    (body,) = application({}, lambda *given: None)
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"%d" % len(body))]})
    await send({"type": "http.response.body", "body": body})
