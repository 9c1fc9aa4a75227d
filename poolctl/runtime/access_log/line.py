"""One line of the log, put together by a function that is compiled once for the format.

What stays the same is remembered: the time for a second, and the fields of the headers while the protocol gives the
same list. Targets are not: to remember one costs as much as to escape it, and most come once.
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

# The text of the file becomes one constant of this function, never its code.
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
    """The function that makes lines of a format: ``json``, or directives.

    It takes the request, its peer, the status as text, the bytes of the body, nanoseconds, the worker's name, and the
    monotonic time in nanoseconds. With ``known`` false it makes those of clients that were turned away before there was
    a request, and looks at none of its attributes but the headers. Raises ValueError for a directive that is not known.
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
    # Generated: saves the call of a function for each part.
    exec(_SOURCE.format(target=target, template=template + "\n", parts="".join(f"{part}, " for part in parts)), names)
    line: Line = names["line"]
    return line


def _common(moment: datetime) -> str:
    """The time as the Common Log Format has it; strftime would write the month in the language of the locale."""
    return f"{moment:%d}/{_MONTHS[moment.month - 1]}/{moment:%Y:%H:%M:%S %z}"


class _LogDate:
    """The time of this second, local with its offset. Threads may make it twice, never wrong.

    ``until``: the monotonic time in nanoseconds at which the second ends, so that who has that time at hand needs no
    other; when the clock of the wall is set, it is noticed at the end of the second.
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
    """The user and the wanted headers of the last list of headers; saves looking for them and escaping them again.
    Replaced as a whole, so threads need no lock."""

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
    """The name in Basic credentials (RFC 7617), whether or not the app believes them."""
    scheme, _, token = credentials.partition(b" ")
    if scheme.lower() != b"basic":
        return None
    try:
        return base64.b64decode(token.strip(), validate=True).partition(b":")[0] or None
    except binascii.Error:
        return None
