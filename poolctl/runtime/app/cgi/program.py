"""One run of a CGI program in its own process group: its output as it arrives, and its end in every case.

    body (a file) -- stdin -->  program  -- stdout --> read
                                         -- stderr --> the log, line by line

Everything is bounded: the time of the run, after which the group gets SIGTERM, and SIGKILL two seconds later; the
number of lines that are logged; and the bytes read at once. The leader is reaped only after its group was signalled, so
that its process ID cannot have been reused by then.
"""

from __future__ import annotations

import logging
import os
import select
import signal
import subprocess
from collections.abc import Iterator, Mapping
from time import monotonic
from typing import BinaryIO, Self

from poolctl.errors import ClientGone
from poolctl.runtime.app.cgi.warden import Warden

log = logging.getLogger("poolctl.app")
OUTPUT_BYTES = 65536
STDERR_LINES = 1000  # logged from the stderr of one run; further lines are read and discarded
STDERR_LINE_BYTES = 4096  # bytes logged of a line
GRACE_SECONDS = 2.0  # seconds that a program has to exit after its output ended, and after SIGTERM


class ProgramTimeout(Exception):
    """The program exceeded its time limit."""


class Program:
    """A running program. Leaving the context ends it."""

    def __init__(
        self, words: list[bytes], variables: Mapping[bytes, bytes], body: BinaryIO | int, seconds: float, warden: Warden
    ) -> None:
        """Start the program. ``body``: its stdin, a file or a descriptor; ``seconds``: the time limit. Raises OSError
        if it cannot be started."""
        self._name = os.fsdecode(os.path.basename(words[0]))
        self._until = monotonic() + seconds
        self._warden = warden
        self._process = subprocess.Popen(
            words,
            stdin=body,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=variables,
            cwd=os.path.dirname(words[0]),
            start_new_session=True,
        )
        self._group = self._process.pid
        warden.started(self._group)
        self._err = bytearray()
        self._lines = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *raised: object) -> None:
        try:
            self._end(by_force=raised[0] is not None)
        finally:
            for pipe in (self._process.stdout, self._process.stderr):
                assert pipe is not None  # created by Popen
                pipe.close()

    def output(self, client: int) -> Iterator[bytes]:
        """Yield the output in pieces until its end. ``client``: the descriptor of the client's connection, or -1.

        Raises ProgramTimeout, and ClientGone if the connection was reset.
        """
        assert self._process.stdout is not None  # created by Popen
        assert self._process.stderr is not None
        out, err = self._process.stdout.fileno(), self._process.stderr.fileno()
        poll = select.poll()
        poll.register(out, select.POLLIN)
        poll.register(err, select.POLLIN)
        if client >= 0:
            poll.register(client, 0)  # errors and hang-ups are always reported (poll(2))
        while True:
            left = self._until - monotonic()
            events = poll.poll(max(left, 0) * 1000)
            if left <= 0:
                raise ProgramTimeout
            for fd, _ in events:
                if fd == client:
                    raise ClientGone("the client left while its program was running")
                data = os.read(fd, OUTPUT_BYTES)
                if fd == err:
                    self._log(data)
                    if not data:
                        poll.unregister(err)
                elif data:
                    yield data
                else:
                    return

    def _log(self, data: bytes) -> None:
        """Log complete lines of stderr; empty ``data`` means its end."""
        self._err += data
        *lines, rest = self._err.split(b"\n")
        if not data or len(rest) > STDERR_LINE_BYTES:
            lines.append(rest)
            rest = bytearray()
        self._err = rest
        for line in filter(None, lines):
            self._lines += 1
            if self._lines <= STDERR_LINES:
                log.warning("%s: %s", self._name, line[:STDERR_LINE_BYTES].decode(errors="backslashreplace"))
            elif self._lines == STDERR_LINES + 1:
                log.warning(
                    "%s: wrote more than %d lines to stderr; further lines are not logged", self._name, STDERR_LINES
                )

    def _end(self, *, by_force: bool) -> None:
        """Wait for the program to exit, or end it."""
        if not by_force and self._ended(GRACE_SECONDS):
            self._reap()
            return
        self._signal(signal.SIGTERM)
        self._ended(GRACE_SECONDS)
        self._signal(signal.SIGKILL)
        self._ended(None)
        self._reap()

    def _ended(self, seconds: float | None) -> bool:
        """Wait until the leader has exited, without reaping it. Return False if it did not within ``seconds``."""
        try:
            fd = os.pidfd_open(self._group)
        except (AttributeError, OSError):  # not available (macOS, Linux before 5.3): poll instead
            return self._exited_by_polling(seconds)
        try:
            poll = select.poll()
            poll.register(fd, select.POLLIN)
            return bool(poll.poll(None if seconds is None else seconds * 1000))
        finally:
            os.close(fd)

    def _exited_by_polling(self, seconds: float | None) -> bool:
        until = None if seconds is None else monotonic() + seconds
        flags = os.WEXITED | os.WNOWAIT | (0 if until is None else os.WNOHANG)
        while os.waitid(os.P_PID, self._group, flags) is None:
            if until is not None and monotonic() > until:
                return False
            select.select([], [], [], 0.01)
        return True

    def _signal(self, number: signal.Signals) -> None:
        try:
            os.killpg(self._group, number)
        except (ProcessLookupError, PermissionError) as error:  # PermissionError: macOS, for a group of zombies
            log.debug("%s: its process group is gone: %s", self._name, error)

    def _reap(self) -> None:
        self._warden.ended(self._group)
        code = self._process.wait()
        assert self._process.stderr is not None
        os.set_blocking(self._process.stderr.fileno(), False)
        try:
            self._log(os.read(self._process.stderr.fileno(), OUTPUT_BYTES))
        except BlockingIOError:
            log.debug("%s: another process still has its stderr open", self._name)
        self._log(b"")
        if code:
            log.info("%s: ended with %s", self._name, f"signal {-code}" if code < 0 else f"exit code {code}")
