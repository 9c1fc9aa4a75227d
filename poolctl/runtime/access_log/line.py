"""Formatting a log line, by a function that is compiled once for the format.

Values that repeat are memoized: the time for a second, and the header fields while the protocol returns the same list.
Targets are not: a memo would cost as much as escaping them, and most do not repeat.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable
from datetime import datetime
from os import getpid
from time import monotonic_ns, time_ns
from typing import Any

from poolctl.runtime.access_log.directives import JSON, parse
from poolctl.runtime.access_log.escape import in_json, in_text

_MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"]

Line = Callable[[Any, Any, str, int, int, str, int], bytes]

# Text of the topology becomes a constant of this function, never code.
_SOURCE = """
def line(request, peer, status, size, nanoseconds, worker, now):
    stamp = clock.stamp if now < clock.until else clock.turn()
    headers, fields = header_fields.recent
    if headers is not request.headers:
        fields = header_fields.read(request.headers)
    {target}
    return ({template!r} % ({parts})).encode()
"""


def compile_line(text: str, *, known: bool = True) -> Line:
    """Return the function that formats lines in a format: ``json``, or directives.

    Its arguments are the request, its peer, the status as text, the bytes sent of the body, the duration in
    nanoseconds, the worker's name, and the monotonic time in nanoseconds. If ``known`` is false, it formats the lines
    of clients that were turned away before they sent a request, and reads only the headers of the request. Raises
    ValueError for an unknown directive.
    """
    template, parts, headers = parse(text, known=known)
    json = text == JSON
    escape = in_json if json else in_text
    names: dict[str, Any] = {
        "getpid": getpid,
        "clock": _LogDate(datetime.isoformat if json else _common),
        "escape": escape,
        "header_fields": _HeaderFields(headers, escape, "null" if json else "-"),
    }
    target = "target = escape(request.target)" if known else ""
    # Generated: saves a function call for each part.
    exec(_SOURCE.format(target=target, template=template + "\n", parts="".join(f"{part}, " for part in parts)), names)
    line: Line = names["line"]
    return line


def _common(moment: datetime) -> str:
    """Return the time in the Common Log Format; strftime would write the month in the language of the locale."""
    return f"{moment:%d}/{_MONTHS[moment.month - 1]}/{moment:%Y:%H:%M:%S %z}"


class _LogDate:
    """The local time of the current second, with its UTC offset. Two threads may both format it, with the same result.

    ``until``: the monotonic time in nanoseconds at which the second ends, so that callers that have that time need no
    other clock. If the wall clock is set, this is noticed at the end of the second.
    """

    __slots__ = ("_form", "stamp", "until")

    def __init__(self, form: Callable[[datetime], str]) -> None:
        self._form = form
        self.until = 0
        self.stamp = ""

    def turn(self) -> str:
        now, since = time_ns(), monotonic_ns()
        second, passed = divmod(now, 1_000_000_000)
        stamp = self._form(datetime.fromtimestamp(second).astimezone())
        self.stamp = stamp
        self.until = since + 1_000_000_000 - passed
        return stamp


class _HeaderFields:
    """The user and the logged headers of the last list of headers; saves finding and escaping them again. Replaced as a
    whole, so threads need no lock."""

    __slots__ = ("_absent", "_escape", "_wanted", "recent")

    def __init__(self, wanted: list[bytes], escape: Callable[[bytes], str], absent: str) -> None:
        self._wanted = wanted
        self._escape = escape
        self._absent = absent
        self.recent: tuple[Any, tuple[str, ...]] = ([], ())

    def read(self, headers: list[tuple[bytes, bytes]]) -> tuple[str, ...]:
        last = {name.lower(): value for name, value in headers}
        shown = [_user(last.get(b"authorization", b"")), *map(last.get, self._wanted)]
        fields = tuple(self._absent if value is None else self._escape(value) for value in shown)
        self.recent = headers, fields
        return fields


def _user(credentials: bytes) -> bytes | None:
    """Return the user name in Basic credentials (RFC 7617), accepted by the app or not; None if there is none."""
    scheme, _, token = credentials.partition(b" ")
    if scheme.lower() != b"basic":
        return None
    try:
        return base64.b64decode(token.strip(), validate=True).partition(b":")[0] or None
    except binascii.Error:
        return None
