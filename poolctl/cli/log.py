"""Log lines on stderr: `2026-11-23 08:00:00.123 [4711] info  message`."""

from __future__ import annotations

import contextlib
import logging
import sys
from os import write
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


class Steadfast(logging.Logger):
    """A logger that an app does not switch off by a configuration that does not name it: dictConfig and fileConfig
    disable all loggers that there were before, and logging.disable() all that there are."""

    @property
    def disabled(self) -> bool:
        """Never."""
        return False

    @disabled.setter
    def disabled(self, value: bool) -> None:
        """Whoever wants silence sets a level."""

    def isEnabledFor(self, level: int) -> bool:  # the name is logging's
        """By its own level alone."""
        return level >= self.getEffectiveLevel()


class Handler(logging.StreamHandler[TextIO]):
    """Writes to a stream that the app may have closed: then to the descriptor, and if nobody has that either, nowhere.
    What cannot be logged raises nothing, for those who log have something to free."""

    def handleError(self, record: logging.LogRecord) -> None:  # the name is logging's
        """Called where the stream took nothing."""
        with contextlib.suppress(Exception):
            write(2, f"{self.format(record)}\n".encode("utf-8", "backslashreplace"))


LOGGERS = ("poolctl", "poolctl.app", "poolctl.protocol")


def start_logging(stream: TextIO | None = None) -> None:
    """Give the logger "poolctl" its place; the user's own loggers stay the user's business."""
    for name in LOGGERS:
        logging.getLogger(name).__class__ = Steadfast
    handler = Handler(stream or sys.stderr)
    handler.setFormatter(Lines())
    log = logging.getLogger("poolctl")
    log.handlers = [handler]
    log.setLevel(logging.INFO)
    log.propagate = False
