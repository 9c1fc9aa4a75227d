"""What a child process tells its parent: that it is ready, or why it never will be.

    role --Report--> mold --Report--> supervisor       one socketpair each, a whole message or nothing

All roles of a generation write to the same socket. A report is sent before its process can be found dead, so whoever
reaps first and reads the reports after that has the last words of everyone it reaped.
"""

from __future__ import annotations

import json
import os
import socket
import traceback
from dataclasses import asdict, dataclass, field
from typing import Literal

from poolctl.errors import AppError, PoolctlError
from poolctl.runtime.system.channel import channel as messages
from poolctl.supervision.own_traceback import at_fault, in_a_line, left_with, own_traceback, remedy

LONGEST = 100_000  # bytes of a traceback; of a longer one the end, where the error stands
LINE = 1000  # characters of what an error says in a line
MESSAGE = 2 * LONGEST + 20_000  # JSON writes a quote, a backslash and a line's end as two bytes
CONTROLS = {
    code: f"\\x{code:02x}" for code in (*range(32), 127) if chr(code) not in "\n\t"
}  # six in JSON; and terminals obey


@dataclass(frozen=True)
class Report:
    """One message; `text` belongs to a failure and to a front that hangs, `plain` to a failure."""

    kind: Literal["ready", "failed", "hung"]
    text: str = ""
    plain: bool = False  # the user can mend it, and the text says how: no traceback
    code: str = ""  # of a failure of the app: the finding that it is, with what it says in a line, and how to mend it
    said: str = ""
    mend: str = ""
    pid: int = field(default_factory=os.getpid)


def failure(error: BaseException) -> Report:
    """The report of an error: with the traceback, unless it is one that poolctl raises on purpose. Of one that came up
    in the user's code the frames that are the user's."""
    if isinstance(error, PoolctlError):
        code = "PC410" if isinstance(error, AppError) else ""
        return Report("failed", _shorten(str(error)), plain=True, code=code)
    if not at_fault(error):
        return Report("failed", _shorten("".join(traceback.format_exception(error)).rstrip()))
    text = _shorten(own_traceback(error))
    if isinstance(error, SystemExit):
        return Report("failed", text, code="PC412", said=_line(left_with(error)))
    return Report("failed", text, code="PC411", said=_line(in_a_line(error)), mend=_line(remedy(error)))


def _line(text: str) -> str:
    return _shorten(text)[:LINE]


def _shorten(text: str) -> str:
    data = text.translate(CONTROLS).encode("utf-8", "backslashreplace")
    if len(data) <= LONGEST:
        return data.decode()
    return "[the beginning is left out]\n" + data[-LONGEST:].decode("utf-8", "ignore")


def channel() -> tuple[socket.socket, socket.socket]:
    """The reading and the writing end. Messages have borders; DGRAM serves where SEQPACKET is missing (macOS)."""
    writer, reader = messages()
    for end, option in ((reader, socket.SO_RCVBUF), (writer, socket.SO_SNDBUF)):
        end.setsockopt(socket.SOL_SOCKET, option, 2 * LONGEST)  # macOS lets a datagram of 2 KB through, unasked
    return reader, writer


def send(writer: socket.socket, report: Report) -> bool:
    """False when nobody is left to read it."""
    try:
        writer.sendall(json.dumps(asdict(report), ensure_ascii=False).encode())
    except ConnectionError:
        return False
    return True


def receive(reader: socket.socket) -> tuple[list[Report], bool]:
    """What has arrived, without waiting, and whether that was all because every writer has closed."""
    reports: list[Report] = []
    while True:
        try:
            message = reader.recv(MESSAGE, socket.MSG_DONTWAIT)
        except BlockingIOError:
            return reports, False
        except ConnectionError:  # so a DGRAM pair says it
            return reports, True
        if not message:
            return reports, True
        reports.append(Report(**json.loads(message)))
