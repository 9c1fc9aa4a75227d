"""HTTP/2 with an app that is awaited: a task for each stream, and how streams, connection and tasks end each other."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest
from harness.asgi_app import AnsweringAsgi, body, ok, start
from harness.async_rig import AsyncRig
from harness.jumping_events import passes
from harness.phase_rig import TIMEOUTS, Step

from poolctl.errors import ClientGone
from poolctl.runtime.protocol.http.protocol import Http
from poolctl.runtime.scoreboard import FAILED, REQUESTS
from poolctl.runtime.serving.phases import ANSWERING, CLOSED, IDLE, NEW, SENDING
from poolctl.runtime.serving_async.stopping import PRESSED, TOLD
from poolctl.runtime.system.poller import HUP, IN, OUT

pytest.importorskip("h2")
from harness.http2_client import Http2Client  # needs it


class Gate:
    """An app that answers a path when a test lets it."""

    def __init__(self) -> None:
        self.may: dict[str, asyncio.Future[None]] = {}
        self.seen: list[Any] = []

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        self.may[scope["path"]] = may = asyncio.get_running_loop().create_future()
        try:
            await may
        except asyncio.CancelledError:
            self.seen.append(f"cancelled {scope['path']}")
            raise
        await ok(scope, receive, send)

    def open(self, rig: AsyncRig, path: str) -> None:
        self.may[path].set_result(None)
        rig.settle()


@pytest.fixture
def make(steps: list[Step]) -> Iterator[Callable[..., AsyncRig]]:
    made: list[AsyncRig] = []

    def one(answer: Any = None, **timeouts: Any) -> AsyncRig:
        options = replace(TIMEOUTS, **timeouts)
        made.append(AsyncRig(AnsweringAsgi(answer), Http(http2=True), options))
        made[-1].accept()
        return made[-1]

    yield one
    for rig in made:
        rig.close()


@pytest.fixture
def stream_gate() -> Gate:
    return Gate()


def counts(rig: AsyncRig) -> tuple[int, int]:
    """(requests, failed), though others may be in flight."""
    return rig.service.row[REQUESTS], rig.service.row[FAILED]


# ---- streams


def test_it_takes_over_what_began_as_another(make: Callable[..., AsyncRig], steps: list[Step]) -> None:
    rig = make()
    client = Http2Client(rig)
    assert rig.phase is IDLE
    client.ask(1)
    assert client.answer(1) == (200, b"ok")
    assert client.ended(1) == "whole"
    assert rig.phase is IDLE
    assert (NEW, CLOSED) in steps  # the connection of HTTP/1 that it was
    assert rig.counts() == (1, 0)


def test_streams_are_answered_at_the_same_time(make: Callable[..., AsyncRig], stream_gate: Gate) -> None:
    rig = make(stream_gate)
    client = Http2Client(rig)
    for number, path in ((1, "/a"), (3, "/b"), (5, "/c")):
        client.ask(number, path)
    assert rig.phase is ANSWERING
    stream_gate.open(rig, "/b")
    assert client.ended(3) == "whole"
    assert client.ended(1) == client.ended(5) == ""
    stream_gate.open(rig, "/a")
    stream_gate.open(rig, "/c")
    assert client.answer(1) == client.answer(5) == (200, b"ok")
    assert rig.phase is IDLE
    assert rig.counts() == (3, 0)


def test_a_stream_ends_before_its_app_returns(make: Callable[..., AsyncRig]) -> None:
    async def goes_on(scope: Any, receive: Any, send: Any) -> None:
        await ok(scope, receive, send)
        await passes(1000)

    rig = make(goes_on)
    client = Http2Client(rig)
    client.ask(1)
    rig.loop._ready()
    assert client.ended(1) == "whole"
    assert rig.phase is IDLE
    assert len(rig.loop.after.tasks) == 1
    rig.pass_time(1001)
    assert not rig.loop.after.tasks


def test_a_body_comes_in_pieces_and_makes_room_when_it_is_taken(make: Callable[..., AsyncRig]) -> None:
    sizes: list[int] = []
    may = asyncio.Event()

    async def reads(scope: Any, receive: Any, send: Any) -> None:
        more = True
        while more:
            await may.wait()
            message = await receive()
            sizes.append(len(message["body"]))
            more = message["more_body"]
        await ok(scope, receive, send)

    rig = make(reads)
    client = Http2Client(rig)
    client.ask(1, data=b"x" * 10_000, end=False)
    before = client.h2.local_flow_control_window(1)
    client.hear()
    assert client.h2.local_flow_control_window(1) == before  # nobody has taken it
    may.set()
    rig.settle()
    for _ in range(20):
        client.hear()
        client.h2.send_data(1, b"x" * 10_000)
        client.say()
    client.h2.end_stream(1)
    client.say()
    assert client.answer(1) == (200, b"ok")
    assert sum(sizes) == 210_000  # more than the window was at the start


def test_a_large_answer_goes_out_as_the_window_allows(make: Callable[..., AsyncRig]) -> None:
    returned: list[bool] = []

    async def large(scope: Any, receive: Any, send: Any) -> None:
        await send(start(200, (b"content-length", b"1000000")))
        for _ in range(10):
            await send(body(bytes(100_000), more=True))
        await send(body())
        returned.append(True)

    rig = make(large)
    client = Http2Client(rig)
    client.ask(1)
    assert client.answer(1) == (200, bytes(1_000_000))
    assert client.ended(1) == "whole"
    assert returned == [True]
    assert rig.phase is IDLE


def test_a_file_goes_out(make: Callable[..., AsyncRig], tmp_path: Any) -> None:
    (tmp_path / "file").write_bytes(bytes(300_000))

    async def sends(scope: Any, receive: Any, send: Any) -> None:
        await send(start(200, (b"content-length", b"300000")))
        await send({"type": "http.response.pathsend", "path": str(tmp_path / "file")})

    rig = make(sends)
    client = Http2Client(rig)
    client.ask(1)
    assert client.answer(1) == (200, bytes(300_000))


# ---- clients that leave


def test_a_stream_that_is_reset(make: Callable[..., AsyncRig], stream_gate: Gate) -> None:
    heard: list[str] = []

    async def listens(scope: Any, receive: Any, send: Any) -> None:
        if scope["path"] == "/b":
            await stream_gate(scope, receive, send)
            return
        await receive()
        heard.append((await receive())["type"])
        await send(start())
        try:
            await send(body(b"x"))
        except ClientGone:
            heard.append("gone")
            raise

    rig = make(listens)
    client = Http2Client(rig)
    client.ask(1, "/a")
    client.ask(3, "/b")
    client.h2.reset_stream(1)
    client.say()
    assert heard == ["http.disconnect", "gone"]
    stream_gate.open(rig, "/b")
    assert client.answer(3) == (200, b"ok")  # the others go on
    assert rig.counts() == (2, 0)


def test_a_client_that_breaks_off(make: Callable[..., AsyncRig]) -> None:
    heard: list[str] = []

    async def listens(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        heard.append((await receive())["type"])

    rig = make(listens)
    client = Http2Client(rig)
    client.ask(1)
    client.ask(3)
    rig.client.close()
    rig.event(HUP | IN)
    rig.event(HUP | IN)
    assert heard == ["http.disconnect"] * 2
    assert rig.over
    assert rig.counts() == (2, 0)


def test_who_sends_no_more_gets_its_answers(make: Callable[..., AsyncRig], stream_gate: Gate) -> None:
    rig = make(stream_gate)
    client = Http2Client(rig)
    client.ask(1, "/a")
    client.ask(3, "/b", data=b"half", end=False)  # which never can be whole
    rig.end()
    assert not rig.over
    stream_gate.open(rig, "/a")
    assert client.answer(1) == (200, b"ok")
    stream_gate.open(rig, "/b")
    assert rig.over


def test_an_idle_client_that_leaves(make: Callable[..., AsyncRig]) -> None:
    rig = make()
    Http2Client(rig)
    rig.end()
    assert rig.over


# ---- time


def test_silence(make: Callable[..., AsyncRig]) -> None:
    rig = make()
    client = Http2Client(rig)
    rig.sweep(TIMEOUTS.idle - 0.1)
    assert not rig.over
    rig.sweep(0.2)
    assert client.gone_away
    assert rig.over


def test_a_body_for_which_the_app_waits(make: Callable[..., AsyncRig]) -> None:
    async def reads(scope: Any, receive: Any, send: Any) -> None:
        while (await receive()).get("more_body"):
            pass

    rig = make(reads)
    client = Http2Client(rig)
    client.ask(1, data=b"half", end=False)
    rig.sweep(TIMEOUTS.idle - 0.1)
    assert rig.phase is ANSWERING
    rig.sweep(0.2)
    assert client.gone_away
    assert rig.over


def test_an_app_that_takes_its_time_is_no_silent_client(make: Callable[..., AsyncRig], stream_gate: Gate) -> None:
    rig = make(stream_gate)
    client = Http2Client(rig)
    client.ask(1, "/a")
    rig.sweep(1000)
    stream_gate.open(rig, "/a")
    assert client.answer(1) == (200, b"ok")


@pytest.mark.parametrize("window", [True, False])
def test_a_client_that_takes_nothing(make: Callable[..., AsyncRig], window: bool) -> None:
    """Neither in its window, nor from its socket."""
    seen: list[str] = []

    async def large(scope: Any, receive: Any, send: Any) -> None:
        await send(start())
        try:
            for _ in range(20):
                await send(body(bytes(100_000), more=True))
        except ClientGone:
            seen.append("gone")
            raise

    rig = make(large)
    client = Http2Client(rig)
    client.ask(1, hears=False)
    if window:  # what is in flight is read, and nothing acknowledged
        while rig.read():
            rig.event(OUT)
    else:
        rig.fill()
    rig.sweep(0.1)
    assert seen == []
    rig.sweep(TIMEOUTS.write + 0.1)
    assert seen == ["gone"]
    assert rig.over


def test_a_request_that_takes_too_long(make: Callable[..., AsyncRig], stream_gate: Gate) -> None:
    rig = make(stream_gate, request=2.0)
    client = Http2Client(rig)
    client.ask(1, "/a")
    rig.sweep(0.5)
    rig.sweep(1.9)
    client.ask(3, "/b")
    rig.sweep(0.5)
    assert stream_gate.seen == ["cancelled /a"]
    assert client.answer(1)[0] == 504
    stream_gate.open(rig, "/b")
    assert client.answer(3) == (200, b"ok")
    assert rig.counts() == (2, 1)


def test_a_slow_reader_is_no_slow_app(make: Callable[..., AsyncRig]) -> None:
    async def large(scope: Any, receive: Any, send: Any) -> None:
        await send(start())
        for _ in range(3):
            await send(body(bytes(100_000), more=True))
        await send(body())

    rig = make(large, request=2.0)
    client = Http2Client(rig)
    client.ask(1, hears=False)
    rig.sweep(0.5)
    rig.sweep(5.0)
    rig.sweep(0.5)
    assert client.answer(1) == (200, bytes(300_000))
    assert rig.counts() == (1, 0)


def test_an_app_that_swallows_its_cancellation(make: Callable[..., AsyncRig]) -> None:
    async def deaf(scope: Any, receive: Any, send: Any) -> None:
        for _ in range(2):
            with contextlib.suppress(asyncio.CancelledError):
                await passes(1000)

    rig = make(deaf, request=2.0)
    client = Http2Client(rig)
    client.ask(1)
    for seconds in (0.5, 2.1, 0.5):
        rig.sweep(seconds)
    assert client.answer(1)[0] == 504
    assert rig.phase is IDLE
    assert len(rig.loop.after.tasks) == 1
    assert rig.counts() == (1, 1)
    rig.pass_time(1000)


# ---- the stop


def test_a_drain_ends_an_idle_connection(make: Callable[..., AsyncRig]) -> None:
    rig = make()
    client = Http2Client(rig)
    rig.drain()
    assert client.gone_away
    assert not rig.over  # a request may be on its way
    rig.connection.expire(rig.clock.now, rig.service)
    client.hear()
    assert rig.over


def test_a_drain_waits_for_streams(make: Callable[..., AsyncRig], stream_gate: Gate) -> None:
    rig = make(stream_gate)
    client = Http2Client(rig)
    client.ask(1, "/a")
    rig.drain()
    assert not rig.over
    stream_gate.open(rig, "/a")
    assert client.answer(1) == (200, b"ok")
    assert client.gone_away
    assert rig.over


def test_an_open_stream_is_told_of_the_stop(make: Callable[..., AsyncRig]) -> None:
    told: list[Any] = []

    async def streams(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send(start())
        await send(body(b"x", more=True))
        told.append(((await receive())["type"], rig.loop.stopping.step))
        await send(body())

    async def beside(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        listener = asyncio.create_task(receive())
        await listener
        told.append(rig.loop.stopping.step)
        await ok(scope, receive, send)

    async def both(scope: Any, receive: Any, send: Any) -> None:
        await (streams if scope["path"] == "/a" else beside)(scope, receive, send)

    rig = make(both)
    client = Http2Client(rig)
    client.ask(1, "/a")
    client.ask(3, "/b")
    rig.drain()
    assert told == [("http.disconnect", TOLD)]
    rig.pass_time(TIMEOUTS.drain / 2)
    assert told[1:] == [PRESSED]
    assert client.ended(1) == client.ended(3) == "whole"
    assert rig.over


def test_the_last_call(make: Callable[..., AsyncRig], stream_gate: Gate) -> None:
    rig = make(stream_gate)
    client = Http2Client(rig)
    client.ask(1, "/a")
    rig.drain()
    rig.pass_time(TIMEOUTS.drain)
    assert stream_gate.seen == ["cancelled /a"]
    assert client.answer(1)[0] == 503
    assert rig.over


# ---- what fails


@pytest.mark.parametrize("begun", [False, True])
def test_an_app_that_raises_ends_its_stream_alone(
    make: Callable[..., AsyncRig], stream_gate: Gate, begun: bool
) -> None:
    async def wrong(scope: Any, receive: Any, send: Any) -> None:
        if scope["path"] == "/b":
            await stream_gate(scope, receive, send)
            return
        if begun:
            await send(start())
            await send(body(b"x", more=True))
        raise KeyError("x")

    rig = make(wrong)
    client = Http2Client(rig)
    client.ask(1, "/b")
    client.ask(3, "/a")
    assert client.answer(3)[0] == (200 if begun else 500)
    assert client.ended(3) == ("reset" if begun else "whole")
    stream_gate.open(rig, "/b")
    assert client.answer(1) == (200, b"ok")
    assert rig.counts() == (2, 1)


def test_an_app_that_says_nothing(make: Callable[..., AsyncRig]) -> None:
    async def nothing(scope: Any, receive: Any, send: Any) -> None: ...

    rig = make(nothing)
    client = Http2Client(rig)
    client.ask(1)
    assert client.answer(1)[0] == 500


def test_a_body_that_is_too_large(make: Callable[..., AsyncRig]) -> None:
    async def reads(scope: Any, receive: Any, send: Any) -> None:
        while (await receive()).get("more_body"):
            pass

    rig = make(reads)
    client = Http2Client(rig)
    rig.protocol.body = 10
    client.ask(1, data=b"x" * 100, end=False)
    assert client.answer(1)[0] == 413
    assert counts(rig)[0] == 1


def test_a_head_that_cannot_be_served(make: Callable[..., AsyncRig]) -> None:
    rig = make()
    client = Http2Client(rig)
    client.h2.config.validate_outbound_headers = False
    client.h2.send_headers(1, [(":method", "GET"), (":path", "no path"), (":scheme", "http"), (":authority", "a b")])
    client.h2.end_stream(1)
    client.say()
    assert client.answer(1)[0] in (0, 400)
    client.ask(3)
    assert client.answer(3) == (200, b"ok")


def test_what_is_no_frame_ends_the_connection(make: Callable[..., AsyncRig], stream_gate: Gate) -> None:
    rig = make(stream_gate)
    client = Http2Client(rig)
    client.ask(1, "/a")
    rig.send(b"\x00\x00\x01\x09\x00\x00\x00\x00\x00x")  # CONTINUATION of nothing (RFC 9113, 6.10)
    assert client.gone_away
    assert rig.phase is CLOSED
    stream_gate.open(rig, "/a")
    assert rig.over


def test_pings_for_a_client_that_reads_nothing(make: Callable[..., AsyncRig], steps: list[Step]) -> None:
    rig = make()
    client = Http2Client(rig)
    rig.fill()
    for _ in range(5):
        client.h2.ping(b"12345678")
        client.say()
    assert rig.phase is SENDING
    assert rig.poller.waits_for(rig.fd) == IN | OUT
    rig.take()
    assert rig.phase is IDLE


def test_what_the_connection_raises_ends_all_of_it(
    make: Callable[..., AsyncRig], stream_gate: Gate, caplog: pytest.LogCaptureFixture
) -> None:
    def wrong(data: bytes) -> None:
        raise RuntimeError("broken")

    rig = make(stream_gate)
    client = Http2Client(rig)
    client.ask(1, "/a")
    rig.connection.conversation.receive = wrong
    rig.send(b"x")
    assert rig.over
    assert "broken" in caplog.text
    assert stream_gate.seen == ["cancelled /a"]
