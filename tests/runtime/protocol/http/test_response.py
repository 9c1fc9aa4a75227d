"""Heads that are remembered are those that would be built anew, whatever requests come in between."""

from __future__ import annotations

import random
import re
from typing import Any

import pytest

from poolctl.runtime.protocol.http import encode, response
from poolctl.runtime.protocol.http.request import HttpRequest
from poolctl.runtime.protocol.http.response import HttpResponse

DATE = re.compile(rb"\r\nDate: [^\r]*")
HEADERS: list[list[tuple[str, str]]] = [
    [("Content-Type", "text/plain"), ("Content-Length", "5")],
    [("Content-Type", "text/plain")],
    [("Content-Length", "5"), ("Server", "mine")],
    [("Content-Length", "5"), ("Date", "now")],
    [],
]


class Out:
    """What was sent. ``last``: the connection ends with this response."""

    began = False
    observer: Any = None

    def __init__(self, last: bool) -> None:
        self.last = last
        self.sent = b""

    def send(self, data: bytes) -> None:
        self.sent += data


def answered(status: str, headers: list[tuple[str, str]], method: str, version: str, keep: bool, last: bool) -> bytes:
    request = HttpRequest(method, b"/", version, [], keep, None)  # type: ignore[arg-type]  # it has no conversation
    out = Out(last)
    made = HttpResponse(request, out)  # type: ignore[arg-type]  # an output, as far as a small response needs it
    made.begin(status, list(headers))
    made.whole((b"hello",))
    assert made.keep == (b"Connection: close" not in out.sent)
    return DATE.sub(b"", out.sent)


def test_a_remembered_head_is_the_same_as_a_new_one() -> None:
    draw = random.Random(7)
    kinds = [
        (status, headers, method, version, keep, last)
        for status in ("200 OK", "404 Not Found", "204 No Content", "304 Not Modified", "205 Reset Content")
        for headers in HEADERS
        for method in ("GET", "HEAD")
        for version in ("1.1", "1.0")
        for keep in (True, False)
        for last in (False, True)
    ]
    expected = {}
    for number, kind in enumerate(kinds):
        response.known_heads.clear()
        expected[number] = answered(*kind)
    response.known_heads.clear()
    numbers = list(range(len(kinds))) * 4
    draw.shuffle(numbers)
    for number in numbers:
        assert answered(*kinds[number]) == expected[number], kinds[number]


def test_the_date_of_a_remembered_head_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also in a head that closes the connection."""
    for keep in (True, False):
        dates = []
        for second in (1_000_000_000, 1_000_000_000, 1_000_000_001, 1_000_000_002):
            monkeypatch.setattr(encode, "time", lambda second=second: second)
            out = Out(last=not keep)
            made = HttpResponse(HttpRequest("GET", b"/", "1.1", [], True, None), out)  # type: ignore[arg-type]
            made.begin("200 OK", list(HEADERS[0]))
            made.whole((b"hello",))
            dates.append(out.sent.partition(b"Date: ")[2][:29])
        assert dates[0] == dates[1]
        assert [date[-6:-4] for date in dates[1:]] == [b"40", b"41", b"42"]
