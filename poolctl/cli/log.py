"""Log lines on stderr: `2026-11-23 08:00:00.123 [4711] info  message`."""

from __future__ import annotations

import logging
import sys
from typing import TextIO


class Lines(logging.Formatter):
    """Local time to the millisecond, the process, the level in small letters, the message."""

    default_time_format = "%Y-%m-%d %H:%M:%S"
    default_msec_format = "%s.%03d"

    def __init__(self) -> None:
        super().__init__("%(asctime)s [%(process)d] %(small)-5s %(message)s")

    def format(self, record: logging.LogRecord) -> str:
        record.small = {"WARNING": "warn", "CRITICAL": "fatal"}.get(record.levelname, record.levelname.lower())
        return super().format(record)


def start_logging(stream: TextIO | None = None) -> None:
    """Give the logger "poolctl" its place; the user's own loggers stay the user's business."""
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(Lines())
    log = logging.getLogger("poolctl")
    log.handlers = [handler]
    log.setLevel(logging.INFO)
    log.propagate = False
