"""Applications that make something else of the standard library when they are imported, as PATCH says."""

from __future__ import annotations

import logging
import logging.config
import os
import socket
import threading
import time
from typing import Any

PATCH = os.environ["PATCH"]
if PATCH == "timeout":
    socket.setdefaulttimeout(10)
elif PATCH == "short timeout":
    socket.setdefaulttimeout(0.001)
elif PATCH == "gevent":
    import gevent.monkey

    gevent.monkey.patch_all()
elif PATCH == "logging":
    logging.config.dictConfig({"version": 1, "handlers": {}, "root": {"level": "CRITICAL"}})
elif PATCH == "no logging":
    logging.disable(logging.CRITICAL)
    logging.setLogRecordFactory(logging.LogRecord)
elif PATCH in ("logging of a request", "logging and leaving"):

    def factory(*given: Any, **named: Any) -> logging.LogRecord:
        raise SystemExit(7) if PATCH == "logging and leaving" else RuntimeError("working outside of a request")

    logging.setLogRecordFactory(factory)


def application(environ: dict[str, Any], start_response: Any) -> list[bytes]:
    if environ["PATH_INFO"] == "/raise":
        raise ValueError("on purpose")
    time.sleep(0.01)
    body = environ["wsgi.input"].read() or threading.current_thread().name.encode()
    start_response("200 OK", [("Content-Length", str(len(body)))])
    return [body]


def stream(stream: Any) -> None:
    for line in stream:
        stream.write(line)
