"""Sessions in workers' memory: each request of one meets the worker that knows it, over all connections."""

from __future__ import annotations

import os
import signal
from itertools import product
from pathlib import Path
from typing import Any

import pytest
from harness.client import Client, Response
from harness.forms import short
from harness.server import Serve, Server

APP = '''
import itertools, os, uuid

SESSIONS = {}


def answered(path, header, cookie):
    """(status, headers, body): /begin makes a session, everything else counts the requests of one."""
    if path == "/begin":
        name = uuid.uuid4().hex
        SESSIONS[name] = 0
        return "200 OK", [("Mcp-Session-Id", name), ("Set-Cookie", f"sid={name}; Path=/; HttpOnly")], name
    name = header or cookie
    if name in SESSIONS:
        SESSIONS[name] += 1
        return "200 OK", [], str(SESSIONS[name])
    return "410 Gone", [], "not mine"


def application(environ, start_response):
    cookie = environ.get("HTTP_COOKIE", "").partition("sid=")[2]
    status, headers, body = answered(environ["PATH_INFO"], environ.get("HTTP_MCP_SESSION_ID"), cookie)
    start_response(status, [*headers, ("Content-Length", str(len(body))), ("X-Process", str(os.getpid()))])
    return [body.encode()]


async def awaited(scope, receive, send):
    if scope["type"] == "lifespan":
        while (await receive())["type"] != "lifespan.shutdown":
            await send({"type": "lifespan.startup.complete"})
        return await send({"type": "lifespan.shutdown.complete"})
    given = {name.decode(): value.decode() for name, value in scope["headers"]}
    cookie = given.get("cookie", "").partition("sid=")[2]
    status, headers, body = answered(scope["path"], given.get("mcp-session-id"), cookie)
    headers = [(b"content-length", str(len(body)).encode()), (b"x-process", str(os.getpid()).encode())] + [
        (name.lower().encode(), value.encode()) for name, value in headers
    ]
    await send({"type": "http.response.start", "status": int(status[:3]), "headers": headers})
    await send({"type": "http.response.body", "body": body.encode()})
'''
SIZE = 3
APPS = {"wsgi": {"wsgi": "sessions:application"}, "asgi": {"asgi": "sessions:awaited"}}
SESSION = {"header": {"use": "header", "name": "Mcp-Session-Id"}, "cookie": {"use": "cookie", "name": "sid"}}


def serve_sessions(serve: Serve, folder: Path, app: str, affinity: Any, **more: Any) -> Server:
    (folder / "sessions.py").write_text(APP)
    topology = {"app": APPS[app], "pool": {"kind": "process", "size": SIZE}, "affinity": affinity, **more}
    return serve(topology, path=folder)


def ask(client: Client, path: str, word: str, name: str = "") -> Response:
    line = f"Cookie: a=b; sid={name}" if word == "cookie" else f"mcp-session-id: {name}"
    client.send(f"GET {path} HTTP/1.1\r\nHost: x\r\n{line + chr(13) + chr(10) if name else ''}\r\n".encode())
    return client.answer()


LOG = {"plain": {}, "logged": {"format": "common"}}
PAIRS = [  # every two of their words
    ("wsgi", "header", "plain"),
    ("wsgi", "cookie", "logged"),
    ("asgi", "header", "logged"),
    ("asgi", "cookie", "plain"),
]


@pytest.mark.parametrize(("app", "word", "log"), short(product(APPS, SESSION, LOG), PAIRS))
def test_a_session_that_an_answer_began_meets_its_worker(
    serve: Serve, tmp_path: Path, app: str, word: str, log: str
) -> None:
    more = {"access_log": {**LOG[log], "to": str(tmp_path / "log")}} if LOG[log] else {}
    server = serve_sessions(serve, tmp_path, app, SESSION[word] | {"unknown": "refuse"}, **more)
    with Client(server.port) as one, Client(server.port) as other:
        names = [ask(one, "/begin", word).body.decode() for _ in range(40)]
        for turn in (1, 2):
            for name in names:
                response = ask(other, "/", word, name)
                assert (response.status, response.body) == (200, str(turn).encode())
        owners = {ask(one, "/", word, name).process for name in names}
    assert owners == set(server.pids("worker"))
    assert server.stop() == 0


@pytest.mark.parametrize("pool", [{"kind": "thread", "size": 4}, {"kind": "process", "size": 2, "threads": 2}], ids=str)
def test_threads_share_what_their_process_knows(serve: Serve, tmp_path: Path, pool: Any) -> None:
    server = serve_sessions(serve, tmp_path, "wsgi", SESSION["header"] | {"unknown": "refuse"}, pool=pool)
    with Client(server.port) as one, Client(server.port) as other:
        names = [ask(one, "/begin", "header").body.decode() for _ in range(20)]
        assert [ask(other, "/", "header", name).status for name in names] == [200] * 20
    assert server.stop() == 0


def test_pipelined_requests_are_each_of_their_own_session(serve: Serve, tmp_path: Path) -> None:
    server = serve_sessions(serve, tmp_path, "wsgi", SESSION["header"])
    with Client(server.port) as client:
        names = [ask(client, "/begin", "header").body.decode() for _ in range(12)]
        lines = [f"GET / HTTP/1.1\r\nHost: x\r\nMcp-Session-Id: {name}\r\n\r\n" for name in names]
        body = "POST / HTTP/1.1\r\nHost: x\r\nMcp-Session-Id: {}\r\nContent-Length: 3\r\n\r\nabc"
        client.send("".join([*lines, *map(body.format, names)]).encode())
        assert [client.answer().body for _ in range(24)] == [b"1"] * 12 + [b"2"] * 12
    assert server.stop() == 0


def killed(server: Server, pid: int) -> None:
    before = len(server.pids("worker"))
    os.kill(pid, signal.SIGKILL)
    server.wait_for_log("restarting")  # the front was told before that
    assert before == SIZE


@pytest.mark.parametrize("app", APPS)
def test_sessions_of_a_dead_worker_are_refused_or_dispatched(serve: Serve, tmp_path: Path, app: str) -> None:
    for unknown, status in (("refuse", 404), ("dispatch", 410)):
        server = serve_sessions(serve, tmp_path, app, SESSION["header"] | {"unknown": unknown})
        with Client(server.port) as client:
            begun = [ask(client, "/begin", "header") for _ in range(9)]
        victim = begun[0].process
        killed(server, victim)
        for each in begun:
            with Client(server.port) as client:
                response = ask(client, "/", "header", each.body.decode())
                assert response.status == (status if each.process == victim else 200)
        with Client(server.port) as client:  # and a new one can begin
            name = ask(client, "/begin", "header").body.decode()
            assert ask(client, "/", "header", name).body == b"1"
        assert server.stop() == 0


def test_a_session_that_a_client_names_stays_where_dispatch_sent_it(serve: Serve, tmp_path: Path) -> None:
    server = serve_sessions(serve, tmp_path, "wsgi", SESSION["header"], dispatch="round-robin")
    owners: dict[str, set[int]] = {}
    for turn in range(60):
        name = f"client-{turn % 10}" * (1 + 40 * (turn % 2))  # some of them longer than what is kept
        with Client(server.port) as client:
            owners.setdefault(name, set()).add(ask(client, "/", "header", name).process)
    assert {len(pids) for pids in owners.values()} == {1}
    assert len(set.union(*owners.values())) == SIZE
    with Client(server.port) as client:  # who names none goes anywhere
        assert len({ask(client, "/", "header").process for _ in range(6)}) == SIZE
    assert server.stop() == 0


def test_what_a_path_begins_with_has_one_worker(serve: Serve, tmp_path: Path) -> None:
    server = serve_sessions(serve, tmp_path, "wsgi", {"use": "path", "segments": 2}, dispatch="round-robin")
    owners: dict[str, set[int]] = {}
    for turn in range(36):
        begin = f"/shop/{turn % 6}"
        with Client(server.port) as client:
            owners.setdefault(begin, set()).add(ask(client, f"{begin}/item%20{turn}?q=/x", "header").process)
    assert {len(pids) for pids in owners.values()} == {1}
    assert len(set.union(*owners.values())) == SIZE
    assert server.stop() == 0


def test_the_session_unused_longest_is_forgotten(serve: Serve, tmp_path: Path) -> None:
    server = serve_sessions(serve, tmp_path, "wsgi", SESSION["header"] | {"unknown": "refuse", "keys": 2})
    with Client(server.port) as client:
        names = [ask(client, "/begin", "header").body.decode() for _ in range(3)]
        assert ask(client, "/", "header", names[2]).status == 200
        assert ask(client, "/", "header", names[1]).status == 200
        assert ask(client, "/", "header", names[0]).status == 404
    assert server.stop() == 0
