"""The access log of a topology: its format, and the file that every process appends to.

    request --> Entries --line--> write(2), O_APPEND --> one file for all processes

Each line is one write, so lines of several processes do not mix (write(2): with O_APPEND, seeking to the end and
writing are atomic; pipe(7): writes of up to PIPE_BUF bytes are atomic), and a worker that is killed loses no line that
it has written.

    SIGUSR1 --> supervisor --> mold --> roles      each reopens the path and replaces its descriptor

The supervisor opens the file, and roles inherit it. It is always opened with the rights of the user that roles run as,
because root would follow any link that this user puts in its place. If reopening fails, the old file stays open, and
the failure is logged.

If the disk is full, lines are lost, and the last one may be there in part. Whoever has lost a line ends that part
before its next one. Not guaranteed: a process that has lost none may add its line to it.
"""

from __future__ import annotations

import logging
import os
import re
import stat
from contextlib import nullcontext
from os import close, write
from time import monotonic, monotonic_ns

from poolctl.errors import PoolctlError
from poolctl.runtime.access_log.directives import COMBINED, COMMON
from poolctl.runtime.access_log.line import compile_line
from poolctl.runtime.system.identity import Identity
from poolctl.runtime.task import Peer

log = logging.getLogger("poolctl")

FORMATS = {"common": COMMON, "combined": COMBINED, "json": "json"}
STANDARD_STREAMS = {"stdout": 1, "stderr": 2}
LOST_LINES_SECONDS = 60.0  # seconds between two log messages about lost lines


class _Nothing:
    """The request of a client that was turned away before it sent one."""

    headers: list[tuple[bytes, bytes]] = []  # noqa: RUF012  # always empty, and always the same list


class _Line(_Nothing):
    """A request of which only the first line is known."""

    def __init__(self, found: re.Match[bytes]) -> None:
        self.method = found[1].decode("ascii")
        self.target = found[2]
        self.version = found[3].decode("ascii")


REQUEST_LINE = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]{1,64}) ([^ ]+) HTTP/([0-9](?:\.[0-9])?)")


class AccessLog:
    """The open log, created before any fork. ``form``: a word or directives; ``to``: stdout, stderr or a path."""

    def __init__(self, form: str, to: str, user: Identity | None = None) -> None:
        """``user``: the user whose rights open the file, None for those of this process. Raises PoolctlError if the
        file cannot be opened."""
        directives = FORMATS.get(form, form)
        self.line = compile_line(directives)
        self._other = compile_line(directives, known=False)
        self.path = "" if to in STANDARD_STREAMS else os.path.abspath(to)
        self._user = user
        self._lost = 0
        self._complained = -LOST_LINES_SECONDS
        if self.path:
            try:
                self.fd = self._open()
            except OSError as error:
                who = f" as user {user.name or user.uid}" if user else ""
                reason = f"cannot be opened{who}: {error.strerror}"
                raise PoolctlError(f"access_log: {self.path} {reason}") from error
        else:
            self.fd = STANDARD_STREAMS[to]

    def _open(self) -> int:
        with self._user.acting() if self._user else nullcontext():
            return os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOCTTY, 0o640)

    def reopen(self) -> None:
        """Continue in the file that has the name now. No line is lost: dup2(2) replaces the descriptor atomically."""
        if not self.path:
            return
        try:
            fd = self._open()
        except OSError as error:
            log.error("access_log: cannot reopen %s, the old file stays open: %s", self.path, error.strerror)
            return
        os.dup2(fd, self.fd, inheritable=False)
        close(fd)

    def close(self) -> None:
        """Close the file; a standard stream stays open."""
        if self.path:
            close(self.fd)

    def lose(self, reason: str) -> None:
        """Count a line that could not be written, and log the number of lost lines at most once a minute."""
        self._lost += 1
        if monotonic() - self._complained >= LOST_LINES_SECONDS:
            log.error("access_log: lost %d line%s: %s", self._lost, "s" * (self._lost != 1), reason)
            self._complained = monotonic()
            self._lost = 0

    def torn(self) -> bool:
        """Return whether the file ends with part of a line, since there was no room for the rest of it. False for what
        is no file, or cannot be read."""
        try:
            if not self.path or not stat.S_ISREG(os.fstat(self.fd).st_mode):
                return False
            with open(f"/proc/self/fd/{self.fd}", "rb", buffering=0) as file:  # not the path: it may be another file
                size = file.seek(0, os.SEEK_END)
                return size > 0 and os.pread(file.fileno(), 1, size - 1) != b"\n"
        except OSError:
            return False

    def turned_away(self, status: int, peer: Peer, line: bytes) -> None:
        """Write the line of a client that was turned away before its request reached the app. It shows the first line
        of the request, if a well-formed one was received."""
        found = REQUEST_LINE.fullmatch(line)
        make, request = (self.line, _Line(found)) if found else (self._other, _Nothing)
        try:
            write(self.fd, make(request, peer, str(status), 0, 0, "-", monotonic_ns()))
        except OSError as error:
            self.lose(str(error.strerror))
