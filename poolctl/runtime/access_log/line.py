"""One line of the log, put together by a function that is compiled once for the format.

What stays the same is remembered: the time for a second, a target for as long as it is among the last ones, the fields
of the headers while the protocol gives the same list. That is what keeps a line below two microseconds.
"""

from __future__ import annotations

import ast
import base64
import binascii
import re
from collections.abc import Callable
from datetime import datetime
from os import getpid
from time import monotonic_ns, time_ns
from typing import Any

from poolctl.runtime.access_log.directives import JSON, parse
from poolctl.runtime.access_log.escape import in_json, in_text

MEMO = 1024  # targets remembered; a full memo is emptied, so what is used stays
LONGEST = 256  # bytes of a target that is remembered

_MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"]

Line = Callable[[Any, Any, str, int, int, str, int], bytes]

_SOURCE = """
def line(request, peer, status, size, nanoseconds, worker, now):
    stamp = clock.stamp if now < clock.until else clock.turn()
    {target}
    headers, fields = header_fields.recent
    if headers is not request.headers:
        fields = header_fields.read(request.headers)
    return
"""
_PLACE = re.compile(r"%(s|d|%|\.6f)")


def compile_line(text: str, *, known: bool = True) -> Line:
    """The function that makes lines of a format: ``json``, or directives.

    It takes the request, its peer, the status as text, the bytes of the body, nanoseconds, the worker's name, and the
    monotonic time in nanoseconds. With
    ``known`` false it makes those of clients that were turned away before there was a request, and looks at none of its
    attributes but the headers. Raises ValueError for a directive that is not known.
    """
    template, parts, headers = parse(text, known=known)
    json = text == JSON
    escape = in_json if json else in_text
    names: dict[str, Any] = {
        "getpid": getpid,
        "clock": _Clock(datetime.isoformat if json else _common),
        "targets": _Targets(escape),
        "header_fields": _HeaderFields(headers, escape, "null" if json else "-"),
    }
    target = "target = targets.get(request.target) or targets.learn(request.target)" if known else ""
    tree = ast.parse(_SOURCE.format(target=target))
    function = tree.body[0]
    assert isinstance(function, ast.FunctionDef)
    function.body[-1] = ast.Return(
        ast.Call(ast.Attribute(_joined(template + "\n", parts), "encode", ast.Load()), [], [])
    )
    exec(compile(ast.fix_missing_locations(tree), "<access_log>", "exec"), names)
    line: Line = names["line"]
    return line


def _joined(template: str, parts: list[str]) -> ast.JoinedStr:
    """An f-string: half the time of a %-template. The text of the file becomes constants, never code."""
    values: list[ast.expr] = []
    expressions = iter(parts)
    literals = _PLACE.split(template)
    for literal, place in zip(literals[::2], [*literals[1::2], ""], strict=True):
        values.append(ast.Constant(literal + ("%" if place == "%" else "")))
        if place in ("s", "d", ".6f"):
            form = ast.JoinedStr([ast.Constant(place)]) if place == ".6f" else None
            values.append(ast.FormattedValue(ast.parse(next(expressions), mode="eval").body, -1, form))
    return ast.JoinedStr(values)


def _common(moment: datetime) -> str:
    """The time as the Common Log Format has it; strftime would write the month in the language of the locale."""
    return f"{moment:%d}/{_MONTHS[moment.month - 1]}/{moment:%Y:%H:%M:%S %z}"


class _Clock:
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


class _Targets(dict[bytes, str]):
    """Targets as they look in a line."""

    def __init__(self, escape: Callable[[bytes], str]) -> None:
        super().__init__()
        self._escape = escape

    def learn(self, target: bytes) -> str:
        text = self._escape(target)
        if len(target) <= LONGEST:
            if len(self) >= MEMO:
                self.clear()
            self[target] = text
        return text


class _HeaderFields:
    """The user and the wanted headers of the last list of headers. Replaced as a whole, so threads need no lock."""

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
