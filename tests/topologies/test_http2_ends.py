"""HTTP/2 connections that end, or say so, while a response waits for a window."""

from __future__ import annotations

import socket
from itertools import product
from typing import Any

import pytest
from h2.errors import ErrorCodes
from h2.events import ConnectionTerminated, DataReceived, Event, StreamEnded, StreamReset
from harness.client import get
from harness.forms import in_turn, short
from harness.server import Serve
from topologies.test_http2 import Wire as Connected

HTTP2 = {"use": "http", "http2": True}
NEVER = {"write": "10m", "idle": "10m", "drain": "10m"}
MODELS: dict[str, dict[str, Any]] = {
    "reuse-port": {"pool": {"size": 1}, "ownership": "reuse-port"},
    "half-sync/half-async": {"pool": {"size": 1}, "ownership": "half-sync/half-async"},
    "leader/followers": {"pool": {"kind": "thread", "size": 1}, "ownership": "leader/followers"},
}
GOAWAY = b"\0\0\x08\7\0\0\0\0\0" + bytes(8)  # without an error: the client opens no more streams

APPS = {"wsgi": {"wsgi": "large:application"}, "asgi": {"asgi": "large:asgi"}}

apps = pytest.mark.parametrize("app", APPS)
everywhere = pytest.mark.parametrize(("model", "app"), short(product(MODELS, APPS), in_turn(MODELS, APPS)))


class Wire(Connected):
    """A connection that opens no window by itself."""

    def until(self, kind: type[Event]) -> list[Event]:
        """What comes, up to the first event of this kind, which is the last; all when there is none."""
        found: list[Event] = []
        while data := self.sock.recv(65536):
            found += self.h2.receive_data(data)
            if any(isinstance(event, kind) for event in found):
                break
        return found


@everywhere
def test_a_client_that_leaves_before_it_has_opened_a_window_is_not_waited_for(
    model: str, app: str, serve: Serve
) -> None:
    """What waits for a window waits in vain then: no turn of the loop, and no time of a stop, goes into it."""
    server = serve({"app": APPS[app], "protocol": HTTP2, "timeouts": NEVER, **MODELS[model]})
    for window in (0, 65535):
        with Wire(server.port, window) as wire:
            number = wire.ask("/")
            size = 0
            while size < window:
                size += sum(len(each.data) for each in wire.until(DataReceived) if isinstance(each, DataReceived))
            wire.sock.shutdown(socket.SHUT_WR)
            events = wire.until(ConnectionTerminated)
            assert [each.stream_id for each in events if isinstance(each, StreamReset)] == [number]
            assert wire.sock.recv(1) == b""
        with Wire(server.port, window) as wire:
            wire.ask("/")
    with Wire(server.port, 0) as wire:  # while others are served
        wire.ask("/")
        wire.sock.shutdown(socket.SHUT_WR)
        assert len(get(server.port, "/").body) > 65535
    server.wait_for_log("the app has ended", 3)  # of those that left at once it may never have been called
    assert server.stop() == 0


@apps
def test_a_client_that_opens_no_window_has_its_time_whatever_else_it_sends(app: str, serve: Serve) -> None:
    times = {**NEVER, "write": "1s"}
    server = serve({"app": APPS[app], "protocol": HTTP2, "timeouts": times, **MODELS["reuse-port"]})
    with Wire(server.port, 0) as wire:
        wire.ask("/")
        wire.sock.settimeout(0.2)
        while True:  # it ends: by the server
            try:
                wire.h2.ping(b"12345678")
                wire.flush()
                if not wire.sock.recv(65536):
                    break
            except TimeoutError:
                continue
            except ConnectionError:
                break
    assert server.stop() == 0


@everywhere
def test_a_client_that_opens_no_more_streams_has_its_answers(model: str, app: str, serve: Serve) -> None:
    """RFC 9113, 6.8: streams that are open are finished. Proxies say this when they change their connections."""
    server = serve({"app": APPS[app], "protocol": HTTP2, "timeouts": NEVER, **MODELS[model]})
    for pieces in (1, 40):  # in one segment with the request, or byte for byte
        with Wire(server.port, 65535) as wire:
            number = wire.h2.get_next_available_stream_id()
            headers = [(":method", "GET"), (":path", "/small"), (":scheme", "http"), (":authority", "shop.test")]
            wire.h2.send_headers(number, headers, end_stream=True)
            data = wire.h2.data_to_send() + GOAWAY
            for at in range(pieces):
                part = data[len(data) * at // pieces : len(data) * (at + 1) // pieces]
                wire.sock.sendall(part)
            events = wire.until(ConnectionTerminated)
            assert [each.stream_id for each in events if isinstance(each, StreamEnded)] == [number]
            ends = [each.error_code for each in events if isinstance(each, ConnectionTerminated)]
            assert ends == [ErrorCodes.NO_ERROR]
            assert wire.sock.recv(1) == b""
    assert server.stop() == 0


@apps
def test_a_frame_that_is_too_long_ends_the_connection_with_its_head(app: str, serve: Serve) -> None:
    """RFC 9113, 4.2. None of it is collected: only the limit of a frame bounds what a client can hold."""
    server = serve({"app": APPS[app], "protocol": HTTP2, "timeouts": NEVER, **MODELS["reuse-port"]})
    for head in (
        b"\x00\x40\x01\x00\x00\x00\x00\x00\x01",
        b"\xff\xff\xff\x06\x00\x00\x00\x00\x00",
        b"GET / HTTP/1.1\r\n",
    ):
        with Wire(server.port, 65535) as wire:
            wire.until(Event)
            wire.sock.sendall(head)
            events = wire.until(ConnectionTerminated)
            assert [each.error_code for each in events if isinstance(each, ConnectionTerminated)] == [
                ErrorCodes.FRAME_SIZE_ERROR
            ]
            assert wire.sock.recv(1) == b""
    assert server.stop() == 0
