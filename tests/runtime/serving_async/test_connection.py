"""HTTP/1 with an app that is awaited: what a connection does while its app has a request, and how both may end."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest
from harness.asgi_app import AnsweringAsgi, body, ok, start
from harness.async_rig import AsyncRig
from harness.jumping_events import passes
from harness.phase_rig import TIMEOUTS, Step

from poolctl.errors import ClientGone
from poolctl.runtime.loop.farewells import Lingering
from poolctl.runtime.protocol.http.protocol import Http
from poolctl.runtime.serving.phases import ANSWERING, CLOSED, FINISHING, IDLE, NEW, READING, SENDING
from poolctl.runtime.serving_async import afterwork
from poolctl.runtime.serving_async.connection import AHEAD_REQUESTS
from poolctl.runtime.serving_async.stopping import CANCELLED, PRESSED, TOLD
from poolctl.runtime.serving_async.task_connection import UNREAD_BYTES
from poolctl.runtime.system.poller import ERR, HUP, IN, OUT

GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
POST = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n"


class Gate:
    """An app that waits until a test lets it answer; ``seen``: what it has done."""

    def __init__(self) -> None:
        self.may: list[asyncio.Future[None]] = []
        self.seen: list[Any] = []

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        may = asyncio.get_running_loop().create_future()
        self.may.append(may)
        try:
            await may
        except asyncio.CancelledError:
            self.seen.append("cancelled")
            raise
        await ok(scope, receive, send)

    def open(self, rig: AsyncRig, number: int = -1) -> None:
        """Let one answer."""
        self.may[number].set_result(None)
        rig.settle()


@pytest.fixture
def make(steps: list[Step]) -> Iterator[Callable[..., AsyncRig]]:
    made: list[AsyncRig] = []

    def one(answer: Any = None, **timeouts: Any) -> AsyncRig:
        options = replace(TIMEOUTS, **timeouts)
        made.append(AsyncRig(AnsweringAsgi(answer), Http(), options))
        made[-1].accept()
        return made[-1]

    yield one
    for rig in made:
        rig.close()


@pytest.fixture
def gate() -> Gate:
    return Gate()


def answers(data: bytes) -> int:
    """How many responses these bytes are."""
    return data.count(b"HTTP/1.1 200 OK")


# ---- from request to request


def test_kept_from_request_to_request(make: Callable[..., AsyncRig], steps: list[Step]) -> None:
    rig = make()
    for _ in range(2):
        rig.send(GET)
        assert rig.read().endswith(b"\r\n\r\nok")
    assert steps == [(NEW, ANSWERING), (ANSWERING, IDLE), (IDLE, ANSWERING), (ANSWERING, IDLE)]
    assert rig.counts() == (2, 0)


def test_read_in_pieces(make: Callable[..., AsyncRig], steps: list[Step]) -> None:
    rig = make()
    rig.send(GET[:5])
    assert rig.phase is READING
    rig.send(GET[5:])
    assert answers(rig.read()) == 1
    assert steps[:2] == [(NEW, READING), (READING, ANSWERING)]


def test_pipelined_requests_are_answered_in_order(make: Callable[..., AsyncRig], gate: Gate) -> None:
    rig = make(gate)
    rig.send(GET + GET)
    rig.send(GET[:9])
    assert len(gate.may) == 1  # one at a time
    gate.open(rig)
    assert len(gate.may) == 2
    gate.open(rig)
    assert answers(rig.read()) == 2
    assert rig.phase is READING
    rig.send(GET[9:])
    gate.open(rig)
    assert answers(rig.read()) == 1
    assert rig.phase is IDLE


def test_requests_ahead_are_bounded(make: Callable[..., AsyncRig], gate: Gate) -> None:
    rig = make(gate)
    rig.send(GET)
    rig.client.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 100_000)
    rig.send(GET * (AHEAD_REQUESTS + 1))
    assert rig.poller.waits_for(rig.fd) == 0
    gate.open(rig)
    assert rig.poller.waits_for(rig.fd) == IN  # there is room again


def test_the_connection_goes_on_before_the_app_returns(make: Callable[..., AsyncRig]) -> None:
    returned = []

    async def goes_on(scope: Any, receive: Any, send: Any) -> None:
        await ok(scope, receive, send)
        await passes(1000)
        returned.append(True)

    rig = make(goes_on)
    rig.send(GET)
    rig.send(GET)
    rig.loop._ready()  # another turn
    assert answers(rig.read()) == 2
    assert rig.phase is IDLE
    assert len(rig.loop.after.tasks) == 2
    assert rig.counts() == (2, 0)
    rig.pass_time(1001)
    assert returned == [True] * 2
    assert not rig.loop.after.tasks


def test_too_many_that_go_on_hold_their_connections(
    make: Callable[..., AsyncRig], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(afterwork, "AFTERWORK_TASKS", 1)

    async def goes_on(scope: Any, receive: Any, send: Any) -> None:
        await ok(scope, receive, send)
        await passes(1000)

    rig = make(goes_on)
    rig.send(GET)
    rig.loop._ready()
    rig.send(GET)
    assert answers(rig.read()) == 2
    assert rig.phase is ANSWERING
    rig.pass_time(2001)
    assert rig.phase is IDLE


# ---- bodies


def test_a_body_comes_in_pieces(make: Callable[..., AsyncRig]) -> None:
    pieces: list[bytes] = []

    async def reads(scope: Any, receive: Any, send: Any) -> None:
        more = True
        while more:
            message = await receive()
            pieces.append(message["body"])
            more = message["more_body"]
        await ok(scope, receive, send)

    rig = make(reads)
    rig.send(POST % 10 + b"12345")
    assert pieces == [b"12345"]
    rig.send(b"67890" + GET)
    assert b"".join(pieces) == b"1234567890"
    assert answers(rig.read()) == 2


def test_a_client_waits_for_room(make: Callable[..., AsyncRig], gate: Gate) -> None:
    """The app does not read: what it has not taken is bounded."""

    async def reads(scope: Any, receive: Any, send: Any) -> None:
        may = asyncio.get_running_loop().create_future()
        gate.may.append(may)
        await may
        size = 0
        more = True
        while more:
            message = await receive()
            size += len(message["body"])
            more = message["more_body"]
        gate.seen.append(size)
        await ok(scope, receive, send)

    rig = make(reads)
    rig.client.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 400_000)
    rig.send(POST % 200_000 + bytes(70_000))
    rig.event(IN)
    assert rig.poller.waits_for(rig.fd) == 0
    rig.client.sendall(bytes(130_000))
    gate.may[0].set_result(None)
    rig.settle()
    for _ in range(8):
        rig.event(IN)
    assert gate.seen == [200_000]
    assert answers(rig.read()) == 1
    assert UNREAD_BYTES < 70_000


def test_a_client_that_waits_to_be_asked_for_its_body(make: Callable[..., AsyncRig]) -> None:
    async def reads(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await ok(scope, receive, send)

    rig = make(reads)
    rig.send(POST[:-4] % 5 + b"\r\nExpect: 100-continue\r\n\r\n")
    assert rig.read() == b"HTTP/1.1 100 Continue\r\n\r\n"
    rig.send(b"12345")
    assert answers(rig.read()) == 1
    assert rig.phase is IDLE


def test_who_was_asked_for_its_body_has_no_answer_yet(make: Callable[..., AsyncRig]) -> None:
    async def wrong(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        raise KeyError("x")

    rig = make(wrong)
    rig.send(POST[:-4] % 5 + b"\r\nExpect: 100-continue\r\n\r\n")
    rig.read()
    rig.send(b"12345")
    assert rig.read().startswith(b"HTTP/1.1 500")


def test_who_was_not_asked_for_its_body_is_not_kept(make: Callable[..., AsyncRig]) -> None:
    rig = make()
    rig.send(POST[:-4] % 5 + b"\r\nExpect: 100-continue\r\n\r\n")
    answer = rig.read()
    assert answers(answer) == 1
    assert b"connection: close" in answer.lower()
    assert rig.phase is CLOSED


@pytest.mark.parametrize("length", [(), ((b"content-length", b"4"),)], ids=["chunked", "counted"])
def test_a_response_that_has_begun_contains_no_100(make: Callable[..., AsyncRig], length: Any) -> None:
    async def early(scope: Any, receive: Any, send: Any) -> None:
        await send(start(200, *length))
        await send(body(b"ab", more=True))
        assert (await receive())["body"] == b"12345"
        await send(body(b"cd"))

    rig = make(early)
    rig.send(POST[:-4] % 5 + b"\r\nExpect: 100-continue\r\n\r\n")
    answer = rig.read()
    rig.send(b"12345")
    answer += rig.read()
    assert b"100 Continue" not in answer
    assert answers(answer) == 1
    assert answer.endswith(b"abcd" if length else b"2\r\nab\r\n2\r\ncd\r\n0\r\n\r\n")


def test_the_expectation_of_the_next_request_is_not_that_of_this_one(make: Callable[..., AsyncRig]) -> None:
    async def reads(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await ok(scope, receive, send)

    rig = make(reads)
    rig.send(POST % 5 + b"12345" + GET + POST[:-4] % 5 + b"\r\nExpect: 100-continue\r\n\r\n")
    answer = rig.read()
    assert answers(answer) == 2
    assert b"connection: close" not in answer.lower()
    assert answer.endswith(b"HTTP/1.1 100 Continue\r\n\r\n")
    rig.send(b"12345")
    assert answers(rig.read()) == 1


@pytest.mark.parametrize("rest", [b"0\r\n\r\n", b"5\r\n12345\r\n0\r\n\r\n"], ids=["empty", "some"])
def test_a_client_that_did_not_wait_gets_no_100(make: Callable[..., AsyncRig], rest: bytes) -> None:
    may: list[asyncio.Future[None]] = []

    async def waits(scope: Any, receive: Any, send: Any) -> None:
        may.append(asyncio.get_running_loop().create_future())
        await may[-1]
        while (await receive()).get("more_body"):
            pass
        await ok(scope, receive, send)

    rig = make(waits)
    rig.send(b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nExpect: 100-continue\r\n\r\n")
    rig.send(rest)
    may[0].set_result(None)
    rig.settle()
    answer = rig.read()
    assert b"100 Continue" not in answer
    assert answers(answer) == 1
    assert rig.phase is IDLE


def test_what_is_unread_lingers(make: Callable[..., AsyncRig]) -> None:
    """A reset would overtake the answer of a client that is still sending."""
    rig = make()
    rig.send(POST % 100_000 + bytes(1000))
    assert answers(rig.read()) == 1
    assert rig.phase is CLOSED
    assert isinstance(rig.loop.handlers[rig.fd], Lingering)
    rig.client.send(b"still sending")


def test_a_body_that_ends_too_early(make: Callable[..., AsyncRig]) -> None:
    got: list[str] = []

    async def reads(scope: Any, receive: Any, send: Any) -> None:
        while (message := await receive())["type"] == "http.request":
            got.append("piece")
        got.append(message["type"])
        await ok(scope, receive, send)

    rig = make(reads)
    rig.send(POST % 10 + b"12345")
    rig.end()
    assert got == ["piece", "http.disconnect"]
    assert rig.over
    assert rig.counts() == (1, 0)


def test_a_body_that_is_none(make: Callable[..., AsyncRig]) -> None:
    got: list[str] = []

    async def reads(scope: Any, receive: Any, send: Any) -> None:
        while (message := await receive())["type"] == "http.request":
            got.append("piece")
        got.append(message["type"])

    rig = make(reads)
    rig.send(b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n12345\r\n")
    rig.send(b"no size\r\n")
    assert got == ["piece", "http.disconnect"]
    assert rig.read().startswith(b"HTTP/1.1 400")
    assert rig.over


# ---- clients that leave


def test_who_sends_no_more_gets_its_answer(make: Callable[..., AsyncRig], gate: Gate) -> None:
    rig = make(gate)
    rig.send(GET)
    rig.end()
    assert rig.phase is ANSWERING
    gate.open(rig)
    assert answers(rig.read()) == 1
    assert rig.over


def test_a_client_that_breaks_off(make: Callable[..., AsyncRig]) -> None:
    heard: list[Any] = []

    async def listens(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        heard.append((await receive())["type"])
        await send(start())
        try:
            await send(body(b"x"))
        except ClientGone:
            heard.append("gone")
            raise

    rig = make(listens)
    rig.send(GET)
    rig.client.close()
    rig.event(HUP)
    assert heard == ["http.disconnect", "gone"]
    assert rig.over
    assert rig.counts() == (1, 0)


def test_a_client_that_breaks_off_is_nobody_for_whom_the_app_is_stopped(
    make: Callable[..., AsyncRig], gate: Gate
) -> None:
    rig = make(gate)
    rig.send(GET)
    rig.client.close()
    rig.event(ERR | HUP)
    assert rig.phase is ANSWERING
    assert gate.seen == []
    gate.open(rig)
    assert rig.over


def test_several_may_wait_for_the_end(make: Callable[..., AsyncRig]) -> None:
    """Frameworks have several tasks wait for it, and cancel some."""
    heard: list[str] = []

    async def listens(scope: Any, receive: Any, send: Any) -> None:
        await receive()

        async def one() -> None:
            heard.append((await receive())["type"])

        first, second = asyncio.create_task(one()), asyncio.create_task(one())
        await passes(0)
        first.cancel()
        await second
        await ok(scope, receive, send)

    rig = make(listens)
    rig.send(GET)
    rig.end()
    assert heard == ["http.disconnect"]


# ---- clients that do not read


def large(scope: Any, receive: Any, send: Any) -> Any:
    async def answer() -> None:
        await send(start(200, (b"content-length", b"1000000")))
        await send(body(bytes(1_000_000)))

    return answer()


def test_a_client_that_falls_behind(make: Callable[..., AsyncRig], steps: list[Step]) -> None:
    rig = make(large)
    rig.send(GET)
    assert rig.phase is SENDING  # the app has returned
    rig.client.sendall(GET)
    assert rig.poller.waits_for(rig.fd) == OUT
    rig.app.answer = ok
    assert len(rig.take()) > 1_000_000
    assert rig.phase is IDLE
    rig.event(IN)
    assert answers(rig.read()) == 1
    assert steps[1:3] == [(ANSWERING, SENDING), (SENDING, IDLE)]


def test_the_last_answer_goes_out_before_the_end(make: Callable[..., AsyncRig]) -> None:
    rig = make(large)
    rig.send(GET[:-2] + b"Connection: close\r\n\r\n")
    assert rig.phase is FINISHING
    assert len(rig.take()) > 1_000_000
    assert rig.over


def stream(seen: list[Any], count: int = 20) -> Any:
    async def answer(scope: Any, receive: Any, send: Any) -> None:
        await send(start())
        try:
            for number in range(count):
                await send(body(bytes(100_000), more=True))
                seen.append(number)
            await send(body())
        except ClientGone:
            seen.append("gone")
            raise

    return answer


def test_a_stream_goes_as_fast_as_its_client_reads(make: Callable[..., AsyncRig]) -> None:
    seen: list[Any] = []
    rig = make(stream(seen))
    rig.send(GET)
    assert seen == []
    data = b""
    while rig.phase is ANSWERING:
        data += rig.read()
        rig.event(OUT)
    assert seen == list(range(20))
    data += rig.take()
    assert data.endswith(b"0\r\n\r\n")
    assert rig.phase is IDLE


def test_a_stream_whose_client_reads_nothing(make: Callable[..., AsyncRig]) -> None:
    seen: list[Any] = []
    rig = make(stream(seen))
    rig.send(GET)
    rig.sweep(TIMEOUTS.write - 0.1)
    assert rig.phase is ANSWERING
    rig.sweep(0.2)
    assert seen == ["gone"]
    assert rig.over
    assert rig.counts() == (1, 0)


def test_a_stream_whose_client_leaves(make: Callable[..., AsyncRig]) -> None:
    seen: list[Any] = []
    rig = make(stream(seen))
    rig.send(GET)
    rig.client.close()
    rig.event(OUT)
    assert seen == ["gone"]
    assert rig.over


# ---- time


@pytest.mark.parametrize(("begin", "patience"), [(b"", TIMEOUTS.head), (GET[:5], TIMEOUTS.head), (GET, TIMEOUTS.idle)])
def test_each_phase_has_its_patience(make: Callable[..., AsyncRig], begin: bytes, patience: float) -> None:
    rig = make()
    if begin:
        rig.send(begin)
    rig.read()
    rig.sweep(patience - 0.1)
    assert not rig.over
    rig.sweep(0.2)
    assert rig.over
    assert rig.read()[:12] == (b"HTTP/1.1 408" if begin == GET[:5] else b"")


def reads_all(scope: Any, receive: Any, send: Any) -> Any:
    async def answer() -> None:
        while (await receive()).get("more_body"):
            pass
        await ok(scope, receive, send)

    return answer()


def test_a_body_for_which_the_app_waits(make: Callable[..., AsyncRig]) -> None:
    rig = make(reads_all, body_rate=0)
    rig.send(POST % 10 + b"12345")
    rig.sweep(TIMEOUTS.idle - 0.1)
    assert rig.phase is ANSWERING
    rig.sweep(0.2)
    assert rig.read().startswith(b"HTTP/1.1 408")
    assert rig.over


def test_what_the_app_raises_when_a_body_is_late_is_logged(
    make: Callable[..., AsyncRig], caplog: pytest.LogCaptureFixture
) -> None:
    async def careless(scope: Any, receive: Any, send: Any) -> None:
        while "body" in await receive():
            pass
        raise KeyError("body")

    rig = make(careless, body_rate=0)
    rig.send(POST % 10 + b"12345")
    rig.sweep(TIMEOUTS.idle + 0.1)
    assert rig.read().startswith(b"HTTP/1.1 408")
    assert "the app raised while answering a request" in caplog.text
    assert rig.counts() == (1, 1)


def test_a_body_that_drips(make: Callable[..., AsyncRig]) -> None:
    """Each piece is a sign of life, and yet it is too slow."""
    rig = make(reads_all)
    rig.send(POST % 1000)
    for _ in range(int(TIMEOUTS.body * 2) + 4):
        if rig.phase is not CLOSED:
            rig.client.send(b"x")
            rig.event(IN)
            rig.sweep(0.5)
    assert rig.read().startswith(b"HTTP/1.1 408")
    assert rig.over


def test_a_body_for_which_nobody_waits_is_not_late(make: Callable[..., AsyncRig], gate: Gate) -> None:
    rig = make(gate)
    rig.send(POST % 10 + b"12345")
    for _ in range(200):
        rig.sweep(0.5)
    assert rig.phase is ANSWERING


def test_a_request_that_takes_too_long(make: Callable[..., AsyncRig], gate: Gate) -> None:
    rig = make(gate, request=2.0)
    rig.send(GET)
    rig.sweep(0.5)
    rig.sweep(2.0)
    assert gate.seen == []
    rig.sweep(0.1)
    assert gate.seen == ["cancelled"]
    assert rig.read().startswith(b"HTTP/1.1 504")
    assert rig.over
    assert rig.counts() == (1, 1)


def test_an_app_that_swallows_its_cancellation(make: Callable[..., AsyncRig]) -> None:
    """Its client is answered at the next look, and what it still does is waited for at the end."""
    seen: list[str] = []

    async def deaf(scope: Any, receive: Any, send: Any) -> None:
        for _ in range(2):
            try:
                await passes(1000)
            except asyncio.CancelledError:
                seen.append("cancelled")

    rig = make(deaf, request=2.0)
    rig.send(GET)
    for seconds in (0.5, 2.1):
        rig.sweep(seconds)
    assert seen == ["cancelled"]
    assert rig.phase is ANSWERING
    rig.sweep(0.5)
    assert rig.read().startswith(b"HTTP/1.1 504")
    assert rig.over
    assert len(rig.loop.after.tasks) == 1
    assert rig.counts() == (1, 1)
    rig.sweep(0.5)
    assert seen == ["cancelled"]  # once
    rig.pass_time(1000)
    assert not rig.loop.after.tasks


def test_a_slow_reader_is_no_slow_app(make: Callable[..., AsyncRig]) -> None:
    seen: list[Any] = []
    rig = make(stream(seen), request=2.0)
    rig.send(GET)
    rig.sweep(0.5)
    rig.sweep(5.0)
    assert rig.phase is ANSWERING
    assert seen == []


# ---- the stop


def test_a_drain_ends_an_idle_connection(make: Callable[..., AsyncRig]) -> None:
    rig = make()
    rig.send(GET)
    rig.drain()
    rig.event(OUT)
    assert rig.over


def test_a_drain_waits_for_the_app(make: Callable[..., AsyncRig], gate: Gate) -> None:
    rig = make(gate)
    rig.send(GET + GET)
    rig.drain()
    gate.open(rig)
    assert rig.phase is ANSWERING  # what has come is answered
    gate.open(rig)
    data = rig.read()
    assert answers(data) == 2
    assert data.lower().count(b"connection: close") == 1
    assert rig.over


def test_a_request_that_came_with_the_drain(make: Callable[..., AsyncRig], gate: Gate) -> None:
    """The event for which the drain has asked finds an app at work."""
    rig = make(gate)
    rig.client.sendall(GET)
    rig.drain()
    rig.event(IN | OUT)
    assert rig.phase is ANSWERING
    rig.event(OUT)
    assert rig.poller.waits_for(rig.fd) == IN
    gate.open(rig)
    assert rig.over


def test_the_steps_of_a_stop(make: Callable[..., AsyncRig]) -> None:
    steps: list[Any] = []

    async def listens_beside(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        listener = asyncio.create_task(receive())
        await listener
        steps.append(rig.loop.stopping.step)
        try:
            await passes(1000)
        finally:
            steps.append(rig.loop.stopping.step)

    rig = make(listens_beside)
    rig.send(GET)
    rig.drain()
    assert rig.loop.stopping.step == TOLD
    assert steps == []
    rig.pass_time(TIMEOUTS.drain / 2)
    assert steps == [PRESSED]
    rig.pass_time(TIMEOUTS.drain / 2)
    assert steps == [PRESSED, CANCELLED]
    assert rig.read().startswith(b"HTTP/1.1 503")
    assert rig.over


def test_an_incomplete_request_gets_a_408_at_the_last_call(make: Callable[..., AsyncRig]) -> None:
    rig = make()
    rig.send(GET[:10])
    rig.drain()
    rig.connection.cut(rig.service)
    assert rig.read().startswith(b"HTTP/1.1 408")
    assert rig.over


def test_an_idle_connection_is_cut_at_the_last_call(make: Callable[..., AsyncRig]) -> None:
    rig = make()
    rig.send(GET[:5])
    rig.drain()
    rig.pass_time(TIMEOUTS.drain)
    assert rig.over


def test_an_app_that_goes_on_is_cancelled_once(make: Callable[..., AsyncRig]) -> None:
    seen: list[Any] = []

    async def goes_on(scope: Any, receive: Any, send: Any) -> None:
        await ok(scope, receive, send)
        try:
            await passes(1000)
        finally:
            seen.append("cancelled")
            await passes(10)
            seen.append("cleaned")

    rig = make(goes_on)
    rig.send(GET)
    rig.drain()
    rig.pass_time(TIMEOUTS.drain)
    assert seen == ["cancelled"]
    for _ in range(12):
        rig.pass_time(1.0)
    assert seen == ["cancelled", "cleaned"]


# ---- what fails


@pytest.mark.parametrize("when", ["before", "begun", "after"])
def test_an_app_that_raises(make: Callable[..., AsyncRig], when: str) -> None:
    async def wrong(scope: Any, receive: Any, send: Any) -> None:
        if when == "begun":
            await send(start(200, (b"content-length", b"2")))
            await send(body(b"o", more=True))
        elif when == "after":
            await ok(scope, receive, send)
        raise KeyError("x")

    rig = make(wrong)
    rig.send(GET)
    data = rig.read()
    assert data.startswith(b"HTTP/1.1 500" if when == "before" else b"HTTP/1.1 200")
    assert (rig.phase is IDLE) == (when == "after")
    assert rig.counts() == (1, 1)


def test_an_app_that_says_nothing(make: Callable[..., AsyncRig]) -> None:
    async def nothing(scope: Any, receive: Any, send: Any) -> None: ...

    rig = make(nothing)
    rig.send(GET)
    assert rig.read().startswith(b"HTTP/1.1 500")
    assert rig.over


def test_what_the_connection_raises_ends_it_and_its_task(
    make: Callable[..., AsyncRig], gate: Gate, caplog: pytest.LogCaptureFixture
) -> None:
    def wrong(data: bytes) -> None:
        raise RuntimeError("broken")

    rig = make(gate)
    rig.send(GET)
    rig.connection.conversation.receive = wrong
    rig.send(b"x")
    assert "broken" in caplog.text
    assert rig.over
    assert gate.seen == ["cancelled"]


def test_a_bad_request(make: Callable[..., AsyncRig], steps: list[Step]) -> None:
    rig = make()
    rig.send(b"GET / HTTP/9.9\r\n\r\n")
    assert rig.read().startswith(b"HTTP/1.1 505")
    assert rig.over
    assert steps == [(NEW, CLOSED)]


def test_a_bad_request_behind_a_good_one(make: Callable[..., AsyncRig], gate: Gate) -> None:
    rig = make(gate)
    rig.send(GET + b"no request\r\n\r\n")
    gate.open(rig)
    data = rig.read()
    assert answers(data) == 1
    assert b"HTTP/1.1 400" in data
    assert rig.over
