"""An app whose requests take what their path says: /KIND/MILLISECONDS/ID. It answers with the ID. With the kind die its
process ends, with raise it raises."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable
from typing import Any


def answer(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    if environ["PATH_INFO"] == "/":
        start_response("200 OK", [("Content-Length", "2")])
        return [b"ok"]
    _, kind, milliseconds, number = environ["PATH_INFO"].split("/")
    environ["wsgi.input"].read()
    time.sleep(int(milliseconds) / 1000)
    if kind == "die":
        os._exit(1)
    if kind == "raise":
        raise ValueError(number)
    start_response("200 OK", [("Content-Length", str(len(number)))])
    return [number.encode()]
