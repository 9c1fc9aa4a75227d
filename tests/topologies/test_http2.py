"""HTTP/2 with prior knowledge, over real sockets, under every ownership whose workers own connections."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Self

import httpx
import pytest
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import ConnectionTerminated, DataReceived, Event, ResponseReceived, StreamEnded, StreamReset
from h2.settings import SettingCodes
from harness.client import get
from harness.machine import PATIENCE, within
from harness.server import Serve, Server

from poolctl.runtime.protocol.http2.frames import PREFACE, FrameWatch

HTTP2 = {"use": "http", "http2": True}
MODELS: dict[str, dict[str, Any]] = {
    "reuse-port": {"pool": {"kind": "process", "size": 2}, "ownership": "reuse-port"},
    "half-sync/half-async": {"pool": {"kind": "process", "size": 2}, "ownership": "half-sync/half-async"},
    "leader/followers processes": {"pool": {"kind": "process", "size": 2}, "ownership": "leader/followers"},
    "leader/followers threads": {"pool": {"kind": "thread", "size": 2}, "ownership": "leader/followers"},
    "thread-per-connection": {"pool": "thread-per-connection"},
}
SECONDS = PATIENCE


def serve_http2(serve: Serve, model: str, **more: Any) -> Server:
    tracebacks = more.pop("tracebacks", False)
    return serve({"name": "two", "app": "demo", "protocol": HTTP2, **MODELS[model], **more}, tracebacks=tracebacks)


@contextmanager
def browser(server: Server) -> Iterator[httpx.Client]:
    with httpx.Client(
        http1=False, http2=True, base_url=f"http://127.0.0.1:{server.port}", timeout=SECONDS, trust_env=False
    ) as client:
        yield client


class Wire:
    """One connection, frame by frame."""

    def __init__(self, port: int, window: int | None = None) -> None:
        self.sock = socket.create_connection(("127.0.0.1", port), timeout=SECONDS)
        self.h2 = H2Connection(H2Configuration(header_encoding="ascii"))
        self.h2.initiate_connection()
        self.watch = FrameWatch(1 << 20)  # h2 takes a GOAWAY for the end, and would drop open streams
        self.watch.sift(PREFACE)
        if window is not None:
            self.h2.update_settings({SettingCodes.INITIAL_WINDOW_SIZE: window})
        self.flush()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *raised: object) -> None:
        self.sock.close()

    def flush(self) -> None:
        self.sock.sendall(self.h2.data_to_send())

    def ask(self, path: str, method: str = "GET", body: bytes | None = None) -> int:
        number = self.h2.get_next_available_stream_id()
        headers = [(":method", method), (":path", path), (":scheme", "http"), (":authority", "shop.test")]
        self.h2.send_headers(number, headers, end_stream=body is None)
        if body is not None:
            self.h2.send_data(number, body, end_stream=True)
        self.flush()
        return number

    def events(self) -> Iterator[Event]:
        """What comes until the server ends the connection."""
        while data := self.sock.recv(65536):
            yield from self.h2.receive_data(self.watch.sift(data))
            if self.watch.leaving:
                self.watch.leaving = False
                yield ConnectionTerminated()
            self.flush()

    def until(self, kind: type[Event]) -> list[Event]:
        found = []
        for event in self.events():
            found.append(event)
            if isinstance(event, kind):
                return found
        raise AssertionError(f"no {kind.__name__} in {found}")


@pytest.mark.parametrize("model", MODELS)
def test_http2_and_http1_are_served_at_one_port(serve: Serve, model: str) -> None:
    server = serve_http2(serve, model, tracebacks=True)
    with browser(server) as client:
        for _ in range(3):
            response = client.get("/")
            assert (response.status_code, response.http_version) == (200, "HTTP/2")
            assert response.headers["x-worker"]
            assert "connection" not in response.headers
        assert get(server.port).status == 200
        body = b"y" * 300_000
        assert client.post("/echo", content=body).content == body
        assert client.get("/bytes?count=1000000").content == b"x" * 1_000_000
        assert client.get("/chunks?count=3").text == "chunk 0\nchunk 1\nchunk 2\n"
        head = client.head("/bytes?count=70000")
        assert (head.headers["content-length"], head.content) == ("70000", b"")
        assert client.get("/nowhere").status_code == 404
        assert client.get("/error").status_code == 500
        assert client.get("/").status_code == 200
        environ = json.loads(client.get("/environ?a=%20b", headers={"X-One": "1"}).text)
    assert environ["SERVER_PROTOCOL"] == "HTTP/2"
    assert environ["HTTP_HOST"] == f"127.0.0.1:{server.port}"
    assert (environ["PATH_INFO"], environ["QUERY_STRING"], environ["HTTP_X_ONE"]) == ("/environ", "a=%20b", "1")
    assert server.stop() == 0


@pytest.mark.parametrize("model", ["reuse-port", "leader/followers threads"])
def test_many_streams_of_one_connection_are_all_answered(serve: Serve, model: str) -> None:
    server = serve_http2(serve, model)
    with Wire(server.port) as wire:
        asked = {wire.ask(f"/bytes?count={1000 + number}"): 1000 + number for number in range(90)}
        got = dict.fromkeys(asked, 0)
        ended = set()
        for event in wire.events():
            if isinstance(event, DataReceived):
                got[event.stream_id] += len(event.data)
                wire.h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
                wire.flush()
            elif isinstance(event, StreamEnded):
                ended.add(event.stream_id)
                if len(ended) == len(asked):
                    break
        assert got == asked
    assert server.stop() == 0


def test_a_response_waits_for_its_window_while_others_go_on(serve: Serve) -> None:
    server = serve_http2(serve, "reuse-port", pool={"kind": "process", "size": 1})
    with Wire(server.port, window=1000) as wire:
        large = wire.ask("/bytes?count=5000")
        small = wire.ask("/bytes?count=10")
        events = wire.until(StreamEnded)
        assert {event.stream_id for event in events if isinstance(event, StreamEnded)} == {small}
        assert sum(len(event.data) for event in events if isinstance(event, DataReceived)) == 1010
        wire.h2.increment_flow_control_window(4000, large)
        wire.flush()
        events = wire.until(StreamEnded)
        assert sum(len(event.data) for event in events if isinstance(event, DataReceived)) == 4000
    assert server.stop() == 0


def test_chunks_go_out_before_the_app_gives_the_next(serve: Serve) -> None:
    server = serve_http2(serve, "reuse-port")
    with Wire(server.port) as wire:
        wire.ask("/chunks?count=4")
        events = wire.until(StreamEnded)
        assert [event.data for event in events if isinstance(event, DataReceived) and event.data] == [
            b"chunk %d\n" % number for number in range(4)
        ]


@pytest.mark.parametrize(
    ("protocol", "path", "body", "status"),
    [
        ({"target": 50}, "/" + "a" * 60, None, "414"),
        ({"body": 1000}, "/echo", b"z" * 2000, "413"),
        ({}, "nowhere", None, "400"),
    ],
)
def test_limits_are_answered_in_their_stream(
    serve: Serve, protocol: dict[str, int], path: str, body: bytes | None, status: str
) -> None:
    server = serve_http2(serve, "reuse-port", protocol={**HTTP2, **protocol})
    with Wire(server.port) as wire:
        wire.ask(path, "POST" if body else "GET", body)
        (response,) = (each for each in wire.until(StreamEnded) if isinstance(each, ResponseReceived))
        assert dict(response.headers)[":status"] == status
        wire.ask("/pid")
        (response,) = (each for each in wire.until(StreamEnded) if isinstance(each, ResponseReceived))
        assert dict(response.headers)[":status"] == "200"


def test_what_is_no_http2_is_told_so_and_ended(serve: Serve) -> None:
    server = serve_http2(serve, "reuse-port")
    with Wire(server.port) as wire:
        wire.ask("/")
        wire.until(StreamEnded)
        wire.sock.sendall(b"\x00\x00\x01\x06\x00\x00\x00\x00\x00!")  # a PING of one byte (RFC 9113, 6.7)
        *_, last = wire.until(ConnectionTerminated)
        assert isinstance(last, ConnectionTerminated)
        assert last.error_code == 6  # FRAME_SIZE_ERROR
        assert wire.sock.recv(1) == b""
    assert server.stop() == 0


def test_a_client_that_cancels_without_end_is_sent_away(serve: Serve) -> None:
    server = serve_http2(serve, "reuse-port")
    headers = [(":method", "POST"), (":path", "/"), (":scheme", "http"), (":authority", "shop.test")]
    with Wire(server.port) as wire:
        for _ in range(1001):
            number = wire.h2.get_next_available_stream_id()
            wire.h2.send_headers(number, headers)
            wire.h2.reset_stream(number)
        wire.flush()
        *_, last = wire.until(ConnectionTerminated)
        assert isinstance(last, ConnectionTerminated)
        assert last.error_code == 11  # ENHANCE_YOUR_CALM
    assert get(server.port).status == 200
    assert server.stop() == 0


def test_a_drain_answers_what_has_come_and_says_goodbye(serve: Serve) -> None:
    server = serve_http2(serve, "reuse-port", pool={"kind": "process", "size": 1})
    with Wire(server.port) as wire, Wire(server.port) as idle:
        idle.ask("/")
        idle.until(StreamEnded)
        wire.ask("/sleep?seconds=0.5")
        wire.ask("/pid")
        server.signal()
        events = wire.until(ConnectionTerminated)
        assert len([each for each in events if isinstance(each, StreamEnded)]) == 2
        assert not [each for each in events if isinstance(each, StreamReset)]
        idle.until(ConnectionTerminated)
    assert server.wait() == 0


def test_a_silent_client_is_sent_away_after_the_idle_time(serve: Serve) -> None:
    server = serve_http2(serve, "reuse-port", timeouts={"idle": 0.5})
    with Wire(server.port) as wire:
        wire.ask("/")
        wire.until(StreamEnded)
        started = time.monotonic()
        for _ in wire.events():
            continue
        assert time.monotonic() - started < within(3)


def test_without_http2_the_preface_is_refused(serve: Serve) -> None:
    server = serve({"name": "two", "app": "demo", **MODELS["reuse-port"]})
    with Wire(server.port) as wire:
        assert wire.sock.recv(65536).startswith(b"HTTP/1.1 ")
    assert server.stop() == 0
