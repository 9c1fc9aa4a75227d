"""Log lines on stderr: `2026-11-23 08:00:00.123 [4711] info  message`, whatever an app does to logging or to stderr."""

from __future__ import annotations

import _thread
import contextlib
import logging
import stat
import sys
from _thread import allocate_lock, get_ident, start_new_thread
from collections.abc import Mapping
from fcntl import F_DUPFD_CLOEXEC, fcntl
from logging import LogRecord
from os import fstat, getpid, register_at_fork, write
from time import time
from typing import Any, TextIO

NAMES = {10: "DEBUG", 20: "INFO", 30: "WARNING", 40: "ERROR", 50: "CRITICAL"}


class LineFormatter(logging.Formatter):
    """Formats local time to the millisecond, the pid, the level in lower case, and the message."""

    default_time_format = "%Y-%m-%d %H:%M:%S"
    default_msec_format = "%s.%03d"

    def __init__(self) -> None:
        super().__init__("%(asctime)s [%(process)d] %(short_level)-5s %(message)s")

    def format(self, record: logging.LogRecord) -> str:
        record.short_level = {"WARNING": "warn", "CRITICAL": "fatal"}.get(record.levelname, record.levelname.lower())
        return super().format(record)


class RobustLogger(logging.Logger):
    """A logger that an app can neither disable nor break.

    dictConfig and fileConfig disable all existing loggers that they do not name, and logging.disable() disables all. An
    app may also install a record factory, a filter or a handler that raises; that must not reach the caller, which has
    resources to free.
    """

    @property
    def disabled(self) -> bool:
        """Always False."""
        return False

    @disabled.setter
    def disabled(self, value: bool) -> None:
        """Ignored; an app that wants silence sets a level."""

    def isEnabledFor(self, level: int) -> bool:  # the name is logging's
        """Whether the level is enabled, by this logger's own level alone."""
        return level >= self.getEffectiveLevel()

    def _log(self, level: int, msg: object, args: Any, exc_info: Any = None, *rest: Any, **more: Any) -> None:
        if _thread.start_new_thread is not start_new_thread:
            # gevent has replaced the locks of threading, and two threads that wait for such a lock deadlock.
            self._log_directly(level, msg, args, exc_info)
            return
        try:
            super()._log(level, msg, args, exc_info, *rest, **more)
        except BaseException as error:  # noqa: BLE001  # the boundary, which logs both
            self._log_directly(level, msg, args, exc_info)
            name = type(error).__name__
            self._log_directly(logging.ERROR, "a logging hook that the app installed raised %s", (name,), None)

    def _log_directly(self, level: int, msg: object, args: Any, exc_info: Any) -> None:
        """Log without the hooks that the app may have installed, and without logging's locks. Never raises."""
        with contextlib.suppress(BaseException):
            record = LogRecord.__new__(LogRecord)  # the constructor would take locks, to find the thread's name
            record.__dict__.update(
                {"name": self.name, "levelno": level, "levelname": NAMES.get(level, str(level)), "process": getpid()},
                msg=msg, args=args, exc_info=_exc_tuple(exc_info), exc_text=None, stack_info=None, created=time(),
            )  # fmt: skip
            record.msecs = int(record.created % 1 * 1000)
            try:
                record.getMessage()
            except BaseException:  # noqa: BLE001  # arguments that come from the app and raise
                record.args = ()
            for handler in logging.root.manager.loggerDict["poolctl"].handlers:  # type: ignore[union-attr]  # no lock
                if isinstance(handler, StderrHandler):
                    handler.write_record(record)


def _exc_tuple(exc_info: Any) -> Any:
    """Return ``exc_info`` as records have it: (type, error, traceback) or None."""
    if isinstance(exc_info, BaseException):
        return type(exc_info), exc_info, exc_info.__traceback__
    return exc_info if isinstance(exc_info, tuple) else sys.exc_info() if exc_info else None


class StderrHandler(logging.StreamHandler[TextIO]):
    """Writes to the standard error that the process was started with.

    An app may close it, and then its descriptor number may be reused for a client's socket. Nothing is written to such
    a socket; the line goes to a duplicate of the original descriptor instead, unless that was closed too. Lines that
    cannot be written raise nothing. The lock is the interpreter's own, whatever the app does to those of threading.
    """

    def __init__(self, stream: TextIO) -> None:
        super().__init__(stream)
        self._lock = allocate_lock()  # not a lock of threading
        self._owner = 0  # the thread that holds the lock
        register_at_fork(after_in_child=self._reset_lock)  # another thread may hold it at the fork
        self._original: tuple[int, int] | None = None  # the identity of the original standard error
        self._duplicate = -1
        with contextlib.suppress(OSError, ValueError):  # the stream has no descriptor, as in tests of this module
            self._original = _identity(stream.fileno())
            self._duplicate = fcntl(stream.fileno(), F_DUPFD_CLOEXEC, 3)

    def _reset_lock(self) -> None:
        self._lock = allocate_lock()
        self._owner = 0

    def handle(self, record: LogRecord) -> bool:
        """Write a record that passes the filters. Returns whether it did."""
        passed = bool(self.filter(record))
        if passed:
            self.write_record(record)
        return passed

    def write_record(self, record: LogRecord) -> None:
        """Write a record, whatever the filters say."""
        thread = get_ident()
        if self._owner == thread:  # formatting the record has logged something itself
            return
        with self._lock:
            self._owner = thread
            try:
                self.emit(record)
            finally:
                self._owner = 0

    def emit(self, record: LogRecord) -> None:
        if self._original is None or self._is_writable(2):
            super().emit(record)
        else:
            self.handleError(record)

    def _is_writable(self, descriptor: int) -> bool:
        """Whether it is the original, or a file that the app put there for its logs; a socket may be a client's."""
        with contextlib.suppress(OSError):
            return not stat.S_ISSOCK(fstat(descriptor).st_mode) or _identity(descriptor) == self._original
        return False

    def handleError(self, record: LogRecord) -> None:  # the name is logging's
        """Called when the stream cannot be written: write to the descriptor, or else to the duplicate."""
        with contextlib.suppress(BaseException):
            line = f"{self.format(record)}\n".encode("utf-8", "backslashreplace")
            if self._original is None or self._is_writable(2):
                with contextlib.suppress(OSError):
                    write(2, line)
                    return
            if _identity(self._duplicate) == self._original:
                write(self._duplicate, line)


def _identity(descriptor: int) -> tuple[int, int]:
    """Return the device and inode of an open file. Raises OSError."""
    found = fstat(descriptor)
    return found.st_dev, found.st_ino


LOGGERS = ("poolctl", "poolctl.app", "poolctl.protocol")
LEVELS = {"debug": logging.DEBUG, "info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}
VARIABLE = "POOLCTL_LOG"


def level_in(environ: Mapping[str, str]) -> int:
    """Return the level that POOLCTL_LOG names, in upper or lower case; without it INFO. Raises ValueError."""
    name = environ.get(VARIABLE) or "info"
    try:
        return LEVELS[{"warn": "warning"}.get(name.lower(), name.lower())]  # as the log writes it
    except KeyError:
        *names, last = LEVELS
        raise ValueError(f'unknown log level "{name}"; write {", ".join(names)} or {last}') from None


def start_logging(stream: TextIO | None = None, level: int = logging.INFO) -> None:
    """Configure poolctl's own loggers; the user's loggers are left alone. ``level``: lines below it are left out."""
    for name in LOGGERS:
        logging.getLogger(name).__class__ = RobustLogger
    handler = StderrHandler(stream or sys.stderr)
    handler.setFormatter(LineFormatter())
    log = logging.getLogger("poolctl")
    log.handlers = [handler]
    log.setLevel(level)
    log.propagate = False
