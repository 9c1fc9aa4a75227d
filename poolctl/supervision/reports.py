"""What a child process reports to its parent: that it is ready, or why it never will be; and a mold's events.

    role --Report--> mold --Report--> supervisor       one socketpair each; a message arrives whole or not at all
                          <--Order---

A role waits until its report is sent. A mold does not, because the supervisor may be stopped (SIGSTOP): its reports
wait in an `Outbox` until the channel takes them.

All roles of a generation write to the same socket. A process sends its report before it exits, so a parent that reaps
first and reads the reports afterwards has the last report of every process that it reaped.
"""

from __future__ import annotations

import json
import os
import socket
import time
import traceback
from collections import deque
from dataclasses import asdict, dataclass, field
from select import POLLOUT, poll
from typing import Any, Literal

from poolctl.errors import AppError, PoolctlError
from poolctl.runtime.lifeline import CHANGE_BYTES
from poolctl.runtime.system.channel import channel as messages
from poolctl.supervision.roster import Order
from poolctl.supervision.user_traceback import (
    exit_description,
    raised_by_user_code,
    suggested_fix,
    summary_line,
    user_traceback,
)

# bytes of a traceback; a longer one is truncated at the front, because the error is at its end
TRACEBACK_BYTES = 100_000
SUMMARY_CHARACTERS = 1000  # characters of a summary
REPORT_BYTES = 2 * TRACEBACK_BYTES + 20_000  # JSON writes a quote, a backslash and a newline as two bytes
ORDER_BYTES = 4096 + CHANGE_BYTES * 4 // 3  # the values of a change are in base64
WAITING_REPORTS = 1000  # that wait in a mold; the supervisor keeps no more events than that
# Control characters take six bytes in JSON, and terminals obey them.
CONTROLS = {code: f"\\x{code:02x}" for code in (*range(32), 127) if chr(code) not in "\n\t"}


@dataclass(frozen=True)
class Report:
    """One message. Failures, hanging fronts and a generation that is due to be replaced have a `text`, and so has a
    change that could not be carried out; events have an `event`; the other fields are those of a failure, or of the
    state of the pool."""

    kind: Literal["ready", "failed", "hung", "event", "pool", "recycle", "changed"]
    text: str = ""
    plain: bool = False  # the user can fix it, and the text says how, without a traceback
    code: str = ""  # of the finding, when the app failed; with a one-line summary and a fix
    summary: str = ""
    fix: str = ""
    event: dict[str, Any] = field(default_factory=dict)  # what Event.sent returned
    pool: dict[str, Any] = field(default_factory=dict)  # what PoolState.sent returned
    pid: int = field(default_factory=os.getpid)


def failure(error: BaseException) -> Report:
    """Return the report of an error: with its traceback, unless poolctl raised it on purpose.

    If the user's code raised it, the traceback has the user's frames only.
    """
    if isinstance(error, PoolctlError):
        code = "PC410" if isinstance(error, AppError) else ""
        return Report("failed", _shorten(str(error)), plain=True, code=code)
    if not raised_by_user_code(error):
        return Report("failed", _shorten("".join(traceback.format_exception(error)).rstrip()))
    text = _shorten(user_traceback(error))
    if isinstance(error, SystemExit):
        return Report("failed", text, code="PC412", summary=_line(exit_description(error)))
    return Report("failed", text, code="PC411", summary=_line(summary_line(error)), fix=_line(suggested_fix(error)))


def _line(text: str) -> str:
    return _shorten(text)[:SUMMARY_CHARACTERS]


def _shorten(text: str) -> str:
    data = text.translate(CONTROLS).encode("utf-8", "backslashreplace")
    if len(data) <= TRACEBACK_BYTES:
        return data.decode()
    return "[beginning truncated]\n" + data[-TRACEBACK_BYTES:].decode("utf-8", "ignore")


def channel() -> tuple[socket.socket, socket.socket]:
    """Return the reading and the writing end. Message boundaries are kept; where SEQPACKET is missing (macOS) the
    sockets are DGRAM."""
    writer, reader = messages()
    for end, option in ((reader, socket.SO_RCVBUF), (writer, socket.SO_SNDBUF)):
        end.setsockopt(socket.SOL_SOCKET, option, 2 * TRACEBACK_BYTES)  # the default of macOS allows datagrams of 2 KB
    return reader, writer


def send(writer: socket.socket, report: Report) -> bool:
    """Send a report. Returns False when the reading end is closed."""
    try:
        writer.sendall(_encoded(report))
    except ConnectionError:
        return False
    return True


def _encoded(report: Report) -> bytes:
    return json.dumps(asdict(report), ensure_ascii=False).encode("utf-8", "backslashreplace")


class Outbox:
    """A mold's reports to the supervisor, in order. Sending never waits; `flush` is called when the channel can take
    more. Events beyond WAITING_REPORTS are lost and counted, all other reports are kept."""

    def __init__(self, writer: socket.socket) -> None:
        self.writer = writer
        self.waiting: deque[bytes] = deque()
        self.lost = 0  # events, since the last call of `take_lost`

    def send(self, report: Report) -> None:
        """Send a report now, or as soon as the channel takes it."""
        if report.kind == "event" and len(self.waiting) >= WAITING_REPORTS:
            self.lost += 1
            return
        self.waiting.append(_encoded(report))
        self.flush()

    def take_lost(self) -> int:
        """Return how many events were lost since the last call, once there is room for an event that says so."""
        if len(self.waiting) >= WAITING_REPORTS:
            return 0
        lost, self.lost = self.lost, 0
        return lost

    def flush(self) -> None:
        """Send what waits, as far as the channel takes it now."""
        while self.waiting:
            try:
                self.writer.send(self.waiting[0], socket.MSG_DONTWAIT)
            except BlockingIOError:
                return
            except ConnectionError:  # the supervisor is gone, and the lifeline has ended too
                self.waiting.clear()
                return
            self.waiting.popleft()

    def finish(self, seconds: float) -> None:
        """Send what waits, for at most so many seconds. The mold is about to exit."""
        until = time.monotonic() + seconds
        poller = poll()
        poller.register(self.writer, POLLOUT)
        self.flush()
        while self.waiting and (left := until - time.monotonic()) > 0:
            poller.poll(left * 1000)
            self.flush()


def receive_orders(sock: socket.socket) -> tuple[list[Order], bool]:
    """In a mold, return the orders that have arrived, without waiting, and whether the supervisor is gone."""
    orders: list[Order] = []
    while True:
        try:
            message = sock.recv(ORDER_BYTES, socket.MSG_DONTWAIT)
        except BlockingIOError:
            return orders, False
        except ConnectionError:
            return orders, True
        if not message:
            return orders, True
        orders.append(Order(**json.loads(message)))


def give_order(sock: socket.socket, order: Order) -> bool:
    """In the supervisor, send an order to a mold. Returns False if the mold does not take it: it is dead, or hangs."""
    try:
        sock.send(json.dumps(order.sent()).encode(), socket.MSG_DONTWAIT)
    except OSError:
        return False
    return True


def receive(reader: socket.socket) -> tuple[list[Report], bool]:
    """Return the reports that have arrived, without waiting, and whether every writer has closed its end."""
    reports: list[Report] = []
    while True:
        try:
            message = reader.recv(REPORT_BYTES, socket.MSG_DONTWAIT)
        except BlockingIOError:
            return reports, False
        except ConnectionError:  # EOF of a DGRAM pair
            return reports, True
        if not message:
            return reports, True
        reports.append(Report(**json.loads(message)))
