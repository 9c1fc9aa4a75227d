"""More requests than workers can serve: some are refused, the others are served, and the end of it is noticed."""

from __future__ import annotations

import socket
import threading
from collections import Counter
from pathlib import Path
from typing import Any, Self

import pytest
from harness.machine import PATIENCE
from harness.server import Serve, Server, wait_until

APPS = Path(__file__).parent / "apps"
WSGI: dict[str, Any] = {"app": {"wsgi": "lasting:answer"}}
MODELS: dict[str, dict[str, Any]] = {
    "processes": {**WSGI, "pool": {"kind": "process", "size": 2}},
    "threads": {**WSGI, "pool": {"kind": "thread", "size": 2}},
    "processes of threads": {**WSGI, "pool": {"kind": "process", "size": 1, "threads": 2}},
    "asynchronous": {
        "app": {"asgi": "lasting:answer_async", "concurrency": 2},
        "pool": {"kind": "process", "size": 1},
    },
    "handed over to processes": {**WSGI, "pool": {"kind": "process", "size": 2}, "ownership": "half-sync/half-async"},
    "handed over to threads": {**WSGI, "pool": {"kind": "thread", "size": 2}, "ownership": "half-sync/half-async"},
    "pushed": {**WSGI, "pool": {"kind": "process", "size": 2}, "dispatch": "least-loaded", "affinity": "request"},
}
REQUEST = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
CLOSING = b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
KEPT = [model for model in MODELS if "handed over" not in model]  # otherwise what waits on a connection is not bounded


class Crowd:
    """Clients that ask again as soon as they have an answer, on a new connection after a refusal."""

    def __init__(self, port: int, clients: int, *, keep: bool = True) -> None:
        self.port = port
        self.request = REQUEST if keep else CLOSING
        self.statuses: Counter[bytes] = Counter()
        self.waits: Counter[bytes] = Counter()
        self._over = threading.Event()
        self._threads = [threading.Thread(target=self._run) for _ in range(clients)]
        for thread in self._threads:
            thread.start()

    def _run(self) -> None:
        while not self._over.is_set():
            with socket.create_connection(("127.0.0.1", self.port), PATIENCE) as sock:
                head = b"HTTP/1.1 200"
                while head.startswith(b"HTTP/1.1 200") and not self._over.is_set():
                    sock.sendall(self.request)
                    head = sock.recv(4096)
                    self.statuses[head[9:12]] += 1
                    if self.request is CLOSING:
                        break
                if b"Retry-After: " in head:
                    self.waits[head.partition(b"Retry-After: ")[2].partition(b"\r\n")[0]] += 1

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join(PATIENCE)
        assert not any(thread.is_alive() for thread in self._threads)


def started(serve: Serve, model: str, **more: Any) -> Server:
    topology = {"ownership": "half-sync/half-reactive", **MODELS[model], **more}
    return serve(topology, path=APPS)


@pytest.mark.parametrize("model", MODELS)
def test_some_are_refused_and_the_others_are_served(serve: Serve, model: str) -> None:
    server = started(serve, model, overload={"target": "20ms"})
    with Crowd(server.port, 30, keep=model in KEPT) as crowd:
        wait_until(lambda: crowd.statuses[b"503"] >= 20, "refusals")
        before = crowd.statuses[b"200"]
        wait_until(lambda: crowd.statuses[b"200"] > before + 20, "responses")
    assert set(crowd.statuses) == {b"200", b"503"}
    assert all(1 <= int(seconds) <= 60 for seconds in crowd.waits)
    assert sum(crowd.waits.values()) == crowd.statuses[b"503"]
    with Crowd(server.port, 1) as alone:
        wait_until(lambda: alone.statuses[b"200"] >= 5, "responses after the overload")
    assert set(alone.statuses) == {b"200"}


@pytest.mark.parametrize("model", ["processes", "asynchronous", "handed over to threads"])
def test_off_refuses_none(serve: Serve, model: str) -> None:
    server = started(serve, model, overload="off")
    with Crowd(server.port, 30) as crowd:
        wait_until(lambda: crowd.statuses[b"200"] >= 50, "responses")
    assert set(crowd.statuses) == {b"200"}
