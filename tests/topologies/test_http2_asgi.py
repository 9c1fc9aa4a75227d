"""HTTP/2 for asynchronous apps: the streams of a connection are answered at the same time."""

from __future__ import annotations

import asyncio
import hashlib
import os
import re
import shutil
import socket
import subprocess
from pathlib import Path
from typing import Any, Self

import httpx
import pytest
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import ConnectionTerminated, DataReceived, StreamReset
from harness.client import get
from harness.machine import PATIENCE
from harness.memory import peak
from harness.server import Serve, Server

MODELS: dict[str, dict[str, Any]] = {
    "reuse-port": {"pool": {"size": 1}, "ownership": "reuse-port"},
    "half-sync/half-async": {"pool": {"size": 1}, "ownership": "half-sync/half-async"},
    "leader/followers threads": {"pool": {"kind": "thread", "size": 1}, "ownership": "leader/followers"},
}
HTTP2 = {"use": "http", "http2": True}


def serve_app(serve: Serve, model: str = "reuse-port", **more: Any) -> Server:
    tracebacks = more.pop("tracebacks", False)
    topology = {"name": "two", "app": {"asgi": "streams:app"}, "protocol": HTTP2, **MODELS[model], **more}
    return serve(topology, tracebacks=tracebacks)


def browser(server: Server) -> httpx.AsyncClient:
    return httpx.AsyncClient(
        http1=False, http2=True, base_url=f"http://127.0.0.1:{server.port}", timeout=PATIENCE, trust_env=False
    )


@pytest.mark.parametrize("model", MODELS)
def test_streams_do_not_wait_for_each_other(model: str, serve: Serve) -> None:
    server = serve_app(serve, model)
    sent = os.urandom(2_000_000)

    async def visit() -> None:
        async with browser(server) as client:
            response = await client.get("/")
            assert response.text == "2 http GET 127.0.0.1"
            assert response.http_version == "HTTP/2"
            answers = await asyncio.gather(*(client.get("/meet?50") for _ in range(50)))
            assert {each.text for each in answers} == {"met"}
            assert (await client.post("/digest", content=sent)).text == hashlib.sha256(sent).hexdigest()
            assert (await client.post("/echo", content=sent)).content == sent
            assert len((await client.get("/large?100")).content) == 100 * 65536

    asyncio.run(visit())
    assert get(server.port).body == b"1.1 http GET 127.0.0.1"  # HTTP/1 on the same port
    assert server.stop() == 0


def test_what_the_app_raises(serve: Serve) -> None:
    server = serve_app(serve, tracebacks=True)

    async def visit() -> None:
        async with browser(server) as client:
            assert (await client.get("/fail")).status_code == 500
            assert (await client.get("/cancelled")).status_code == 500
            assert (await client.get("/afterwards")).text == "whole"
            with pytest.raises(httpx.RemoteProtocolError):
                await client.get("/late")
            assert (await client.get("/")).status_code == 200

    asyncio.run(visit())
    server.wait_for_log("RuntimeError: before")


def test_an_upload_that_nobody_reads_waits(serve: Serve) -> None:
    server = serve_app(serve)
    sent = bytes(8_000_000)

    async def visit() -> None:
        async with browser(server) as client:
            answers = await asyncio.gather(client.post("/deaf", content=sent), client.get("/"))
            assert answers[0].text == hashlib.sha256(sent).hexdigest()

    asyncio.run(visit())
    (worker,) = server.pids("worker")
    assert peak(worker) < 80 * 1024


class Wire:
    """One connection, frame by frame."""

    def __init__(self, server: Server) -> None:
        self.sock = socket.create_connection(("127.0.0.1", server.port), timeout=PATIENCE)
        self.h2 = H2Connection(H2Configuration(header_encoding="ascii"))
        self.h2.initiate_connection()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *raised: object) -> None:
        self.sock.close()

    def ask(self, path: str, *, whole: bool = True, method: str = "GET") -> int:
        number = self.h2.get_next_available_stream_id()
        headers = [(":method", method), (":path", path), (":scheme", "http"), (":authority", "shop.test")]
        self.h2.send_headers(number, headers, end_stream=whole)
        self.flush()
        return number

    def flush(self) -> None:
        self.sock.sendall(self.h2.data_to_send())

    def until(self, kind: type) -> Any:
        while data := self.sock.recv(65536):
            for event in self.h2.receive_data(data):
                if isinstance(event, kind):
                    return event
            self.flush()
        raise AssertionError(f"the connection ended without a {kind.__name__}")


def test_a_stream_that_is_cancelled_and_a_client_that_leaves(serve: Serve) -> None:
    server = serve_app(serve)
    with Wire(server) as wire:
        number = wire.ask("/gone")
        server.wait_for_log("waits for the end")
        wire.h2.reset_stream(number)
        wire.flush()
        server.wait_for_log("told of the end")
        wire.ask("/gone")
        server.wait_for_log("waits for the end", 2)
        wire.ask("/two-wait")
        server.wait_for_log("waits for the end", 3)
    server.wait_for_log("told of the end", 3)
    server.wait_for_log(r"told of the end by \['http.disconnect', 'http.disconnect'\]")


def test_a_window_that_stays_closed_makes_one_app_wait_and_is_bounded(serve: Serve) -> None:
    server = serve_app(serve, timeouts={"write": "1s"})
    with Wire(server) as wire:
        wire.ask("/large?2000")
        wire.until(DataReceived)
        assert get(server.port).status == 200
        server.wait_for_log("cut off in the middle")
    (worker,) = server.pids("worker")
    assert peak(worker) < 80 * 1024


def test_a_body_past_its_limit_is_refused(serve: Serve) -> None:
    server = serve_app(serve, protocol=HTTP2 | {"body": "100KiB"})

    async def visit() -> None:
        async with browser(server) as client:
            response = await client.post("/digest", content=bytes(300_000))
            assert response.status_code == 413
            assert (await client.post("/digest", content=bytes(100_000))).status_code == 200

    asyncio.run(visit())


def test_a_stop_finishes_what_is_in_flight(serve: Serve) -> None:
    server = serve_app(serve)

    async def visit() -> None:
        async with browser(server) as client:
            await client.get("/")
            waiting = asyncio.create_task(client.get("/wait?0.5"))
            await asyncio.to_thread(server.wait_for_log, "waits")
            server.signal()
            assert (await waiting).text == "waited"

    asyncio.run(visit())
    assert server.wait() == 0


def test_a_silent_connection_is_closed_with_a_word(serve: Serve) -> None:
    server = serve_app(serve, timeouts={"idle": "500ms"})
    with Wire(server) as wire:
        wire.ask("/")
        assert wire.until(ConnectionTerminated).error_code == 0


def test_a_body_that_does_not_come(serve: Serve) -> None:
    server = serve_app(serve, timeouts={"idle": "500ms"})
    with Wire(server) as wire:
        wire.ask("/digest", whole=False, method="POST")
        wire.until((ConnectionTerminated, StreamReset))  # type: ignore[arg-type]


def test_lines_in_the_access_log(serve: Serve, tmp_path: Path) -> None:
    log = tmp_path / "access.log"
    server = serve_app(serve, access_log={"format": "common", "to": str(log)})

    async def visit() -> None:
        async with browser(server) as client:
            await client.get("/")

    asyncio.run(visit())
    assert server.stop() == 0
    assert re.search(r'"GET / HTTP/2" 200 20\n', log.read_text()), log.read_text()


@pytest.mark.skipif(shutil.which("h2load") is None, reason="h2load is not installed")
def test_h2load(serve: Serve, tmp_path: Path) -> None:
    server = serve_app(serve)
    (tmp_path / "body").write_bytes(os.urandom(500_000))
    body = ["-d", str(tmp_path / "body")]
    for count, path, more in ((2000, "/", []), (60, "/digest", body), (60, "/echo", body)):
        command = ["h2load", "-n", str(count), "-c", "3", "-m", "20", *more, f"http://127.0.0.1:{server.port}{path}"]
        found = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, check=True)
        assert f"{count} succeeded, 0 failed" in found.stdout
