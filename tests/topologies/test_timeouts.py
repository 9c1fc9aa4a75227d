"""The time that an app may take for a request, and the rate at which a body has to come."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any

import httpx
import pytest
from harness.client import PATIENCE, Client, get
from harness.machine import within
from harness.server import Serve

WSGI: dict[str, Any] = {"app": {"wsgi": "slow:answer"}}
ASGI: dict[str, Any] = {"app": {"asgi": "slow:answer_async"}, "pool": {"kind": "process", "size": 1}}
PROCESSES = {"pool": {"kind": "process", "size": 2}}
LIMIT = {"timeouts": {"request": "500ms"}}
KILLED = r"worker \S+ \d \(pid (\d+)\) spent [\d.]+ s on a request \(timeouts.request: 0.5 s\); killed"


def test_a_lent_request_that_takes_too_long_gets_a_504_and_its_worker_is_replaced(serve: Serve) -> None:
    server = serve({**WSGI, **PROCESSES, **LIMIT})
    with Client(server.port) as hung, Client(server.port) as begun, Client(server.port) as kept:
        assert kept.get().status == 200
        hung.ask("/hang")
        begun.ask("/begin")
        started = time.monotonic()
        assert hung.answer().status == 504
        assert 0.4 < time.monotonic() - started < within(4)
        assert hung.at_end()
        assert b"begun" in begun.until_end()
        server.wait_for_log(KILLED, 2)
        server.wait_for_log("restarting now", 2)
        assert kept.get().status == 200, "the others keep their connections"
    assert server.stop() == 0


def test_a_connection_whose_request_takes_too_long_ends_with_its_worker(serve: Serve) -> None:
    server = serve({**WSGI, **PROCESSES, **LIMIT, "ownership": "half-sync/half-async"})
    with Client(server.port) as hung:
        hung.ask("/hang")
        assert hung.until_end() == b""
        server.wait_for_log(KILLED)
        assert get(server.port).status == 200
    assert server.stop() == 0


def test_a_request_that_is_in_time_is_left_alone(serve: Serve) -> None:
    server = serve({"app": "demo", **PROCESSES, "timeouts": {"request": "700ms"}})
    before = server.tree()
    with Client(server.port) as client:
        for _ in range(3):  # more than the limit, all together
            assert client.get("/sleep?seconds=0.3").status == 200
    assert server.tree() == before
    assert server.stop() == 0


def test_a_task_that_takes_too_long_is_cancelled_and_its_client_gets_a_504(serve: Serve) -> None:
    server = serve({**ASGI, **LIMIT, "ownership": "reuse-port", "protocol": {"use": "http", "http2": True}})
    before = server.tree()
    with Client(server.port) as hung, Client(server.port) as begun, httpx.Client(http1=False, http2=True) as streams:
        hung.ask("/hang")
        begun.ask("/begin")
        started = time.monotonic()
        assert streams.get(f"http://127.0.0.1:{server.port}/hang", timeout=PATIENCE).status_code == 504
        assert hung.answer().status == 504
        assert 0.4 < time.monotonic() - started < within(4)
        assert hung.at_end()
        assert b"begun" in begun.until_end()
        assert streams.get(f"http://127.0.0.1:{server.port}/", timeout=PATIENCE).text == "0", "the connection goes on"
    server.wait_for_log("the app was cancelled", 3)
    server.wait_for_log(r"GET /hang HTTP/\S+ took longer than timeouts.request \(0.5 s\): cancelled", 2)
    assert get(server.port).status == 200
    assert server.tree() == before
    assert server.stop() == 0


def test_a_lent_request_of_an_awaited_app_is_cancelled(serve: Serve) -> None:
    server = serve({**ASGI, **LIMIT, "ownership": "half-sync/half-reactive"})
    before = server.tree()
    with Client(server.port) as hung, Client(server.port) as begun, Client(server.port) as kept:
        hung.ask("/hang")
        begun.ask("/begin")
        assert kept.get().status == 200
        assert hung.answer().status == 504
        assert hung.at_end()
        assert b"begun" in begun.until_end()
        server.wait_for_log(r"longer than timeouts.request \(0.5 s\): cancelled", 2)
        assert kept.get().status == 200
    assert server.tree() == before
    assert server.stop() == 0


def test_a_message_that_takes_too_long_ends_its_connection(serve: Serve) -> None:
    server = serve({"app": {"async-lines": "slow:line"}, "pool": {"kind": "process", "size": 1}, **LIMIT})
    with Client(server.port) as hung, Client(server.port) as busy:
        hung.send(b"hang\n")
        for _ in range(8):  # longer than the limit, all together
            busy.send(b"0.1\n")
            assert busy.line() == b"0.1\n"
        assert hung.until_end() == b""
        server.wait_for_log(r"a request took longer than timeouts.request \(0.5 s\): cancelled")
        busy.send(b"0\n")
        assert busy.line() == b"0\n"
    assert server.stop() == 0


HEAD = b"POST /%s HTTP/1.1\r\nHost: a\r\n%s\r\n\r\n"
PACE = {"timeouts": {"body": "500ms"}, "limits": {"body_rate": 100}}
MODELS: dict[str, dict[str, Any]] = {
    "half-sync/half-reactive": {**WSGI, **PROCESSES},
    "leader/followers": {**WSGI, "pool": {"kind": "thread", "size": 2}, "ownership": "leader/followers"},
    "asynchronous": {**ASGI, "ownership": "reuse-port"},
}


def dripped(port: int, head: bytes, piece: bytes, pause: float, pieces: int) -> tuple[int, float]:
    """The status for a body that comes in pieces, and the seconds until it came."""
    with Client(port) as client:
        client.send(head)
        started = time.monotonic()
        for _ in range(pieces):
            client.sock.settimeout(pause)
            try:
                client.sock.recv(1, 2)  # MSG_PEEK: an answer may come early
                break
            except TimeoutError:
                client.sock.settimeout(PATIENCE)
                with suppress(BrokenPipeError, ConnectionResetError):
                    client.send(piece)
        client.sock.settimeout(PATIENCE)
        return client.answer().status, time.monotonic() - started


@pytest.mark.parametrize("name", MODELS)
def test_a_body_that_drips_gets_a_408_and_a_steady_one_is_served(serve: Serve, name: str) -> None:
    server = serve({**MODELS[name], **PACE})
    with ThreadPoolExecutor(4) as pool:
        length, chunked = HEAD % (b"", b"Content-Length: 1000"), HEAD % (b"", b"Transfer-Encoding: chunked")
        drip = pool.submit(dripped, server.port, length, b"x", 0.1, 60)
        chunks = pool.submit(dripped, server.port, chunked, b"1;%s\r\nx\r\n" % (b"e" * 90), 0.1, 60)
        steady = pool.submit(dripped, server.port, length, b"x" * 100, 0.1, 10)
        late = HEAD % (b"late", b"Content-Length: 2000000")  # too much for sockets and server, until the app reads
        waits = pool.submit(dripped, server.port, late, b"x" * 1000000, 0.01, 2) if name == "asynchronous" else None
        for slow in (drip, chunks):
            status, seconds = slow.result()
            assert status == 408
            assert 0.4 < seconds < within(4)
        status, seconds = steady.result()
        assert status == 200
        assert seconds > 0.8
        assert waits is None or waits.result()[0] == 200
    assert server.stop() == 0


def test_a_rate_of_none_asks_for_none(serve: Serve) -> None:
    server = serve({**WSGI, **PROCESSES, "timeouts": {"body": "100ms"}, "limits": {"body_rate": 0}})
    status, seconds = dripped(server.port, HEAD % (b"", b"Content-Length: 15"), b"x", 0.1, 15)
    assert (status, seconds > 1.2) == (200, True)
