"""An application that computes, and says which thread of which process did. ``/PORT`` waits at a gate (see gated)."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterable
from typing import Any

import gated


def application(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    if environ["PATH_INFO"] != "/":
        return gated.application(environ, start_response)
    total = 0
    for number in range(50_000):
        total += number
    who = [("X-Process", str(os.getpid())), ("X-Thread", str(threading.get_ident()))]
    start_response("200 OK", [*who, ("Content-Length", "2")])
    return [b"ok"]
