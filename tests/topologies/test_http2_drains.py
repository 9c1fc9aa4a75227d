"""HTTP/2 clients that always have streams open, during a change: they get GOAWAY soon, and lose nothing."""

from __future__ import annotations

import signal
from collections.abc import Callable
from itertools import product
from typing import Any

import pytest
from h2.events import ResponseReceived, StreamEnded, StreamReset
from harness.forms import in_turn, short
from harness.server import Serve
from topologies.test_http2 import HTTP2, MODELS, Wire

APPS: dict[str, Any] = {"wsgi": "demo", "asgi": {"asgi": "streams:app"}}
OPEN = 3  # streams at a time
ASYNC = [name for name in MODELS if name != "thread-per-connection"]
CASES = [*product(MODELS, ["wsgi"]), *product(ASYNC, ["asgi"])]


def answered(wire: Wire, change: Callable[[], None]) -> tuple[int, int]:
    """Keep some streams open until a GOAWAY comes, then hear to the end; after a while call ``change``.

    Returns how many requests were sent, and how many were answered whole.
    """
    asked = sum(bool(wire.ask("/")) for _ in range(OPEN))
    whole = 0
    while data := wire.sock.recv(65536):
        for event in wire.h2.receive_data(wire.watch.sift(data)):
            assert not isinstance(event, StreamReset)
            if isinstance(event, ResponseReceived):
                assert dict(event.headers or ())[":status"] == "200"
            elif isinstance(event, StreamEnded):
                whole += 1
                if whole == 30:
                    change()
                if not wire.watch.leaving:
                    asked += bool(wire.ask("/"))
        wire.flush()
    assert wire.watch.leaving
    return asked, whole


@pytest.mark.parametrize(("model", "app"), short(CASES, [*in_turn(MODELS, ["wsgi"]), *in_turn(ASYNC, ["asgi"])][::2]))
def test_a_busy_client_is_told_and_loses_nothing(serve: Serve, model: str, app: str) -> None:
    never = {"drain": "10m", "idle": "10m", "write": "10m"}
    server = serve({"name": "two", "app": APPS[app], "protocol": HTTP2, "timeouts": never, **MODELS[model]})
    with Wire(server.port) as wire:
        asked, whole = answered(wire, lambda: server.signal(signal.SIGHUP))
    assert whole == asked > 30
    server.wait_for_log(r"exit code 0: generation 2 serves \(0 failed")
    assert server.stop() == 0
