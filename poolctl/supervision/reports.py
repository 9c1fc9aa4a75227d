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

from poolctl.errors import PoolctlError
from poolctl.runtime.channel import channel as messages

LONGEST = 100_000  # bytes of a traceback; of a longer one the end, where the error stands
MESSAGE = 2 * LONGEST + 1000  # JSON writes a quote, a backslash and a line's end as two bytes
CONTROLS = {
    code: f"\\x{code:02x}" for code in (*range(32), 127) if chr(code) not in "\n\t"
}  # six in JSON; and terminals obey


@dataclass(frozen=True)
class Report:
    """One message; `text` belongs to a failure and to a front that hangs, `plain` to a failure."""

    kind: Literal["ready", "failed", "hung"]
    text: str = ""
    plain: bool = False  # the user can mend it, and the text says how: no traceback
    pid: int = field(default_factory=os.getpid)


def failure(error: BaseException) -> Report:
    """The report of an error: with the traceback, unless it is one that poolctl raises on purpose."""
    if isinstance(error, PoolctlError):
        return Report("failed", _shorten(str(error)), plain=True)
    return Report("failed", _shorten("".join(traceback.format_exception(error)).rstrip()))


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
