"""Apps that tell who answers: `who SECONDS` is answered, after so many seconds, with the thread's name and the pid."""

from __future__ import annotations

import os
import threading
import time
from typing import Any


def line(request: bytes) -> str:
    """One line's answer."""
    seconds = float(request.removeprefix(b"who "))
    if seconds:
        time.sleep(seconds)
    return f"{threading.current_thread().name} {os.getpid()}"


def talk(stream: Any) -> None:
    """A conversation of lines, until the client ends."""
    for each in stream:
        stream.write(line(each.rstrip()).encode() + b"\n")
