"""What the threads of this process are doing, for the log: a record for each request in flight, written before the
process is ended.

    sys._current_frames() --> the frame of Service.answer in each thread --> its request, and the stack above it

Nothing is kept for this while requests are served: the frames have it all (``frames.py``). A request is missing where a
greenlet has it that is not running; then ``Life`` writes the bare stacks of all threads instead.
"""

from __future__ import annotations

import logging
import sys
import threading
from collections.abc import Iterator
from time import monotonic_ns
from types import FrameType

from poolctl.runtime.scoreboard import SINCE
from poolctl.runtime.serving.frames import frame_codes
from poolctl.runtime.serving.request_line import shown
from poolctl.runtime.serving.service import Service
from poolctl.runtime.system.user_frames import formatted, frames_within

log = logging.getLogger("poolctl")


def log_threads() -> int:
    """Log what each thread is doing that serves a request or a conversation. Returns how many there are."""
    now = monotonic_ns()
    found = list(_serving())
    for thread, innermost, answering in found:
        held = answering.f_locals
        since = held["self"].row[SINCE]
        seconds = (now - since) / 1e9 if since else 0.0
        what = shown(held["request"]) if "request" in held else f"a conversation with {held['peer'].client}"
        log_unfinished(thread, what, seconds, formatted(frames_within(answering, innermost)))
    return len(found)


def log_unfinished(worker: str, what: str, seconds: float, stack: str) -> None:
    """Log one request in flight. ``seconds``: since when; 0: not known."""
    since = f" for {seconds:.1f} s" if seconds else ""
    log.warning(
        "unfinished: %s has been busy%s with %s; its stack, most recent call last:\n%s", worker, since, what, stack
    )


def thread_name(ident: int) -> str:
    """Return the name of a thread. Takes no lock: one of its threads may hang in anything."""
    known: dict[int, threading.Thread] = vars(threading).get("_active", {})
    return str(getattr(known.get(ident), "name", "")) or f"thread {ident}"


def _serving() -> Iterator[tuple[str, FrameType, FrameType]]:
    """The name, the innermost frame and the frame of the service of each thread that serves."""
    codes = frame_codes(Service.answer, Service.converse)
    for ident, innermost in sys._current_frames().items():
        frame: FrameType | None = innermost
        while frame is not None and frame.f_code not in codes:
            frame = frame.f_back
        if frame is not None:
            yield thread_name(ident), innermost, frame
