"""The scope of a request: what is in it, and that no request can change that of another."""

from __future__ import annotations

from typing import Any

import pytest

from poolctl.runtime.app.asgi.scope import ScopeMemo
from poolctl.runtime.protocol.http.request import HttpRequest
from poolctl.runtime.task import Peer

PEER = Peer("192.0.2.1", "40000", "192.0.2.2", "8000", "CN=Ann")


def asked(target: bytes = b"/", headers: list[tuple[bytes, bytes]] | None = None, version: str = "1.1") -> HttpRequest:
    return HttpRequest("GET", target, version, headers or [], True, None)


@pytest.mark.parametrize(
    ("target", "path", "raw", "query"),
    [
        (b"/a%20b/%C3%A9?x=%20&y", "/a b/é", b"/a%20b/%C3%A9", b"x=%20&y"),
        (b"/?a?b", "/", b"/", b"a?b"),
        (b"http://shop.example/a?b", "/a", b"/a", b"b"),
        (b"http://shop.example?b", "/", b"/", b"b"),
        (b"*", "*", b"*", b""),
        (b"//a", "//a", b"//a", b""),
    ],
)
def test_the_target(target: bytes, path: str, raw: bytes, query: bytes) -> None:
    scope = ScopeMemo(PEER, "http", {}).scope(asked(target))
    assert (scope["path"], scope["raw_path"], scope["query_string"]) == (path, raw, query)


def test_the_connection() -> None:
    scope = ScopeMemo(PEER, "http", {}).scope(asked(version="2"))
    assert (scope["type"], scope["http_version"], scope["scheme"]) == ("http", "2", "http")
    assert (scope["client"], scope["server"]) == (("192.0.2.1", 40000), ("192.0.2.2", 8000))
    assert "tls" not in scope["extensions"]
    assert ScopeMemo(PEER, "https", {}).scope(asked())["extensions"]["tls"]["client_cert_name"] == "CN=Ann"
    unix = ScopeMemo(Peer("", "", "/run/shop.sock", ""), "http", {}).scope(asked())
    assert (unix["client"], unix["server"]) == (None, ("/run/shop.sock", None))


def test_nothing_that_an_app_changes_is_seen_by_the_next_request() -> None:
    """The protocol gives the same list of headers for the same headers."""
    headers = [(b"Host", b"a"), (b"X-Y", b"Z")]
    state: dict[str, Any] = {"started": 1}
    memo = ScopeMemo(PEER, "https", state)
    first = memo.scope(asked(b"/", headers))
    before = repr(first)
    assert first["headers"] == [(b"host", b"a"), (b"x-y", b"Z")]
    for changed in (first["headers"], first["state"], first["asgi"], first["extensions"]["tls"], first["extensions"]):
        changed.clear()
    first.clear()
    assert repr(memo.scope(asked(b"/", headers))) == before
    assert headers == [(b"Host", b"a"), (b"X-Y", b"Z")]
    assert state == {"started": 1}


def test_other_headers_and_another_target_are_not_those_of_before() -> None:
    memo = ScopeMemo(PEER, "http", {})
    memo.scope(asked(b"/a", [(b"A", b"1")]))
    scope = memo.scope(asked(b"/b", [(b"B", b"2")]))
    assert (scope["path"], scope["headers"]) == ("/b", [(b"b", b"2")])
