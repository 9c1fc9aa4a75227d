"""The access log of a topology: its format, and the file that every process appends to.

    request --> Entries --line--> write(2), O_APPEND --> one file for all processes

Each line is one write, so lines of several processes do not mix (write(2): with O_APPEND the end is found and written
in one step; pipe(7): up to PIPE_BUF bytes are not divided), and a worker that is killed loses none that it has written.

    SIGUSR1 --> supervisor --> mold --> roles      each opens the path again and puts it in the old one's place

The file is opened by the supervisor and inherited; always with the rights of the user that roles run as, for root would
follow any link that this user has put in its place. A reopening that fails leaves the old one there, and is logged.
"""

from __future__ import annotations

import logging
import os
import re
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
STREAMS = {"stdout": 1, "stderr": 2}
COMPLAINT = 60.0  # seconds between two complaints that lines are lost


class _Nothing:
    """The request of a client that is turned away before there is one."""

    headers: list[tuple[bytes, bytes]] = []  # noqa: RUF012  # always empty, and always the same list


class _Line(_Nothing):
    """A request of which the first line is all that is known."""

    def __init__(self, found: re.Match[bytes]) -> None:
        self.method = found[1].decode("ascii")
        self.target = found[2]
        self.version = found[3].decode("ascii")


LINE = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]{1,64}) ([^ ]+) HTTP/([0-9](?:\.[0-9])?)")


class AccessLog:
    """Opened before anything is forked. ``form``: a word or directives; ``to``: stdout, stderr or a path."""

    def __init__(self, form: str, to: str, user: Identity | None = None) -> None:
        """``user``: who opens the file, where that is not this process. Raises PoolctlError when it cannot be."""
        directives = FORMATS.get(form, form)
        self.line = compile_line(directives)
        self._other = compile_line(directives, known=False)
        self.path = "" if to in STREAMS else os.path.abspath(to)
        self._user = user
        self._lost = 0
        self._complained = -COMPLAINT
        if self.path:
            try:
                self.fd = self._open()
            except OSError as error:
                who = f" as user {user.name or user.uid}" if user else ""
                reason = f"cannot be opened{who}: {error.strerror}"
                raise PoolctlError(f"access_log: {self.path} {reason}") from error
        else:
            self.fd = STREAMS[to]

    def _open(self) -> int:
        with self._user.acting() if self._user else nullcontext():
            return os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOCTTY, 0o640)

    def reopen(self) -> None:
        """Go on in the file that now has the name. No line is lost: the descriptor is replaced in one step (dup2)."""
        if not self.path:
            return
        try:
            fd = self._open()
        except OSError as error:
            log.error("access_log: %s cannot be opened again, the old file is kept: %s", self.path, error.strerror)
            return
        os.dup2(fd, self.fd, inheritable=False)
        close(fd)

    def lose(self, reason: str) -> None:
        """A line could not be written. That costs no request; it is counted, and the log told once a minute."""
        self._lost += 1
        if monotonic() - self._complained >= COMPLAINT:
            log.error("access_log: %d lines are lost: %s", self._lost, reason)
            self._complained = monotonic()
            self._lost = 0

    def turned_away(self, status: int, peer: Peer, line: bytes) -> None:
        """The line of a client who got no further than the server. Of its request no more is shown than the first line,
        where one has come that has the form of one."""
        found = LINE.fullmatch(line)
        make, request = (self.line, _Line(found)) if found else (self._other, _Nothing)
        try:
            write(self.fd, make(request, peer, str(status), 0, 0, "-", monotonic_ns()))
        except OSError as error:
            self.lose(str(error.strerror))
