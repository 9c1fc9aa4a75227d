"""Log lines on stderr: `2026-11-23 08:00:00.123 [4711] info  message`."""

from __future__ import annotations

import _thread
import contextlib
import logging
import stat
import sys
from _thread import allocate_lock, get_ident, start_new_thread
from fcntl import F_DUPFD_CLOEXEC, fcntl
from logging import LogRecord
from os import fstat, getpid, register_at_fork, write
from time import time
from typing import Any, TextIO

NAMES = {10: "DEBUG", 20: "INFO", 30: "WARNING", 40: "ERROR", 50: "CRITICAL"}


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
    disable all loggers that there were before, and logging.disable() all that there are. Nor does it raise what an app
    has put into logging (a record factory that asks for the request, a filter, a handler): who logs has something to
    free."""

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

    def _log(self, level: int, msg: object, args: Any, exc_info: Any = None, *rest: Any, **more: Any) -> None:
        if _thread.start_new_thread is not start_new_thread:
            # Locks are greenlets' now (gevent), and two threads that wait for one of those wait for ever.
            self._plainly(level, msg, args, exc_info)
            return
        try:
            super()._log(level, msg, args, exc_info, *rest, **more)
        except BaseException as error:  # noqa: BLE001  # the boundary, which says both
            self._plainly(level, msg, args, exc_info)
            self._plainly(logging.ERROR, "what the app has put into logging raised %s", (type(error).__name__,), None)

    def _plainly(self, level: int, msg: object, args: Any, exc_info: Any) -> None:
        """Past everything that the app may have put into logging, and past its locks. Never raises."""
        with contextlib.suppress(BaseException):
            record = LogRecord.__new__(LogRecord)  # made in the usual way it takes locks, for the thread
            record.__dict__.update(
                {"name": self.name, "levelno": level, "levelname": NAMES.get(level, str(level)), "process": getpid()},
                msg=msg, args=args, exc_info=_known(exc_info), exc_text=None, stack_info=None, created=time(),
            )  # fmt: skip
            record.msecs = int(record.created % 1 * 1000)
            try:
                record.getMessage()
            except BaseException:  # noqa: BLE001  # words of the app that raise
                record.args = ()
            for handler in logging.root.manager.loggerDict["poolctl"].handlers:  # type: ignore[union-attr]  # no lock
                if isinstance(handler, Handler):
                    handler.put(record)


def _known(exc_info: Any) -> Any:
    """What a record has of ``exc_info``: (type, error, traceback) or None."""
    if isinstance(exc_info, BaseException):
        return type(exc_info), exc_info, exc_info.__traceback__
    return exc_info if isinstance(exc_info, tuple) else sys.exc_info() if exc_info else None


class Handler(logging.StreamHandler[TextIO]):
    """Writes to the standard error of the start. An app may close it, and the next descriptor to get its number may be
    a client's: such a socket gets nothing, and a copy is written to, as long as nobody has closed that. What cannot be
    logged raises nothing. Its lock is one of the system's, whatever the app makes of those of threading."""

    def __init__(self, stream: TextIO) -> None:
        super().__init__(stream)
        self._turn = allocate_lock()  # not that of threading
        self._writes = 0  # the thread that has it
        register_at_fork(after_in_child=self._renew)  # another thread may have it then
        self._own: tuple[int, int] | None = None  # what identifies the open file of the start
        self._copy = -1
        with contextlib.suppress(OSError, ValueError):  # no file, as in tests of this module
            self._own = _identity(stream.fileno())
            self._copy = fcntl(stream.fileno(), F_DUPFD_CLOEXEC, 3)

    def _renew(self) -> None:
        self._turn = allocate_lock()
        self._writes = 0

    def handle(self, record: LogRecord) -> bool:
        """Write it, unless a filter has something against it."""
        passed = bool(self.filter(record))
        if passed:
            self.put(record)
        return passed

    def put(self, record: LogRecord) -> None:
        """Write it, whatever filters there are."""
        mine = get_ident()
        if self._writes == mine:  # what is written of raises, and logs that
            return
        with self._turn:
            self._writes = mine
            try:
                self.emit(record)
            finally:
                self._writes = 0

    def emit(self, record: LogRecord) -> None:
        if self._own is None or self._may(2):
            super().emit(record)
        else:
            self.handleError(record)

    def _may(self, descriptor: int) -> bool:
        """Whether it is what it was, or what the app has put there for its logs: no socket, which may be a client."""
        with contextlib.suppress(OSError):
            return not stat.S_ISSOCK(fstat(descriptor).st_mode) or _identity(descriptor) == self._own
        return False

    def handleError(self, record: LogRecord) -> None:  # the name is logging's
        """Called where the stream takes nothing."""
        with contextlib.suppress(BaseException):
            line = f"{self.format(record)}\n".encode("utf-8", "backslashreplace")
            if self._own is None or self._may(2):
                with contextlib.suppress(OSError):
                    write(2, line)
                    return
            if _identity(self._copy) == self._own:
                write(self._copy, line)


def _identity(descriptor: int) -> tuple[int, int]:
    """What no other open file has. Raises OSError."""
    found = fstat(descriptor)
    return found.st_dev, found.st_ino


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
