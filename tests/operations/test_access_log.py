"""The access log of real servers: a line for every request, through rotations and deaths of workers."""

from __future__ import annotations

import json
import os
import signal
import socket
from pathlib import Path
from typing import Any

import httpx
import pytest
from harness.client import Client
from harness.machine import PATIENCE
from harness.server import Serve, Server, wait_until

APP = """
import os, time

def app(environ, start_response):
    path = environ["PATH_INFO"]
    if path == "/die":
        os.kill(os.getpid(), 9)
    if path == "/raise":
        raise ValueError("of the app")
    if path == "/sleep":
        time.sleep(1)
    start_response("201 Created", [("Content-Type", "text/plain")])
    return iter([b"a" * 5, b"b" * 7]) if path == "/chunks" else [b"x" * 12]
"""
MODELS: dict[str, dict[str, Any]] = {
    "lent, processes": {"ownership": "half-sync/half-reactive", "pool": {"size": 2}},
    "lent, threads": {"ownership": "half-sync/half-reactive", "pool": {"kind": "thread", "size": 2}},
    "handed over": {"ownership": "half-sync/half-async", "pool": {"size": 2}},
    "threads of processes": {"ownership": "reuse-port", "pool": {"size": 1, "threads": 2}},
    "led": {"ownership": "leader/followers", "pool": {"kind": "thread", "size": 2}},
    "a process for each": {"pool": {"kind": "process-per-connection"}},
    "a thread for each": {"pool": {"kind": "thread-per-connection"}},
    "one after the other": {"pool": {"kind": "iterative"}},
}


@pytest.fixture
def logged(serve: Serve, tmp_path: Path) -> Serve:
    (tmp_path / "logged_app.py").write_text(APP)

    def start(form: str = '%h "%r" %s %b', tracebacks: bool = False, **more: Any) -> Server:
        access = {"format": form, "to": "access.log"}
        return serve({"app": {"wsgi": "logged_app:app"}, "access_log": access, **more}, tracebacks=tracebacks)

    return start


def lines(folder: Path, count: int, name: str = "access.log") -> list[str]:
    """Wait for so many lines; each is written right after its response."""
    path = folder / name
    wait_until(lambda: path.read_bytes().count(b"\n") >= count, f"{count} lines")
    found = path.read_text().splitlines()
    assert len(found) == count, found
    return found


def ask(port: int, *targets: str) -> None:
    with Client(port) as client:
        for target in targets:
            client.ask(target)
            assert client.answer().status in (201, 500)


@pytest.mark.parametrize("model", MODELS)
def test_every_model_writes_a_line_for_each_request(logged: Serve, tmp_path: Path, model: str) -> None:
    server = logged(tracebacks=True, **MODELS[model])
    ask(server.port, "/a", '/b?"=\\', "/chunks")
    ask(server.port, "/raise")
    with Client(server.port) as client:
        client.send(b"GET / HTTP/1.1\r\nHost : x\r\n\r\n")
        assert client.answer().status == 400
    found = sorted(lines(tmp_path, 5))
    assert found == sorted(
        [
            '127.0.0.1 "GET /a HTTP/1.1" 201 12',
            '127.0.0.1 "GET /b?\\"=\\\\ HTTP/1.1" 201 12',
            '127.0.0.1 "GET /chunks HTTP/1.1" 201 27',  # b"5\r\naaaaa\r\n7\r\nbbbbbbb\r\n0\r\n\r\n"
            '127.0.0.1 "GET /raise HTTP/1.1" 500 26',
            '127.0.0.1 "GET / HTTP/1.1" 400 -',
        ]
    )
    assert server.stop() == 0


def test_lines_can_name_the_worker(logged: Serve, tmp_path: Path) -> None:
    server = logged("%{worker}P %P", ownership="reuse-port", pool={"size": 1, "threads": 2})
    ask(server.port, "/")
    worker, pid = lines(tmp_path, 1)[0].split()
    assert worker in ("0/0", "0/1")
    assert int(pid) in server.pids("worker")


def test_json_and_its_duration(logged: Serve, tmp_path: Path) -> None:
    server = logged("json", ownership="reuse-port", pool={"size": 1})
    ask(server.port, "/sleep")
    found = json.loads(lines(tmp_path, 1)[0])
    assert 1 <= found["duration"] < 15
    assert (found["status"], found["bytes"], found["target"]) == (201, 12, "/sleep")


@pytest.mark.parametrize("model", ["lent, processes", "lent, threads", "handed over", "a process for each"])
def test_the_file_is_reopened(logged: Serve, tmp_path: Path, model: str) -> None:
    server = logged(**MODELS[model])
    ask(server.port, "/before")
    assert len(lines(tmp_path, 1)) == 1
    (tmp_path / "access.log").rename(tmp_path / "old.log")
    server.signal(signal.SIGUSR1)
    new = tmp_path / "access.log"
    wait_until(new.exists, "the new file")
    wait_until(lambda: all(_holds(pid, new) for pid in server.tree()), "the new file in all processes")
    for _ in range(8):
        ask(server.port, "/after")
    assert set(lines(tmp_path, 8)) == {'127.0.0.1 "GET /after HTTP/1.1" 201 12'}
    assert len(lines(tmp_path, 1, "old.log")) == 1
    assert server.stop() == 0


def _holds(pid: int, path: Path) -> bool:
    try:
        files = [os.path.realpath(each) for each in Path(f"/proc/{pid}/fd").iterdir()]
    except FileNotFoundError:
        return False  # the process of a client that disconnected has just ended
    assert files.count(str(path)) <= 1
    return str(path) in files


def test_lines_of_processes_do_not_mix(logged: Serve, tmp_path: Path) -> None:
    server = logged("%r %{X}i", ownership="half-sync/half-async", pool={"size": 3})
    clients = [Client(server.port) for _ in range(6)]
    for number in range(100):
        for client in clients:
            client.send(b"GET /%d HTTP/1.1\r\nHost: x\r\nX: %s\r\n\r\n" % (number, b"y" * 900))
        for client in clients:
            assert client.answer().status == 201
    expected = sorted([f"GET /{number} HTTP/1.1 {'y' * 900}" for number in range(100)] * 6)
    assert sorted(lines(tmp_path, 600)) == expected
    for client in clients:
        client.close()


def test_requests_that_never_reach_the_app(logged: Serve, tmp_path: Path) -> None:
    server = logged('%s "%r"', pool={"size": 1}, timeouts={"head": "1s"}, limits={"connections": 1})
    with Client(server.port) as client:
        client.send(b"GET / HTTP/1.1\r\nX: " + b"y" * 40000)
        assert client.answer().status == 431
    assert lines(tmp_path, 1) == ['431 "GET / HTTP/1.1"']
    with Client(server.port) as slow:
        slow.send(b"GET /slow HTTP/1.1\r\nHo")
        with Client(server.port) as late:
            assert late.answer().status == 503
        assert slow.answer().status == 408
    assert lines(tmp_path, 3)[1:] == ['503 "-"', '408 "GET /slow HTTP/1.1"']
    with Client(server.port) as client:
        client.send(b"GET / HT\nTP/1.1 forged\r\n\r\n")
        assert client.answer().status == 400
    with Client(server.port) as client:
        client.send(b"POST /large HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999\r\n\r\n")
        assert client.answer().status == 413
    assert lines(tmp_path, 5)[3:] == ['400 "-"', '413 "POST /large HTTP/1.1"']


def test_requests_whose_worker_died(logged: Serve, tmp_path: Path) -> None:
    """A request that was lost with its worker, and one that took too long."""
    server = logged('%s "%r"', app="demo", pool={"size": 1}, timeouts={"request": "500ms"})
    with Client(server.port) as client:
        assert client.get("/sleep?seconds=30").status == 504
    with Client(server.port) as client:
        client.ask("/sleep?seconds=29")
        worker = wait_until(lambda: server.pids("worker"), "a worker")[0]
        os.kill(worker, signal.SIGKILL)
        assert client.answer().status in (502, 504)
    assert lines(tmp_path, 2)[0] == '504 "GET /sleep?seconds=30 HTTP/1.1"'
    assert lines(tmp_path, 2)[1][3:] == ' "GET /sleep?seconds=29 HTTP/1.1"'


def test_a_dead_workers_client(logged: Serve, tmp_path: Path) -> None:
    server = logged("%s", pool={"size": 1})
    with Client(server.port) as client:
        client.ask("/")
        assert client.answer().status == 201
        client.ask("/die")
        assert client.answer().status == 502
    assert lines(tmp_path, 2) == ["201", "502"]


def test_a_full_disk_costs_no_request(serve: Serve, tmp_path: Path) -> None:
    server = serve({"app": "demo", "pool": {"size": 1}, "access_log": {"to": "/dev/full"}})
    with Client(server.port) as client:
        for _ in range(3):
            client.ask("/")
            assert client.answer().status == 200
    server.wait_for_log("access_log: lost 1 line: No space left on device")


def test_a_file_that_cannot_be_opened(tmp_path: Path) -> None:
    with Server({"app": "demo", "access_log": {"to": "/none/access.log"}}, tmp_path) as server:
        assert server.wait() == 1
        assert "access_log: /none/access.log cannot be opened: there is no folder /none" in server.log


def test_sigusr1_without_a_log_file(serve: Serve) -> None:
    server = serve({"app": "demo", "pool": {"size": 1}})
    server.signal(signal.SIGUSR1)
    server.wait_for_log("SIGUSR1 ignored: there is no log file")
    with Client(server.port) as client:
        client.ask("/")
        assert client.answer().status == 200
    assert server.stop() == 0


def test_lines_have_forwarded_clients(serve: Serve, tmp_path: Path) -> None:
    (tmp_path / "seen.py").write_text(
        "def app(environ, start):\n"
        "    names = ('REMOTE_ADDR', 'wsgi.url_scheme', 'HTTP_HOST', 'SERVER_PORT')\n"
        "    start('200 OK', [])\n"
        "    return [' '.join(environ[name] for name in names).encode()]\n"
    )
    topology = {"app": {"wsgi": "seen:app"}, "forwarded": {"trust": "127.0.0.1"}, "pool": {"size": 1}}
    server = serve({**topology, "access_log": {"format": "%h", "to": "access.log"}})
    for source, answer in (
        ("127.0.0.1", b"192.0.2.7 https a.example 443"),
        ("127.0.0.2", b"127.0.0.2 http x %d" % server.port),
    ):
        with socket.create_connection(("127.0.0.1", server.port), 10, (source, 0)) as sock:
            sock.sendall(
                b"GET / HTTP/1.1\r\nHost: x\r\nX-Forwarded-For: 10.0.0.1, 192.0.2.7\r\nX-Forwarded-Proto: https\r\n"
                b"X-Forwarded-Host: a.example\r\nConnection: close\r\n\r\n"
            )
            assert sock.makefile("rb").read().endswith(b"\r\n\r\n" + answer)
    assert lines(tmp_path, 2) == ["192.0.2.7", "127.0.0.2"]


def test_over_http2_each_stream_has_its_line_and_its_client(serve: Serve, tmp_path: Path) -> None:
    (tmp_path / "logged_app.py").write_text(APP)
    server = serve(
        {
            "app": {"wsgi": "logged_app:app"},
            "protocol": {"use": "http", "http2": True},
            "ownership": "reuse-port",
            "pool": {"size": 1},
            "forwarded": {"trust": "127.0.0.1", "header": "forwarded"},
            "access_log": {"format": '%h "%r" %s %b', "to": "access.log"},
        }
    )
    url = f"http://127.0.0.1:{server.port}"
    with httpx.Client(http1=False, http2=True, base_url=url, timeout=PATIENCE, trust_env=False) as client:
        for number in (7, 8):
            assert client.get(f"/{number}", headers={"Forwarded": f"for=192.0.2.{number}"}).status_code == 201
    with httpx.Client(base_url=url, timeout=PATIENCE, trust_env=False) as client:
        assert client.get("/9", headers={"Forwarded": "for=192.0.2.9"}).status_code == 201
    assert server.stop() == 0
    assert lines(tmp_path, 3) == [
        '192.0.2.7 "GET /7 HTTP/2" 201 12',
        '192.0.2.8 "GET /8 HTTP/2" 201 12',
        '192.0.2.9 "GET /9 HTTP/1.1" 201 12',
    ]


def test_an_asynchronous_app(serve: Serve, tmp_path: Path) -> None:
    (tmp_path / "awaited.py").write_text(
        "async def app(scope, receive, send):\n"
        "    if scope['type'] == 'lifespan':\n"
        "        raise NotImplementedError\n"
        "    await send({'type': 'http.response.start', 'status': 202, 'headers': []})\n"
        "    await send({'type': 'http.response.body', 'body': b'ab', 'more_body': True})\n"
        "    await send({'type': 'http.response.body', 'body': scope['client'][0].encode()})\n"
    )
    server = serve(
        {
            "app": {"asgi": "awaited:app"},
            "ownership": "reuse-port",
            "pool": {"size": 1},
            "forwarded": {"trust": "127.0.0.1"},
            "access_log": {"format": '%h "%r" %s', "to": "access.log"},
        }
    )
    with httpx.Client(base_url=f"http://127.0.0.1:{server.port}", timeout=PATIENCE, trust_env=False) as client:
        for number in (7, 8):
            answer = client.get(f"/{number}", headers={"X-Forwarded-For": f"192.0.2.{number}"})
            assert (answer.status_code, answer.text) == (202, f"ab192.0.2.{number}")
    with Client(server.port) as broken:
        broken.send(b"GET / HTTP/1.1\r\nHost : x\r\n\r\n")
        assert broken.answer().status == 400
    assert lines(tmp_path, 3) == [
        '192.0.2.7 "GET /7 HTTP/1.1" 202',
        '192.0.2.8 "GET /8 HTTP/1.1" 202',
        '127.0.0.1 "GET / HTTP/1.1" 400',
    ]
