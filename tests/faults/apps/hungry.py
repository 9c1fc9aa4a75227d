"""An app that takes as much memory as its clients ask for, and when it is imported as much as a file says."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

imported = Path(os.environ.get("HUNGRY_IMPORT", os.devnull))
kept = bytearray(int(imported.read_text() or 0)) if imported.exists() else bytearray()


def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    """Answer with the process; ?bytes=N needs so many, ?keep=N keeps them."""
    word, _, number = environ["QUERY_STRING"].partition("=")
    if word == "bytes":
        bytearray(int(number))
    elif word == "keep":
        kept.extend(bytes(int(number)))
    body = str(os.getpid()).encode()
    start_response("200 OK", [("Content-Length", str(len(body)))])
    return [body]
