"""An app whose import takes as long as a file says, or fails."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

what = Path(os.environ["SLOW_START"])
words = what.read_text().split() if what.exists() else []
if words[:1] == ["raise"]:
    raise LookupError("as the test asked for")
if words[:1] == ["exit"]:
    os._exit(3)
if words[:1] == ["hang"]:
    while what.exists() and what.read_text().startswith("hang"):
        time.sleep(0.02)


def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    """Answer with the process; ?seconds=1 after a while, ?exit=0 never."""
    query = environ["QUERY_STRING"]
    if query.startswith("seconds="):
        time.sleep(float(query.removeprefix("seconds=")))
    if query.startswith("exit="):
        os._exit(int(query.removeprefix("exit=")))
    body = str(os.getpid()).encode()
    start_response("200 OK", [("Content-Length", str(len(body)))])
    return [body]
