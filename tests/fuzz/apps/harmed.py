"""An app whose clients can harm its server, in the way that HARM names, by a body of five bytes."""

from __future__ import annotations

import os
import threading
from typing import Any

import fuzzed

_kept: list[int] = []


def wsgi(environ: dict[str, Any], start_response: Any) -> list[bytes]:
    """As the one that it stands for, but for the harm."""
    if environ.get("CONTENT_LENGTH") == "5":
        HARMS[os.environ["HARM"]](environ)
    return fuzzed.wsgi(environ, start_response)


def _spin(_: dict[str, Any]) -> None:
    def turn() -> None:
        while True:
            pass

    if threading.active_count() < 4:
        threading.Thread(target=turn, daemon=True).start()


def _lie(environ: dict[str, Any]) -> None:
    environ["PATH_INFO"] = "/t/another"


def _fail(_: dict[str, Any]) -> None:
    raise RuntimeError("by mistake")


HARMS = {
    "end": lambda _: os._exit(1),
    "descriptor": lambda _: _kept.append(os.open("/dev/null", os.O_RDONLY)),
    "spin": _spin,
    "lie": _lie,
    "traceback": _fail,
}
