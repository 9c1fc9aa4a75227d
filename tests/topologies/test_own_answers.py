"""What poolctl answers by itself obeys the rules that an app's answer obeys: to HEAD there is no body (RFC 9110,
9.3.2), there is a Date, the length is true, and the connection closes as it says."""

from __future__ import annotations

import re
import socket
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any

import httpx
import pytest
from harness.forms import half, short
from harness.server import Serve

WSGI: dict[str, Any] = {"app": {"wsgi": "failing:answer"}}
ASGI: dict[str, Any] = {"app": {"asgi": "failing:answer_async"}}
PROCESS, THREAD = {"kind": "process", "size": 2}, {"kind": "thread", "size": 2}
MODELS: dict[str, dict[str, Any]] = {
    "half-sync/half-reactive": {**WSGI, "pool": PROCESS, "ownership": "half-sync/half-reactive"},
    "half-sync/half-reactive, threads": {**WSGI, "pool": THREAD, "ownership": "half-sync/half-reactive"},
    "half-sync/half-reactive, asynchronous": {**ASGI, "pool": PROCESS, "ownership": "half-sync/half-reactive"},
    "half-sync/half-async": {**WSGI, "pool": PROCESS, "ownership": "half-sync/half-async", "access_log": "combined"},
    "leader/followers": {**WSGI, "pool": THREAD, "ownership": "leader/followers"},
    "reuse-port, asynchronous": {**ASGI, "pool": PROCESS, "ownership": "reuse-port"},
    "thread-per-connection": {**WSGI, "pool": "thread-per-connection"},
    "process-per-connection": {**WSGI, "pool": "process-per-connection"},
}
HOST = " / HTTP/1.1\r\nHost: a\r\n"
# what is refused, without its method, and the status
REFUSED: dict[str, tuple[str, int]] = {
    "the app raises": (" /raise HTTP/1.1\r\nHost: a\r\n\r\n", 500),
    "the app raises, in 1.0": (" /raise HTTP/1.0\r\n\r\n", 500),
    "no host": (" / HTTP/1.1\r\n\r\n", 400),
    "line feeds": (" / HTTP/1.1\nHost: a\n\n", 400),
    "not complete": (HOST, 408),
    "body not complete": (HOST + "Content-Length: 3\r\n\r\na", 408),
    "body too long": (HOST + "Content-Length: 10000000\r\n\r\n", 413),
    "chunk too long": (HOST + "Transfer-Encoding: chunked\r\n\r\nfffffff\r\n", 413),
    "target too long": (f" /{'a' * 500} HTTP/1.1\r\nHost: a\r\n\r\n", 414),
    "expectation": (HOST + "Expect: tea\r\n\r\n", 417),
    "head too long": (HOST + f"X: {'a' * 2000}\r\n\r\n", 431),
    "coding": (HOST + "Transfer-Encoding: gzip, chunked\r\n\r\n", 501),
    "version": (" / HTTP/1.2\r\nHost: a\r\n\r\n", 505),
}
SHORT = {"head": "1s", "idle": "1s"}
LIMITS = {"use": "http", "head": 1024, "target": 400, "body": 100_000}


def opened(port: int, data: str) -> socket.socket:
    sock = socket.create_connection(("127.0.0.1", port), 10)
    sock.sendall(data.encode())
    return sock


def everything(sock: socket.socket) -> bytes:
    """All that comes until the server closes."""
    with sock:
        return b"".join(iter(lambda: sock.recv(65536), b""))


def faults(data: bytes, status: int, *, method: str) -> list[str]:
    """What is wrong with a last answer of poolctl's own."""
    head, end, body = data.partition(b"\r\n\r\n")
    lines = head.decode("latin-1").split("\r\n")
    headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines[1:])}
    length = int(headers.get("content-length", "-1"))
    wrong = {
        f"{lines[0]}, not {status}": not lines[0].startswith(f"HTTP/1.1 {status} ") or not end,
        "a header is there twice": len(headers) != len(lines) - 1,
        "no Connection: close": headers.get("connection") != "close",
        f"a body: {body!r}": method == "HEAD" and body != b"",
        f"{length} bytes announced, {len(body)} came": method != "HEAD" and len(body) != length,
        "no length": length < 0,
        "no type": length > 0 and "content-type" not in headers,
        "no Retry-After": (status == 503) != ("retry-after" in headers),
        "no Server": "server" not in headers,
        "no Date": not re.fullmatch(r"\w{3}, \d\d \w{3} \d{4} [\d:]{8} GMT", headers.get("date", "")),
    }
    if not wrong["no Date"]:
        assert parsedate_to_datetime(headers["date"]).year > 2000
    return [what for what, so in wrong.items() if so]


@pytest.mark.parametrize("name", short(MODELS, half(MODELS)))
def test_whatever_is_refused_obeys_the_rules_of_an_answer(serve: Serve, name: str) -> None:
    server = serve({**MODELS[name], "protocol": LIMITS, "timeouts": SHORT}, tracebacks=True)
    asked = [(method, what) for method in ("HEAD", "GET", "HEADER") for what in REFUSED]
    socks = [opened(server.port, method + REFUSED[what][0]) for method, what in asked]
    found = []
    for (method, what), sock in zip(asked, socks, strict=True):
        wrong = faults(everything(sock), REFUSED[what][1], method=method)
        found += [f"{method}, {what}: {each}" for each in wrong]
    assert found == []


@pytest.mark.parametrize("name", short(MODELS, half(MODELS, 1)))
def test_a_refused_request_behind_others_has_no_body_when_it_is_a_head(serve: Serve, name: str) -> None:
    server = serve({**MODELS[name], "protocol": LIMITS}, tracebacks=True)
    for target, status in (("/raise HTTP/1.1\r\nHost: a", 500), ("/ HTTP/1.1\r\nExpect: tea\r\nHost: a", 417)):
        data = everything(
            opened(
                server.port, f"GET / HTTP/1.1\r\nHost: a\r\n\r\nHEAD / HTTP/1.1\r\nHost: a\r\n\r\nHEAD {target}\r\n\r\n"
            )
        )
        first, second, third = re.split(rb"(?=HTTP/1\.1 \d)", data)[1:]
        assert first.endswith(b"\r\n\r\nok")
        assert second.endswith(b"\r\n\r\n")
        assert faults(third, status, method="HEAD") == []


@pytest.mark.parametrize("method", ["HEAD", "GET"])
@pytest.mark.parametrize("app", [WSGI, ASGI], ids=["wsgi", "asgi"])
def test_a_front_that_knows_the_first_line_answers_by_it(serve: Serve, app: dict[str, Any], method: str) -> None:
    """Of a request that was lent the front has kept no more."""
    server = serve(
        {
            **app,
            "pool": {"kind": "process", "size": 2},
            "ownership": "half-sync/half-reactive",
            "affinity": {"header": "X-Session", "unknown": "refuse"},
            "timeouts": {"request": "1s"},
        }
    )
    for path, header, status in (("/slow", "", 504), ("/die", "", 502), ("/", "X-Session: none\r\n", 404)):
        data = everything(opened(server.port, f"{method} {path} HTTP/1.1\r\nHost: a\r\n{header}\r\n"))
        assert faults(data, status, method=method) == [], (path, data)


@pytest.mark.parametrize("name", short(MODELS, half(MODELS)))
def test_a_client_who_is_one_too_many_may_be_one_that_asks_by_head(serve: Serve, name: str) -> None:
    server = serve({**MODELS[name], "limits": {"connections": 2}})
    held = [opened(server.port, "GET / HTTP/1.1\r\nHost: a\r\n\r\n") for _ in range(6)]
    turned_away = [opened(server.port, "HEAD / HTTP/1.1\r\nHost: a\r\n\r\n") for _ in range(6)]
    refused = 0
    for sock in turned_away:
        data = sock.recv(65536)
        if data.startswith(b"HTTP/1.1 503"):
            refused += 1
            with sock:
                data += b"".join(iter(lambda sock=sock: sock.recv(65536), b""))  # type: ignore[misc]
            assert faults(data, 503, method="HEAD") == []
        sock.close()
    assert refused > 0
    for sock in held:
        sock.close()


@pytest.mark.parametrize("app", [WSGI, ASGI], ids=["wsgi", "asgi"])
def test_so_do_refused_streams_of_http2(serve: Serve, tmp_path: Path, app: dict[str, Any]) -> None:
    log = tmp_path / "access.log"
    server = serve(
        {
            **app,
            "pool": {"kind": "process", "size": 1},
            "ownership": "reuse-port",
            "protocol": {**LIMITS, "http2": True},
            "access_log": {"format": "common", "to": str(log)},
        },
        tracebacks=True,
    )
    cases: list[tuple[str, dict[str, str], int]] = [
        ("/raise", {}, 500),
        ("/", {"expect": "tea"}, 417),
        (f"/{'a' * 500}", {}, 414),
    ]
    with httpx.Client(http1=False, http2=True, base_url=f"http://127.0.0.1:{server.port}") as client:
        for path, headers, status in cases:
            for method in ("HEAD", "GET", "LIST"):
                response = client.request(method, path, headers=headers)
                assert response.status_code == status
                assert {"date", "server", "content-type"} <= set(response.headers)
                assert "connection" not in response.headers  # RFC 9113, 8.2.2
                length = int(response.headers["content-length"])
                assert len(response.content) == (0 if method == "HEAD" else length)
                assert length > 0
    assert server.stop() == 0
    assert log.read_text().count('"LIST /') == len(cases)
