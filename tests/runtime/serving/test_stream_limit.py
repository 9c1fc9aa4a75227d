"""A sync app's response that goes on for too long in a drain ends with its next part."""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest
from harness.phase_rig import Answering, row

from poolctl.errors import ClientGone
from poolctl.runtime.buffers.outbound import Sending
from poolctl.runtime.protocol.http.protocol import Http
from poolctl.runtime.protocol.http.request import HttpRequest
from poolctl.runtime.scoreboard import FAILED, REQUESTS
from poolctl.runtime.serving import stream_limit
from poolctl.runtime.serving.service import Service
from poolctl.runtime.serving.stream_limit import StreamCut, StreamLimit, StreamWatch


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    now = [100.0]
    monkeypatch.setattr(stream_limit, "monotonic", lambda: now[0])
    return now


def test_before_a_drain_a_response_may_take_any_time(clock: list[float]) -> None:
    watch = StreamWatch(StreamLimit(5.0))
    watch.first(b"head")
    clock[0] += 3600
    watch.more(1)
    assert not watch.cut


def test_the_time_counts_from_the_drain(clock: list[float]) -> None:
    limit = StreamLimit(5.0)
    watch = StreamWatch(limit)
    watch.first(b"head")
    clock[0] += 3600
    limit.begin()
    clock[0] += 4
    limit.begin()  # only the first one counts
    watch.more(1)
    clock[0] += 2
    with pytest.raises(StreamCut, match=r"timeouts.stream \(5 s\)"):
        watch.more(1)
    assert watch.cut


def test_a_response_that_begins_in_the_drain_has_its_own_time(clock: list[float]) -> None:
    limit = StreamLimit(5.0)
    watch = StreamWatch(limit)
    limit.begin()
    clock[0] += 60
    watch.first(b"head")
    clock[0] += 4
    watch.more(1)
    clock[0] += 2
    with pytest.raises(StreamCut):
        watch.more(1)
    watch.first(b"the next one")
    assert not watch.cut
    watch.more(1)


class Out(Sending):
    """To a client that reads nothing more."""

    def __init__(self) -> None:
        super().__init__()
        self.near, self.far = socket.socketpair()
        self.near.setblocking(False)
        self.fd = self.near.fileno()
        with suppress(BlockingIOError):
            while True:
                os.write(self.fd, bytes(65536))


@pytest.fixture
def out() -> Iterator[Out]:
    made = Out()
    yield made
    made.near.close()
    made.far.close()


def quiet(request: Any, out: Any) -> bool:
    out.send(b"head")
    out.send(b"body")
    return True


def wraps(request: Any, out: Any) -> bool:
    out.send(b"head")
    try:
        out.send(b"body")
    except ClientGone as error:
        raise ValueError("wrapped") from error
    return True


def swallows(request: Any, out: Any) -> bool:
    out.send(b"head")
    with suppress(ClientGone):
        out.send(b"body")
    return True


@pytest.mark.parametrize("answer", [quiet, wraps, swallows])
def test_a_response_that_was_cut_is_logged_counted_and_not_kept(
    answer: Any, clock: list[float], out: Out, caplog: pytest.LogCaptureFixture
) -> None:
    limit = StreamLimit(5.0)
    app: Any = Answering()

    def late(request: Any, out: Any) -> bool:
        send = out.send

        class Late:
            def send(self, data: bytes) -> None:
                send(data)
                clock[0] += 6

        return bool(answer(request, Late()))

    app.answer = late
    service = Service(app, Http(), row(), streams=StreamWatch(limit))
    request = HttpRequest("GET", b"/events", "1.1", [], True, None)
    limit.begin()
    with caplog.at_level(logging.WARNING, "poolctl"):
        assert service.answer(request, out) is None
    assert caplog.messages == ["GET /events HTTP/1.1 went on for timeouts.stream (5 s) in a drain: cut off"]
    assert (service.row[FAILED], service.row[REQUESTS]) == (1, 1)
    assert out.outbound is None, "what the client has not taken is dropped"


def test_a_client_that_leaves_is_no_cut(clock: list[float], out: Out) -> None:
    app: Any = Answering()

    def leaves(request: Any, out: Any) -> bool:
        out.send(b"head")
        raise ClientGone("it has left")

    app.answer = leaves
    service = Service(app, Http(), row(), streams=StreamWatch(StreamLimit(5.0)))
    assert service.answer(HttpRequest("GET", b"/", "1.1", [], True, None), out) is False
    assert service.row[FAILED] == 0
