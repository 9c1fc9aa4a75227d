"""The corpus of malformed and borderline HTTP/1 over real sockets, under each ownership: what is refused is told so,
the connection closes, and nothing that comes after the error is ever answered."""

from __future__ import annotations

import contextlib
import re
import socket
from typing import Any

import pytest
from harness.client import Client
from harness.corpus import CASES, LIMITS, Case
from harness.forms import half, short
from harness.machine import PATIENCE
from harness.server import Serve

BATCH = 150
SMUGGLED = b"GET /smuggled HTTP/1.1\r\nHost: smuggled\r\n\r\n"
WSGI: dict[str, Any] = {"app": {"wsgi": "heard:answer"}}
ASGI: dict[str, Any] = {"app": {"asgi": "heard:answer_async"}}
PROCESS, THREAD = {"kind": "process", "size": 2}, {"kind": "thread", "size": 2}
MODELS: dict[str, dict[str, Any]] = {
    "half-sync/half-reactive": {**WSGI, "pool": PROCESS, "ownership": "half-sync/half-reactive"},
    "half-sync/half-reactive, threads": {**WSGI, "pool": THREAD, "ownership": "half-sync/half-reactive"},
    "half-sync/half-async": {**WSGI, "pool": PROCESS, "ownership": "half-sync/half-async"},
    "leader/followers": {**WSGI, "pool": THREAD, "ownership": "leader/followers"},
    "reuse-port": {**WSGI, "pool": PROCESS, "ownership": "reuse-port"},
    "reuse-port, asynchronous": {**ASGI, "pool": PROCESS, "ownership": "reuse-port"},
}
ABSOLUTE = re.compile(rb"https?://[^/?]*([^?]*)(.*)", re.IGNORECASE)
HEAD = re.compile(rb"HTTP/1\.1 (\d{3}) [^\r\n]*\r\n(.*?)\r\n\r\n", re.DOTALL)


def sent(port: int, case: Case) -> socket.socket:
    """A connection on which the case was sent; what is refused has another request behind it."""
    sock = socket.create_connection(("127.0.0.1", port), PATIENCE)
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # refused, and over, before all of it was sent
        sock.sendall(case.data + (SMUGGLED if case.status else b""))
    return sock


def everything(sock: socket.socket, case: Case) -> bytes:
    """All that comes until the connection closes, which it does by itself where something is refused. Raises
    TimeoutError where it does not."""
    data = b""
    with sock:
        while case.status == 0 and len(HEAD.findall(data)) < len(case.served):
            piece = sock.recv(65536)
            if not piece:
                return data
            data += piece
        if not case.status:
            with contextlib.suppress(OSError):  # the server may have closed it, after a request that is the last
                sock.shutdown(socket.SHUT_WR)
        while piece := sock.recv(65536):
            data += piece
    return data


def answers(data: bytes) -> list[tuple[int, str]]:
    """(status, what was heard) of each response, the interim ones left out."""
    found = []
    while data:
        head = HEAD.match(data)
        assert head is not None, data
        fields = dict(line.lower().split(b": ", 1) for line in head[2].split(b"\r\n"))
        if not head[1].startswith(b"1"):
            found.append((int(head[1]), fields.get(b"x-heard", b"").decode("ascii")))
        data = data[head.end() + int(fields[b"content-length"]) :]
    return found


def expected(case: Case, *, whole: bool) -> list[tuple[int, str]]:
    """What the case is to be answered with; ``whole`` where the app is told the host of an absolute target with it."""
    found = []
    for method, target, body in case.served:
        absolute = None if whole else ABSOLUTE.fullmatch(target)
        told = (absolute[1] or b"/") + absolute[2] if absolute else target
        told = told if whole else told.removesuffix(b"?")
        found.append((200, f"{method.lower()} {told.hex()} {body.hex()}".rstrip()))
    return [*found, (case.status, "")] if case.status else found


@pytest.mark.parametrize("name", short(MODELS, half(MODELS, 1)))
def test_every_case_gets_its_answer_and_nothing_after_an_error_gets_one(serve: Serve, name: str) -> None:
    topology = MODELS[name]
    server = serve({**topology, "protocol": {"use": "http", **LIMITS}, "limits": {"connections": 4 * BATCH}})
    found = []
    for start in range(0, len(CASES), BATCH):
        socks = [(case, sent(server.port, case)) for case in CASES[start : start + BATCH]]
        for case, sock in socks:
            try:
                got = answers(everything(sock, case))
            except OSError as error:
                found.append(f"{case}: {error!r}")
                continue
            want = expected(case, whole="wsgi" in topology["app"])
            if [(status, heard.lower().rstrip()) for status, heard in got] != want:
                found.append(f"{case}: {got}, not {want}: {case.reason}")
    assert found == []
    with Client(server.port) as client:  # the host of the target counts (RFC 9112, 3.2.2), for this request only
        client.send(b"GET http://other.example:81/ HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert client.answer().headers["x-host"] == "other.example:81"
        assert client.get().headers["x-host"] == "localhost"
    assert server.stop() == 0
