"""One run of a CGI program: a process group of its own, its output as it comes, and its end whatever happens.

    body (a file) -- stdin -->  program  -- stdout --> read
                                         -- stderr --> the log, line by line

Everything has a bound: the time of the whole run, after which the group is asked to end (SIGTERM), and two seconds
later made to (SIGKILL); the number of lines that go to the log; and what is read at once. The leader is reaped only
after its group was signalled, so that its number cannot be another's by then.
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
READ = 65536
LINES = 1000  # of one run's stderr that are logged; what comes after them is only read
LONGEST = 4096  # bytes of such a line
GRACE = 2.0  # seconds that a program has to end by itself, after its output's end and after SIGTERM


class ProgramTimeout(Exception):
    """The program took longer than it may."""


class Program:
    """A program that runs. Leaving the context ends it."""

    def __init__(
        self, words: list[bytes], variables: Mapping[bytes, bytes], body: BinaryIO | int, seconds: float, warden: Warden
    ) -> None:
        """Raises OSError when it cannot be started. ``body``: a file with a descriptor, read from its start."""
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
                assert pipe is not None  # it was asked for
                pipe.close()

    def output(self, client: int) -> Iterator[bytes]:
        """The pieces of its output, until the end. ``client``: a descriptor whose reset ends the program, or -1.

        Raises Overdue, and ClientGone.
        """
        assert self._process.stdout is not None  # it was asked for
        assert self._process.stderr is not None
        out, err = self._process.stdout.fileno(), self._process.stderr.fileno()
        poll = select.poll()
        poll.register(out, select.POLLIN)
        poll.register(err, select.POLLIN)
        if client >= 0:
            poll.register(client, 0)  # an error and a hang-up are told of unasked
        while True:
            left = self._until - monotonic()
            events = poll.poll(max(left, 0) * 1000)
            if left <= 0:
                raise ProgramTimeout
            for fd, _ in events:
                if fd == client:
                    raise ClientGone("the client left while a program ran for it")
                data = os.read(fd, READ)
                if fd == err:
                    self._log(data)
                    if not data:
                        poll.unregister(err)
                elif data:
                    yield data
                else:
                    return

    def _log(self, data: bytes) -> None:
        """What it writes to stderr, line by line."""
        self._err += data
        *lines, rest = self._err.split(b"\n")
        if not data or len(rest) > LONGEST:
            lines.append(rest)
            rest = bytearray()
        self._err = rest
        for line in filter(None, lines):
            self._lines += 1
            if self._lines <= LINES:
                log.warning("%s: %s", self._name, line[:LONGEST].decode(errors="backslashreplace"))
            elif self._lines == LINES + 1:
                log.warning("%s: more than %d lines; the others are not logged", self._name, LINES)

    def _end(self, *, by_force: bool) -> None:
        """Wait for its end, or bring it about."""
        if not by_force and self._ended(GRACE):
            self._reap()
            return
        self._signal(signal.SIGTERM)
        self._ended(GRACE)
        self._signal(signal.SIGKILL)
        self._ended(None)
        self._reap()

    def _ended(self, seconds: float | None) -> bool:
        """Wait for the leader's end without reaping it."""
        try:
            fd = os.pidfd_open(self._group)
        except (AttributeError, OSError):  # no such call here (macOS, Linux before 5.3): look often instead
            return self._looked(seconds)
        try:
            poll = select.poll()
            poll.register(fd, select.POLLIN)
            return bool(poll.poll(None if seconds is None else seconds * 1000))
        finally:
            os.close(fd)

    def _looked(self, seconds: float | None) -> bool:
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
        except (ProcessLookupError, PermissionError) as error:  # PermissionError: macOS, of a group of zombies
            log.debug("%s: nothing is left of its group: %s", self._name, error)

    def _reap(self) -> None:
        self._warden.ended(self._group)
        code = self._process.wait()
        assert self._process.stderr is not None
        os.set_blocking(self._process.stderr.fileno(), False)
        try:
            self._log(os.read(self._process.stderr.fileno(), READ))
        except BlockingIOError:
            log.debug("%s: somebody else has its stderr", self._name)
        self._log(b"")
        if code:
            log.info("%s: it ended with %s", self._name, f"signal {-code}" if code < 0 else f"exit code {code}")
