"""Health checks: which requests are one, and what they are answered."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from poolctl.runtime.listen import server_stop
from poolctl.runtime.protocol.http.request import HttpRequest
from poolctl.runtime.serving.health import HealthCheck

CHECK = HealthCheck("/healthz")


@pytest.fixture(autouse=True)
def serving() -> Iterator[None]:
    server_stop.reset()
    yield
    server_stop.reset()


def request(method: str, target: bytes) -> HttpRequest:
    return HttpRequest(method, target, "1.1", [], True, None)


@pytest.mark.parametrize(
    ("method", "target", "asked"),
    [
        ("GET", b"/healthz", True),
        ("HEAD", b"/healthz", True),
        ("GET", b"/healthz?probe=1", True),
        ("POST", b"/healthz", False),
        ("GET", b"/healthz/", False),
        ("GET", b"/healthz2", False),
        ("GET", b"/", False),
        ("get", b"/healthz", False),
        ("GET", b"/Healthz", False),
    ],
)
def test_a_parsed_request_and_its_bytes_are_judged_alike(method: str, target: bytes, asked: bool) -> None:
    raw = method.encode() + b" " + target + b" HTTP/1.1\r\nHost: a\r\n\r\n"
    assert (CHECK.asked_by(request(method, target)), CHECK.asked_in(raw)) == (asked, asked)


def test_a_large_request_is_no_check() -> None:
    assert not CHECK.asked_in(object())


@pytest.mark.parametrize(
    ("version", "keep", "connection"),
    [
        ("1.1", True, b""),
        ("1.1", False, b"Connection: close\r\n"),
        ("1.0", True, b"Connection: keep-alive\r\n"),
        ("1.0", False, b"Connection: close\r\n"),
    ],
)
def test_a_response_says_whether_the_connection_goes_on(version: str, keep: bool, connection: bytes) -> None:
    response = CHECK.response("GET", version, keep=keep)
    assert response.startswith(b"HTTP/1.1 200 OK\r\n")
    assert response.endswith(b"Cache-Control: no-store\r\n" + connection + b"\r\nready\n")
    line = f"GET /healthz HTTP/{version}\r\nHost: a\r\n\r\n".encode()
    assert CHECK.raw_response(line, keep=keep).partition(b"Content-Type")[2] == response.partition(b"Content-Type")[2]


@pytest.mark.parametrize("begin", [server_stop.give_notice, server_stop.announce])
def test_a_server_that_will_stop_is_not_healthy(begin: type) -> None:
    begin()
    response = CHECK.response("GET", "1.1", keep=True)
    assert response.startswith(b"HTTP/1.1 503 Service Unavailable\r\n")
    assert response.endswith(b"\r\n\r\ndraining\n")


def test_a_head_request_gets_no_body() -> None:
    response = CHECK.response("HEAD", "1.1", keep=True)
    assert b"Content-Length: 6\r\n" in response
    assert response.endswith(b"\r\n\r\n")
