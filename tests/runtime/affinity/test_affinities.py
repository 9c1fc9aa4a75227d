"""Affinities: the key of a task, the keys that a response gives away, and what the router does for each."""

from __future__ import annotations

from hashlib import sha256
from typing import NamedTuple

import pytest
from pydantic import TypeAdapter, ValidationError

from poolctl.runtime.affinity import Affinity
from poolctl.runtime.affinity.client import Client
from poolctl.runtime.affinity.connection import Connection
from poolctl.runtime.affinity.cookie import Cookie
from poolctl.runtime.affinity.header import Header
from poolctl.runtime.affinity.path import Path
from poolctl.runtime.affinity.request import Request
from poolctl.runtime.affinity.session import KEY_CHARACTERS, SessionAffinity
from poolctl.runtime.task import Peer, Task

LONG = "x" * (KEY_CHARACTERS + 1)
HASHED = sha256(LONG.encode()).hexdigest()


class Head(NamedTuple):
    """The head of a request, as the front has read it."""

    method: str
    target: bytes
    headers: list[tuple[bytes, bytes]]


def asks(target: bytes = b"/", *headers: tuple[bytes, bytes]) -> Task:
    return Task(Peer("192.0.2.1", "40000", "192.0.2.2", "80"), 0.0, Head("GET", target, list(headers)))


@pytest.mark.parametrize(
    ("affinity", "task", "key"),
    [
        (Request(), asks(), None),
        (Connection(), asks(), 7),
        (Client(), asks(), "192.0.2.1"),
        (Path(), asks(b"/a/b/c?d=/e"), "a"),
        (Path(segments=2), asks(b"/a/b/c"), "a/b"),
        (Path(segments=2), asks(b"/a"), "a"),
        (Path(), asks(b"/%61/b"), "a"),
        (Path(), asks(b"http://shop.example/a/b"), "a"),
        (Path(), asks(b"/" + LONG.encode()), HASHED),
        (Cookie("sid"), asks(b"/", (b"Cookie", b"a=1; sid=42; b=2")), "42"),
        (Cookie("sid"), asks(b"/", (b"Cookie", b"asid=1; sidb=2")), None),
        (Cookie("sid"), asks(b"/", (b"Cookie", b"sid=")), None),
        (Cookie("sid"), asks(b"/", (b"Cookie", b"sid=" + LONG.encode())), HASHED),
        (Header("Mcp-Session-Id"), asks(b"/", (b"mcp-session-id", b"42")), "42"),
        (Header("Mcp-Session-Id"), asks(b"/", (b"Mcp-Session", b"42")), None),
        (Header("Mcp-Session-Id"), asks(b"/", (b"Mcp-Session-Id", LONG.encode())), HASHED),
    ],
)
def test_the_key_of_a_task(affinity: Affinity, task: Task, key: object) -> None:
    assert affinity.key(task, 7) == key


@pytest.mark.parametrize("affinity", [Path(), Cookie("sid"), Header("Sid")])
def test_a_connection_of_which_no_request_was_read_has_one_key_or_none(affinity: Affinity) -> None:
    bare = Task(Peer("192.0.2.1", "40000", "192.0.2.2", "80"))
    assert affinity.key(bare, 7) in (None, "")
    assert affinity.key(bare, 7) == affinity.key(bare, 8)


def head(*lines: bytes, body: bytes = b"") -> bytes:
    return b"\r\n".join([b"HTTP/1.1 200 OK", *lines]) + b"\r\n\r\n" + body


def test_a_cookie_that_a_response_sets_is_a_key() -> None:
    given = Cookie("sid").named
    assert given(head(b"Set-Cookie: sid=1; Path=/", b"set-cookie: a=sid", b'SET-COOKIE:sid="2"')) == ["1", "2"]
    assert given(head(b"Set-Cookie: sid=; Max-Age=0")) == []
    assert given(head(b"Set-Cookie: sid=" + LONG.encode())) == [HASHED]
    assert given(head(b"A: b", body=b"\r\nSet-Cookie: sid=3\r\n")) == []


def test_a_header_of_a_response_is_a_key() -> None:
    given = Header("Mcp-Session-Id").named
    assert given(head(b"MCP-SESSION-ID:  1 ", b"Mcp-Session-Id-2: 2", b"Mcp-Session-Id:")) == ["1"]
    assert given(head(b"A: b", body=b"\r\nMcp-Session-Id: 3\r\n")) == []


def test_what_a_client_gets_and_sends_back_is_the_same_key() -> None:
    """Otherwise its next request would miss the worker that has its session."""
    for value in ("42", LONG, "a=b"):
        text = value.encode()
        assert Cookie("s").named(head(b"Set-Cookie: s=" + text)) == [
            Cookie("s").key(asks(b"/", (b"Cookie", b"s=" + text)), 0)
        ]
        assert Header("S").named(head(b"S: " + text)) == [Header("S").key(asks(b"/", (b"S", text)), 0)]


@pytest.mark.parametrize(
    ("affinity", "remembers", "what"),
    [
        (Request(), 0, set()),
        (Client(clients=3), 3, set()),
        (Path(keys=4), 4, {"inspects", "forgets"}),
        (Cookie("a", keys=5), 5, {"inspects", "forgets", "learns"}),
        (Header("a", unknown="refuse"), 65536, {"inspects", "forgets", "learns", "refuses"}),
    ],
)
def test_what_the_router_does_for_it(affinity: Affinity, remembers: int, what: set[str]) -> None:
    assert affinity.remembers == remembers
    assert {name for name in ("inspects", "forgets", "learns", "refuses") if getattr(affinity, name)} == what


@pytest.mark.parametrize("kind", [Cookie, Header])
@pytest.mark.parametrize(
    ("name", "valid"), [("a-b_1", True), ("a b", False), ("a\n", False), ("", False), (LONG, False)]
)
def test_the_name_of_a_session_is_a_token(kind: type[SessionAffinity], name: str, valid: bool) -> None:
    checked = TypeAdapter(kind).validate_python
    if valid:
        assert checked({"name": name}).name == name
    else:
        with pytest.raises(ValidationError, match="expected a name of 1 to 128"):
            checked({"name": name})
