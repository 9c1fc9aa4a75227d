"""What a worker tells of the sessions that its responses begin."""

from __future__ import annotations

import pytest

from poolctl.runtime.affinity.cookie import Cookie
from poolctl.runtime.affinity.header import Header
from poolctl.runtime.affinity.request import Request
from poolctl.runtime.affinity.session import KEY_CHARACTERS
from poolctl.runtime.ownership.half_sync_half_reactive.sessions import INDEX, SESSION_BYTES, Sessions

HEAD = b"HTTP/1.1 200 OK\r\n%s\r\nContent-Length: 0\r\n\r\n"


@pytest.mark.parametrize(
    ("affinity", "line", "keys"),
    [
        (Header("Mcp-Session-Id"), b"mcp-session-id: abc", ["abc"]),
        (Header("Mcp-Session-Id"), b"Date: today", []),
        (Cookie("id"), b"Set-Cookie: id=abc; Path=/", ["abc"]),
        (Cookie("id"), b"Set-Cookie: other=abc", []),
        (Request(), b"Set-Cookie: id=abc", []),
    ],
)
def test_each_session_is_told_once(affinity: object, line: bytes, keys: list[str]) -> None:
    told: list[str] = []
    sessions = Sessions(affinity, told.append)  # type: ignore[arg-type]
    sessions.first(HEAD % line)
    sessions.more(1000)
    assert told == keys


def test_the_longest_key_fits_a_message() -> None:
    told: list[str] = []
    Sessions(Header("s"), told.append).first(HEAD % (b"s: " + b"\xff" * 5000))
    (key,) = told
    assert len(key) <= KEY_CHARACTERS
    assert INDEX.size + len(("\U0001f600" * KEY_CHARACTERS).encode()) <= SESSION_BYTES
