"""What a client that left by a reset has asked for, and nobody has begun, is not executed any more."""

from __future__ import annotations

import os
import socket
import time
from pathlib import Path
from typing import Any

import pytest
from h2.config import H2Configuration
from h2.connection import H2Connection
from harness.client import Client
from harness.forms import half, short
from harness.server import Serve, wait_until

WSGI: dict[str, Any] = {"app": {"wsgi": "held:answer"}}
ASGI: dict[str, Any] = {"app": {"asgi": "held:answer_async"}}
PROCESS, THREAD = {"kind": "process", "size": 1}, {"kind": "thread", "size": 1}
LENT: dict[str, dict[str, Any]] = {
    "half-sync/half-reactive": {**WSGI, "pool": PROCESS, "ownership": "half-sync/half-reactive"},
    "half-sync/half-reactive, threads": {**WSGI, "pool": THREAD, "ownership": "half-sync/half-reactive"},
    "half-sync/half-reactive, round-robin": {
        **WSGI,
        "pool": PROCESS,
        "ownership": "half-sync/half-reactive",
        "dispatch": "round-robin",
    },
    "half-sync/half-reactive, asynchronous": {**ASGI, "pool": PROCESS, "ownership": "half-sync/half-reactive"},
    "half-sync/half-reactive, asynchronous threads": {**ASGI, "pool": THREAD, "ownership": "half-sync/half-reactive"},
}
OWNED: dict[str, dict[str, Any]] = {
    "half-sync/half-async": {**WSGI, "pool": PROCESS, "ownership": "half-sync/half-async"},
    "leader/followers": {**WSGI, "pool": THREAD, "ownership": "leader/followers"},
    "reuse-port": {**WSGI, "pool": PROCESS, "ownership": "reuse-port"},
    "reuse-port, asynchronous": {**ASGI, "pool": PROCESS, "ownership": "reuse-port"},
    "iterative": {**WSGI, "pool": "iterative"},
}
MODELS = {**LENT, **OWNED}
WAITING = [name for name in MODELS if name != "iterative"]
BLOCKING = [name for name, topology in MODELS.items() if "wsgi" in topology["app"]]
LONG = 0.1  # seconds: enough for a request to count as one that has waited


def unread(port: int) -> int:
    """Bytes that wait in the kernel for the server of a port (proc(5), /proc/net/tcp)."""
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    return sum(int(row[4].partition(":")[2], 16) for row in rows if row[1].endswith(f":{port:04X}") and row[3] != "0A")


class Held:
    """A server with one worker, and that one at the gate."""

    def __init__(self, serve: Serve, topology: dict[str, Any], folder: Path) -> None:
        self.folder = folder / "asked"
        self.folder.mkdir()
        os.mkfifo(self.folder / "gate")
        self.log = folder / "access.log"
        self.server = serve({**topology, "access_log": {"format": "common", "to": str(self.log)}})

    def client(self) -> Client:
        return Client(self.server.port)

    def path(self, name: str) -> str:
        return f"{self.folder}/{name}"

    def wait_for(self, name: str) -> None:
        """Until the app has been asked for this."""
        wait_until((self.folder / name).exists, f"{name} is asked for")

    def open_gate(self) -> None:
        with open(self.folder / "gate", "wb"):
            pass

    def asked(self) -> list[str]:
        """What the app was asked for, once it has answered this one too."""
        with self.client() as client:
            assert client.get(self.path("after")).status == 200
        return sorted(each.name for each in self.folder.iterdir() if each.name not in ("gate", "after"))


@pytest.mark.parametrize("name", short(WAITING, half(WAITING)))
def test_a_request_that_waited_is_not_executed_for_a_client_that_left(serve: Serve, tmp_path: Path, name: str) -> None:
    held = Held(serve, {**LENT, **OWNED}[name], tmp_path)
    with held.client() as first, held.client() as half_closed, held.client() as patient:
        leaving = [held.client() for _ in range(4)]
        assert leaving[0].get(held.path("kept")).status == 200  # and is kept
        first.ask(held.path("hold"))
        held.wait_for("hold")
        leaving[0].ask(held.path("left0"))
        leaving[1].ask(held.path("left1"))
        leaving[2].ask(held.path("left2"), method="POST", body=b"a" * 100_000)  # travels as a file
        leaving[3].send(f"GET {held.path('left3')} HTTP/1.1\r\nHost: a\r\n\r\n".encode() * 3)
        half_closed.ask(held.path("half-closed"))
        half_closed.sock.shutdown(socket.SHUT_WR)
        patient.ask(held.path("patient"))
        if name in LENT:
            wait_until(lambda: unread(held.server.port) == 0, "the front has read all of it")
        time.sleep(LONG)  # it has waited
        for client in leaving:
            client.reset()
        time.sleep(LONG)  # it has waited
        held.open_gate()
        assert [each.answer().status for each in (first, half_closed, patient)] == [200] * 3
        assert held.asked() == ["half-closed", "hold", "kept", "patient"]
        if name in LENT:  # else it was never read
            wait_until(lambda: held.log.read_text().count(" 499 ") == 4, "the log has a line for each that left")
        assert patient.get(held.path("patient")).status == 200
    assert held.server.stop() == 0


@pytest.mark.parametrize("name", short(MODELS, half(MODELS, 1)))
def test_the_rest_of_a_pipeline_is_not_executed_for_a_client_that_left(serve: Serve, tmp_path: Path, name: str) -> None:
    held = Held(serve, {**LENT, **OWNED}[name], tmp_path)
    client = held.client()
    client.send(
        b"".join(f"GET {held.path(each)} HTTP/1.1\r\nHost: a\r\n\r\n".encode() for each in ("hold", "second", "third"))
    )
    held.wait_for("hold")
    client.reset()
    held.open_gate()
    assert held.asked() == ["hold"]
    assert held.server.stop() == 0


@pytest.mark.parametrize("name", short(BLOCKING, half(BLOCKING)))
def test_nor_is_it_when_the_client_left_after_an_answer(serve: Serve, tmp_path: Path, name: str) -> None:
    held = Held(serve, {**LENT, **OWNED}[name], tmp_path)
    client = held.client()
    client.send(b"".join(f"GET {held.path(each)} HTTP/1.1\r\nHost: a\r\n\r\n".encode() for each in ("late", "second")))
    assert client._exactly(12) == b"HTTP/1.1 200"
    time.sleep(LONG)  # it has waited
    client.reset()
    held.open_gate()
    assert held.asked() == ["late"]
    assert held.server.stop() == 0


@pytest.mark.parametrize("name", ["reuse-port", "leader/followers"])
def test_nor_are_the_other_streams_of_http2(serve: Serve, tmp_path: Path, name: str) -> None:
    held = Held(serve, {**OWNED[name], "protocol": {"use": "http", "http2": True}}, tmp_path)
    client = held.client()
    wire = H2Connection(H2Configuration(client_side=True))
    wire.initiate_connection()
    for number, each in enumerate(("hold", "second", "third")):
        headers = {":method": "GET", ":scheme": "http", ":authority": "a", ":path": held.path(each)}
        wire.send_headers(2 * number + 1, list(headers.items()), end_stream=True)
    client.send(wire.data_to_send())
    held.wait_for("hold")
    client.reset()
    held.open_gate()
    assert held.asked() == ["hold"]
    assert held.server.stop() == 0
