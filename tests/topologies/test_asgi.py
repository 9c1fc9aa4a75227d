"""ASGI applications over real sockets, under each ownership whose workers own connections."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
from itertools import product
from pathlib import Path
from typing import Any

import pytest
from harness.client import Client, clients, get
from harness.forms import half, short
from harness.machine import PATIENCE
from harness.server import Serve, Server, wait_until

MODELS: dict[str, dict[str, Any]] = {
    "reuse-port": {"pool": {"kind": "process", "size": 1}, "ownership": "reuse-port"},
    "accept-front": {"pool": {"kind": "process", "size": 1}, "ownership": "half-sync/half-async"},
    "accept-worker": {
        "pool": {"kind": "process", "size": 1},
        "ownership": {"use": "half-sync/half-async", "accept": "worker"},
    },
    "leader-processes": {"pool": {"kind": "process", "size": 1}, "ownership": "leader/followers"},
    "leader-threads": {"pool": {"kind": "thread", "size": 1}, "ownership": "leader/followers"},
}
APP = '''
import asyncio, json, sys

seen = []


async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        await lifespan(scope, receive, send)
    else:
        await globals()["page_" + scope["path"].strip("/").replace("/", "_")](scope, receive, send)


async def lifespan(scope, receive, send):
    assert (await receive())["type"] == "lifespan.startup"
    scope["state"]["greeting"] = "hello"
    print("the app has started", file=sys.stderr, flush=True)
    await send({"type": "lifespan.startup.complete"})
    assert (await receive())["type"] == "lifespan.shutdown"
    print("the app has ended", file=sys.stderr, flush=True)
    await send({"type": "lifespan.shutdown.complete"})


async def answer(send, body, status=200, headers=()):
    await send({"type": "http.response.start", "status": status, "headers": list(headers)})
    await send({"type": "http.response.body", "body": body})


async def page_(scope, receive, send):
    await answer(send, b"hello\\n")


async def page_scope(scope, receive, send):
    await answer(send, json.dumps(scope, default=lambda value: value.decode("latin-1")).encode())


async def page_sleep(scope, receive, send):
    await asyncio.sleep(float(scope["query_string"] or 0.5))
    await answer(send, b"slept")


BARRIERS = {}


async def page_meet(scope, receive, send):
    """Answers when as many are in hand as the query says."""
    count = int(scope["query_string"])
    await BARRIERS.setdefault(count, asyncio.Barrier(count)).wait()
    await answer(send, b"met")


async def page_echo(scope, receive, send):
    """Each piece goes back as soon as it has come."""
    await send({"type": "http.response.start", "status": 200, "headers": []})
    more = True
    while more:
        message = await receive()
        assert message["type"] == "http.request", message
        more = message["more_body"]
        await send({"type": "http.response.body", "body": message["body"], "more_body": more})


async def page_large(scope, receive, send):
    await send({"type": "http.response.start", "status": 200, "headers": []})
    for number in range(200):
        await send({"type": "http.response.body", "body": b"x" * 100_000, "more_body": True})
        print("sent", number, file=sys.stderr, flush=True)
    await send({"type": "http.response.body"})


async def page_until(scope, receive, send):
    """Waits for the client to leave."""
    await receive()
    print("then", (await receive())["type"], file=sys.stderr, flush=True)
    try:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"too late"})
    except OSError as error:
        print("then", type(error).__name__, file=sys.stderr, flush=True)
        raise


async def page_ignores(scope, receive, send):
    await answer(send, b"not read")


async def page_raises(scope, receive, send):
    raise ValueError("on purpose")


async def page_breaks(scope, receive, send):
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"10")]})
    await send({"type": "http.response.body", "body": b"half", "more_body": True})
    raise ValueError("on purpose")


async def page_afterwards(scope, receive, send):
    await answer(send, b"whole")
    raise ValueError("afterwards")


async def page_cancelled(scope, receive, send):
    task = asyncio.ensure_future(asyncio.sleep(60))
    asyncio.get_running_loop().call_soon(task.cancel)
    await task


async def page_silent(scope, receive, send):
    pass


async def page_close(scope, receive, send):
    await answer(send, b"bye", headers=[(b"Connection", b"close"), (b"transfer-encoding", b"chunked")])


async def page_twice(scope, receive, send):
    await answer(send, b"once")
    await answer(send, b"twice")


async def page_header(scope, receive, send):
    await answer(send, b"", headers=[(b"x", b"a\\r\\ny: b")])
'''


@pytest.fixture
def serve_shop(serve: Serve, tmp_path: Path) -> Serve:
    (tmp_path / "shop.py").write_text(APP)

    def begin(model: str = "reuse-port", **more: Any) -> Server:
        options = {key: more.pop(key) for key in ("tracebacks", "environment") if key in more}
        topology = {"name": "shop", "app": {"asgi": "shop:app"}, **MODELS[model], **more}
        return serve(topology, path=tmp_path, **options)

    return begin


one_half = pytest.mark.parametrize("model", short(MODELS, half(MODELS)))
other_half = pytest.mark.parametrize("model", short(MODELS, [*half(MODELS, 1), "reuse-port"]))
# Every model with epoll, and two without it.
POLLERS = {*product(MODELS, ["epoll"]), *product(("accept-worker", "leader-threads"), ["selectors"])}


@pytest.mark.parametrize(("model", "poller"), short(product(MODELS, ["epoll", "selectors"]), POLLERS))
def test_it_serves(serve_shop: Serve, model: str, poller: str) -> None:
    environment = {"POOLCTL_POLLER": "selectors"} if poller == "selectors" else {}
    server = serve_shop(model, environment=environment)
    server.wait_for_log("the app has started")
    with Client(server.port) as client:
        for _ in range(3):
            assert client.get().body == b"hello\n"
        assert client.get("/", close=True).body == b"hello\n"
        assert client.at_end()
    with clients(server.port, 8) as sleepers:  # all are in hand at once
        for sleeper in sleepers:
            sleeper.ask("/meet?8")
        assert [sleeper.answer().body for sleeper in sleepers] == [b"met"] * 8
    assert server.stop() == 0
    server.wait_for_log("the app has ended")


def test_the_scope_says_what_was_asked(serve_shop: Serve) -> None:
    server = serve_shop()
    with Client(server.port) as client:
        client.send(b"GET /scope?a=%20b HTTP/1.1\r\nHost: shop.test\r\nX-One: 1\r\nx-one: 2\r\n\r\n")
        scope = json.loads(client.answer().body)
        own = client.sock.getsockname()
        client.send(b"GET http://other.test/sc%6Fpe HTTP/1.0\r\n\r\n")
        second = json.loads(client.answer().body)
    assert scope == {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.4"},
        "http_version": "1.1",
        "method": "GET",
        "scheme": "http",
        "path": "/scope",
        "raw_path": "/scope",
        "query_string": "a=%20b",
        "root_path": "",
        "headers": [["host", "shop.test"], ["x-one", "1"], ["x-one", "2"]],
        "client": list(own),
        "server": ["127.0.0.1", server.port],
        "state": {"greeting": "hello"},
        "extensions": {"http.response.pathsend": {}},
    }
    assert (second["path"], second["raw_path"], second["http_version"]) == ("/scope", "/sc%6Fpe", "1.0")


@other_half
def test_a_body_streams_both_ways(serve_shop: Serve, model: str) -> None:
    server = serve_shop(model)
    with Client(server.port) as client:
        client.send(b"POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n")
        client.send(b"5\r\nfirst\r\n")
        head = client.sock.recv(65536)
        while b"5\r\nfirst\r\n" not in head:
            head += client.sock.recv(65536)
        assert head.startswith(b"HTTP/1.1 200 ")
        client.send(b"6\r\nsecond\r\n")
        assert client.sock.recv(65536) == b"6\r\nsecond\r\n"
        client.send(b"0\r\n\r\n")
        assert client.sock.recv(65536).endswith(b"0\r\n\r\n")
        assert client.get().body == b"hello\n"
    body = os.urandom(1_000_000)
    with Client(server.port) as client:
        client.ask("/echo", method="POST", body=body)
        assert client.answer().body == body
        assert client.get().body == b"hello\n"


@one_half
def test_pipelined_requests_are_answered_in_their_order(serve_shop: Serve, model: str) -> None:
    server = serve_shop(model)
    with Client(server.port) as client:
        client.send(b"".join(b"GET %s HTTP/1.1\r\nHost: x\r\n\r\n" % path for path in [b"/sleep?0.01", b"/"] * 40))
        assert [client.answer().body for _ in range(80)] == [b"slept", b"hello\n"] * 40


def test_the_app_waits_for_a_client_that_does_not_read(serve_shop: Serve) -> None:
    server = serve_shop()
    with Client(server.port) as client:
        client.ask("/large")
        server.wait_for_log(r"sent 0")
        get(server.port)  # others are served meanwhile
        assert len(re.findall("sent", server.log)) < 200
        assert len(client.answer().body) == 20_000_000


def test_a_client_that_never_reads_is_left(serve_shop: Serve) -> None:
    server = serve_shop(timeouts={"write": 0.5})
    folder = f"/proc/{server.pids('worker')[0]}/fd"
    with Client(server.port) as client:
        assert client.get().status == 200  # who answers has its event loop, and all descriptors of it
        before = len(os.listdir(folder)) - 1
    with Client(server.port) as client:
        client.ask("/large")
        server.wait_for_log(r"sent 0")
        assert get(server.port).status == 200
        wait_until(lambda: len(os.listdir(folder)) == before, "the end of the connection")


def test_the_app_is_told_when_the_client_leaves(serve_shop: Serve) -> None:
    server = serve_shop()
    with Client(server.port) as client:
        client.ask("/until")
        get(server.port)
    server.wait_for_log("then http.disconnect")
    server.wait_for_log("then ClientGone")
    assert get(server.port).status == 200


def test_100_continue_is_said_when_the_app_wants_the_body(serve_shop: Serve) -> None:
    server = serve_shop()
    ask = b"POST %s HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\nExpect: 100-continue\r\n\r\n"
    with Client(server.port) as client:
        client.send(ask % b"/echo")
        assert client.sock.recv(65536) == b"HTTP/1.1 100 Continue\r\n\r\n"
        client.send(b"body")
        assert client.answer().body == b"body"
        client.send(ask % b"/ignores")
        response = client.answer()
        assert (response.body, response.headers["connection"]) == (b"not read", "close")
        assert client.at_end()


@pytest.mark.parametrize(
    ("path", "status", "says"),
    [
        ("/raises", 500, "on purpose"),
        ("/cancelled", 500, "CancelledError"),
        ("/silent", 500, "returned without a response"),
        ("/header", 500, "contains a line end"),
        ("/nowhere", 500, "page_nowhere"),
    ],
)
def test_an_error_before_the_head_is_a_500(serve_shop: Serve, path: str, status: int, says: str) -> None:
    server = serve_shop(tracebacks=True)
    with Client(server.port) as client:
        assert client.get(path).status == status
        assert client.at_end()
    server.wait_for_log(says)


def test_an_error_after_the_end_is_only_logged(serve_shop: Serve) -> None:
    """Frameworks answer with a 500 of their own, and raise then."""
    server = serve_shop(tracebacks=True)
    with Client(server.port) as client:
        for _ in range(3):
            assert client.get("/afterwards").body == b"whole"
    server.wait_for_log("ValueError: afterwards", 3)


def test_an_error_after_the_head_cuts_the_connection(serve_shop: Serve) -> None:
    server = serve_shop(tracebacks=True)
    with Client(server.port) as client:
        client.ask("/breaks")
        with pytest.raises((EOFError, ConnectionError)):
            client.answer()
    with Client(server.port) as client:
        assert client.get("/twice").body == b"once"
    server.wait_for_log("sent twice")


def test_an_app_can_end_the_connection(serve_shop: Serve) -> None:
    server = serve_shop()
    with Client(server.port) as client:
        response = client.get("/close")
        assert (response.body, response.headers["connection"]) == (b"bye", "close")
        assert client.at_end()


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"GET / HTTP/1.1\r\n\r\n", 400),
        (b"POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999\r\n\r\n", 413),
        (b"GET /" + b"a" * 9000 + b" HTTP/1.1\r\nHost: x\r\n\r\n", 414),
        (b"\x16\x03\x01", 400),
    ],
)
def test_what_is_no_request_is_refused(serve_shop: Serve, sent: bytes, status: int) -> None:
    server = serve_shop()
    with Client(server.port) as client:
        client.send(sent)
        assert client.answer().status == status
        assert client.at_end()


def test_a_body_that_breaks_off_ends_the_connection(serve_shop: Serve) -> None:
    server = serve_shop(tracebacks=True)
    with Client(server.port) as client:
        client.send(b"POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n")
        client.sock.settimeout(PATIENCE)
        received = b""
        while data := client.sock.recv(65536):
            received += data
        assert b"HTTP/1.1 400" in received or not received.endswith(b"0\r\n\r\n")
    assert get(server.port).status == 200


@other_half
def test_timeouts_hold(serve_shop: Serve, model: str) -> None:
    server = serve_shop(model, timeouts={"head": 0.5, "idle": 0.5}, tracebacks=True)
    with Client(server.port) as silent, Client(server.port) as half, Client(server.port) as idle:
        half.send(b"GET / HT")
        assert idle.get().status == 200
        assert silent.at_end()
        assert half.answer().status == 408
        assert idle.at_end()
    with Client(server.port) as stalled:
        stalled.send(b"POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nabc")
        stalled.sock.settimeout(PATIENCE)
        while stalled.sock.recv(65536):
            continue
    assert get(server.port).status == 200


@one_half
def test_a_drain_answers_what_is_in_flight(serve_shop: Serve, model: str) -> None:
    server = serve_shop(model)
    with clients(server.port, 12) as asking, Client(server.port) as idle:
        assert idle.get().status == 200
        for client in asking:
            client.ask("/sleep?0.5")
        assert idle.get().status == 200
        server.signal(signal.SIGTERM)
        responses = [client.answer() for client in asking]
        assert [response.body for response in responses] == [b"slept"] * 12
        assert idle.at_end()
    assert server.wait() == 0
    server.wait_for_log("the app has ended")


@pytest.mark.parametrize(
    ("app", "says"),
    [
        ("raise RuntimeError('no database')", "no database"),
        ("await send({'type': 'lifespan.startup.failed', 'message': 'no database'})", "failed to start: no database"),
    ],
)
def test_an_app_that_cannot_start_is_told_of_once(serve: Serve, tmp_path: Path, app: str, says: str) -> None:
    (tmp_path / "shop.py").write_text(f"async def app(scope, receive, send):\n    await receive()\n    {app}\n")
    topology = {"app": {"use": "asgi", "target": "shop:app", "lifespan": "on"}, **MODELS["reuse-port"]}
    server = Server(topology, tmp_path, path=tmp_path, tracebacks=True)
    with server:
        assert server.wait() == 3
        assert says in server.log


def test_an_app_without_lifespan_is_served(serve: Serve, tmp_path: Path) -> None:
    (tmp_path / "shop.py").write_text(
        "async def app(scope, receive, send):\n"
        "    assert scope['type'] == 'http'\n"
        "    await send({'type': 'http.response.start', 'status': 204})\n"
        "    await send({'type': 'http.response.body'})\n"
    )
    server = serve({"app": {"asgi": "shop:app"}}, path=tmp_path)
    with socket.create_connection(("127.0.0.1", server.port)) as sock:
        sock.sendall(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        answer = sock.makefile("rb").read()
    assert answer.startswith(b"HTTP/1.1 204 No Content\r\n")
    assert b"ength" not in answer
