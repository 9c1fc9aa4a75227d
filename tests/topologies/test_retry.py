"""Requests whose worker dies, with real workers that kill themselves: under ``retry: idempotent`` another answers."""

from __future__ import annotations

import hashlib
import json
import os
import signal
from pathlib import Path
from typing import Any

import pytest
from harness.client import Client, clients, get
from harness.gated import begin
from harness.server import Serve, Server, wait_until

RETRY = {"ownership": {"use": "half-sync/half-reactive", "retry": "idempotent"}}
WSGI: dict[str, Any] = {"app": {"wsgi": "dying:wsgi"}}
ASGI: dict[str, Any] = {"app": {"use": "asgi", "target": "dying:asgi", "concurrency": 10}}
DESIGNS: dict[str, dict[str, Any]] = {
    "shared-queue": WSGI,
    "threads": {**WSGI, "pool": {"kind": "process", "size": 2, "threads": 2}},
    "least-loaded": {**WSGI, "dispatch": "least-loaded", "affinity": "request"},
    "round-robin-connection": {**WSGI, "dispatch": "round-robin", "affinity": "connection"},
    "client": {**WSGI, "dispatch": "least-loaded", "affinity": "client"},
    "path": {**WSGI, "dispatch": "least-loaded", "affinity": {"path": 1}},
    "one-worker": {**WSGI, "pool": {"kind": "process", "size": 1}},
    "async": ASGI,
    "async-least-loaded": {**ASGI, "dispatch": "least-loaded", "affinity": "request"},
}
designs = pytest.mark.parametrize("design", DESIGNS)
WHOLE = os.urandom(3_000_000)


def begin_dying(serve: Serve, design: str, **more: Any) -> Server:
    return serve({"name": "retry", "pool": {"kind": "process", "size": 2}, **RETRY, **DESIGNS[design], **more})


def told(body: bytes) -> tuple[str, int, str]:
    """What the app says of a request: its method, and the size and hash of its body."""
    _, method, size, digest = body.decode().split(" ")
    return method, int(size), digest


def said(method: str, body: bytes = b"") -> tuple[str, int, str]:
    return method, len(body), hashlib.sha256(body).hexdigest()


@designs
def test_another_worker_answers_and_the_connection_goes_on(serve: Serve, design: str) -> None:
    server = begin_dying(serve, design)
    workers = server.pids("worker")
    with Client(server.port) as client:
        assert client.get("/").status == 200
        for method in ("GET", "DELETE", "OPTIONS"):
            client.ask(f"/once?{method}", method=method)
            response = client.answer()
            assert (response.status, told(response.body)) == (200, said(method))
        client.ask("/once?HEAD", method="HEAD")
        assert client.answer(head=True).status == 200
        assert client.get("/").status == 200
    server.wait_for_log("was killed by SIGKILL", count=4)
    server.wait_for_log(r"GET /once\?GET HTTP/1.1: its worker died; retrying it on another")
    assert server.status()["retried"] == 4
    wait_until(lambda: len(server.pids("worker")) == len(workers), "the successors")
    assert server.stop() == 0


@designs
def test_a_large_body_arrives_whole(serve: Serve, design: str) -> None:
    server = begin_dying(serve, design)
    (front,) = server.pids("front")
    with Client(server.port) as client:
        assert client.get("/").status == 200
        before = len(os.listdir(f"/proc/{front}/fd"))
        client.ask("/once?PUT", method="PUT", body=WHOLE)
        response = client.answer()
        assert (response.status, told(response.body)) == (200, said("PUT", WHOLE))
        assert client.get("/").status == 200
        assert len(os.listdir(f"/proc/{front}/fd")) == before
    assert server.stop() == 0


@designs
def test_what_may_have_had_an_effect_is_not_repeated(serve: Serve, design: str) -> None:
    server = begin_dying(serve, design)
    with Client(server.port) as client:
        client.ask("/once?POST", method="POST", body=b"x")
        response = client.answer()
        assert (response.status, response.headers["connection"]) == (502, "close")
        assert client.at_end()
    with Client(server.port) as client:
        client.ask("/begun?GET")
        with pytest.raises(EOFError):
            client.answer()
    assert server.status()["retried"] == 0
    assert server.stop() == 0


@designs
def test_a_request_kills_two_workers_and_no_more(serve: Serve, design: str) -> None:
    server = begin_dying(serve, design)
    with Client(server.port) as client:
        client.ask("/always")
        assert client.answer().status == 502
        assert client.at_end()
    assert get(server.port).status == 200
    assert server.status()["retried"] == 1
    server.wait_for_log("was killed by SIGKILL", count=2)
    assert server.stop() == 0


def test_by_default_nothing_is_repeated(serve: Serve) -> None:
    server = serve({"name": "retry", "pool": {"kind": "process", "size": 2}, **WSGI})
    with Client(server.port) as client:
        client.ask("/once?GET")
        assert client.answer().status == 502
    assert server.status()["retried"] == 0
    assert server.stop() == 0


def test_all_that_a_worker_had_in_flight(serve: Serve) -> None:
    """The one that killed it, and those that it served at the same time."""
    server = serve(
        {"name": "retry", "app": {"use": "asgi", "target": "lent:app", "concurrency": 20}, **RETRY}
        | {"pool": {"kind": "process", "size": 2}, "dispatch": "least-loaded", "affinity": "request"}
    )
    workers = server.pids("worker")
    with clients(server.port, 10) as many:
        for client in many:
            client.ask("/wait?0.5")
        server.wait_for_log("waits", 10)
        os.kill(workers[0], signal.SIGKILL)
        assert [client.answer().status for client in many] == [200] * 10
        assert [client.get("/").status for client in many] == [200] * 10
    assert server.status()["retried"] == 5
    assert server.stop() == 0


def test_an_access_log_has_one_line_for_a_request(serve: Serve, tmp_path: Path) -> None:
    server = begin_dying(serve, "shared-queue", access_log={"format": "json", "to": "access.log"})
    with Client(server.port) as client:
        assert client.get("/once?logged").status == 200
        client.ask("/always")
        assert client.answer().status == 502
    assert server.stop() == 0
    lines = map(json.loads, (tmp_path / "access.log").read_text().splitlines())
    assert [(line["target"], line["status"]) for line in lines] == [("/once?logged", 200), ("/always", 502)]


def test_a_drain_retries_too(serve: Serve, tmp_path: Path) -> None:
    server = begin(serve, tmp_path, pool={"kind": "process", "size": 2}, **RETRY)
    gate = tmp_path / "gate"
    with Client(server.port) as client, Client(server.port) as idle:
        client.ask(f"/slow?{gate}")
        (busy,) = server.wait_until_busy()
        assert idle.get().status == 200  # not before: its worker may count as busy for a moment longer
        server.signal(signal.SIGTERM)
        assert idle.at_end()  # the front drains
        os.kill(busy, signal.SIGKILL)
        server.wait_for_log(f"pid {busy}\\) was killed by SIGKILL")
        gate.touch()  # not before: the one that is dead cannot have answered
        response = client.answer()
        assert (response.status, response.headers["connection"]) == (200, "close")
        assert client.at_end()
    assert server.wait() == 0


def test_a_client_that_left_gets_nothing(serve: Serve) -> None:
    server = serve({"name": "retry", "app": "demo", "pool": {"kind": "process", "size": 2}, **RETRY})
    with Client(server.port) as client:
        client.ask("/sleep?seconds=60")
        (busy,) = server.wait_until_busy()
        client.reset()
    os.kill(busy, signal.SIGKILL)
    server.wait_for_log("was killed by SIGKILL")
    assert get(server.port).status == 200
    wait_until(lambda: not server.busy(), "the end of what was asked")
    assert server.status()["retried"] == 0
    assert server.stop() == 0


def test_a_request_that_took_too_long_is_not_repeated(serve: Serve) -> None:
    server = serve(
        {"name": "retry", "app": "demo", "pool": {"kind": "process", "size": 2}, "timeouts": {"request": "300ms"}}
        | RETRY
    )
    with Client(server.port) as client:
        client.ask("/sleep?seconds=60")
        assert client.answer().status == 504
    server.wait_for_log("was killed by SIGKILL")
    assert server.status()["retried"] == 0
    assert server.stop() == 0
