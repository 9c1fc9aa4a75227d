"""The key `reload`: warm requests, how many workers start at a time, and how long they may take."""

from __future__ import annotations

import uuid
from pathlib import Path
from typing import Any

import pytest
from harness.client import get
from harness.commands import poolctl
from harness.ports import quiet_port
from harness.server import Serve, Server

WSGI = """
seen = []
def app(environ, start_response):
    target = environ["PATH_INFO"] + "?" + environ["QUERY_STRING"]
    if target == "/warm me?a=1":
        seen.append(target)
    status = STATUS if target.startswith("/warm") else "200 OK"
    body = repr(seen).encode()
    start_response(status, [("Content-Length", str(len(body)))])
    return [body]
"""
ASGI = """
seen = []
async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        await receive()
        scope["state"]["database"] = "open"
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await send({"type": "lifespan.shutdown.complete"})
        return
    assert scope["state"]["database"] == "open"
    target = scope["path"] + "?" + scope["query_string"].decode()
    if target == "/warm me?a=1":
        seen.append(target)
    status = int(STATUS[:3]) if target.startswith("/warm") else 200
    await send({"type": "http.response.start", "status": status, "headers": []})
    await send({"type": "http.response.body", "body": repr(seen).encode()})
"""
CODE = {"wsgi": WSGI, "asgi": ASGI}
WARM = "/warm%20me?a=1"
KINDS = [
    ("wsgi", {"kind": "process", "size": 2}, "half-sync/half-reactive"),
    ("wsgi", {"kind": "thread", "size": 2}, "half-sync/half-reactive"),
    ("asgi", {"kind": "process", "size": 2}, "half-sync/half-reactive"),
    ("asgi", {"kind": "process", "size": 2}, "reuse-port"),
]


def begin(serve: Serve, folder: Path, kind: str, pool: dict[str, Any], ownership: str, **more: Any) -> Server:
    (folder / "shop.py").write_text(f'STATUS = "200 OK"\n{CODE[kind]}')
    topology = {"app": {kind: "shop:app"}, "listen": f"tcp://127.0.0.1:{quiet_port()}", "pool": pool}
    topology |= {"name": f"w{uuid.uuid4().hex[:8]}", "ownership": ownership, "reload": {"warm": WARM}, **more}
    return serve(topology, tracebacks=True)


@pytest.mark.parametrize(("kind", "pool", "ownership"), KINDS)
def test_workers_have_answered_the_warm_requests(
    serve: Serve, tmp_path: Path, kind: str, pool: dict[str, Any], ownership: str
) -> None:
    server = begin(serve, tmp_path, kind, pool, ownership)
    assert get(server.port).body == b"['/warm me?a=1']"


@pytest.mark.parametrize(("kind", "pool", "ownership"), KINDS)
def test_a_warm_request_that_fails_leaves_the_old_workers_serving(
    serve: Serve, tmp_path: Path, kind: str, pool: dict[str, Any], ownership: str
) -> None:
    server = begin(serve, tmp_path, kind, pool, ownership)
    (tmp_path / "shop.py").write_text(f'STATUS = "503 Not yet, come back"\n{CODE[kind]}')
    done = poolctl("reload", str(server.pid), cwd=tmp_path)
    assert done.returncode == 1
    assert f"the warm request GET {WARM} got a 503" in done.stderr
    assert get(server.port).body == b"['/warm me?a=1']"


def test_an_application_that_raises_in_a_warm_request_shows_its_traceback(serve: Serve, tmp_path: Path) -> None:
    server = begin(serve, tmp_path, *KINDS[0])
    (tmp_path / "shop.py").write_text("def app(environ, start_response):\n    raise OSError('no database today')\n")
    done = poolctl("reload", str(server.pid), cwd=tmp_path)
    assert (done.returncode, "no database today" in done.stderr) == (1, True)
    assert get(server.port).status == 200


def test_only_so_many_workers_start_at_a_time(serve: Serve, tmp_path: Path) -> None:
    """Each notes in a file when its import begins and ends."""
    code = """
import os, time
def note(what):
    with open("starts", "a") as file:
        file.write(what)
note("(")
time.sleep(0.05)
note(")")
"""
    server = begin(serve, tmp_path, "wsgi", {"kind": "process", "size": 6}, "leader/followers")
    name = server.pid
    (tmp_path / "shop.py").write_text(f'STATUS = "200 OK"\n{WSGI}{code}')
    assert poolctl("reload", str(name), cwd=tmp_path).returncode == 0
    (file,) = tmp_path.glob("*.yaml")
    text = file.read_text()
    assert "reload" in text
    (tmp_path / "starts").unlink()
    file.write_text(text.replace(f"warm: {WARM}", "surge: 1"))
    assert "surge: 1" in file.read_text()
    assert poolctl("reload", str(name), cwd=tmp_path).returncode == 0
    assert (tmp_path / "starts").read_text() == "()" * 6


def test_a_reload_may_take_as_long_as_the_file_says(serve: Serve, tmp_path: Path) -> None:
    server = begin(serve, tmp_path, *KINDS[0], reload={"ready": "1s"})
    (tmp_path / "shop.py").write_text("import time\ntime.sleep(600)\n")
    done = poolctl("reload", str(server.pid), cwd=tmp_path)
    assert (done.returncode, "not ready within 1 s" in done.stderr) == (3, True)
    assert get(server.port).status == 200
