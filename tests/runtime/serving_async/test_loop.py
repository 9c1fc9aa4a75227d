"""The connection loop inside an event loop, run from its start to the end of its drain, with real pollers."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from time import monotonic_ns
from typing import Any

import pytest
from harness.asgi_app import AnsweringAsgi, body, ok, start
from harness.jumping_events import JumpingEvents, passes
from harness.phase_rig import PEER, row

from poolctl.errors import AppError
from poolctl.runtime.lifeline import Life
from poolctl.runtime.listen.door import Door
from poolctl.runtime.loop.loop import MAX_FAILED_TURNS
from poolctl.runtime.loop.source import Source
from poolctl.runtime.protocol.http.protocol import Http
from poolctl.runtime.scoreboard import AFTER, BEAT, BEAT_NS, DONE, FAILED, REQUESTS, TAKEN, lag_of
from poolctl.runtime.serving.service import Service
from poolctl.runtime.serving_async.kinds import connection_of
from poolctl.runtime.serving_async.loop import AsyncConnectionLoop
from poolctl.runtime.serving_async.stopping import SERVING, TOLD
from poolctl.runtime.system.poller import SelectorsPoller
from poolctl.runtime.timeouts import Timeouts

GET = b"GET %s HTTP/1.1\r\nHost: a\r\n\r\n"
SETTING: ContextVar[str] = ContextVar("SETTING", default="unset")


class Newcomers(Source[Any]):
    """Clients, one for each byte of a pipe; as a listener."""

    def __init__(self, rig: Rig, fd: int) -> None:
        self.rig = rig
        self.fd = fd

    def on_event(self, events: int, service: Any) -> None:
        if not os.read(self.fd, 1):
            self.rig.loop.remove(self)
            return
        near = self.rig.near.pop(0)
        self.rig.loop.accept(near, PEER, service, self.rig.door)


class Rig:
    """``poller``: None is the best that there is, and its time jumps."""

    def __init__(self, app: AnsweringAsgi, *, poller: Any = None, stop: int = -1, **timeouts: Any) -> None:
        self.app = app
        self.lifeline, self.mold = os.pipe()
        self.reader, self.writer = os.pipe()
        protocol = Http()
        self.door = Door(protocol)
        self.near: list[int] = []
        self.clients: list[socket.socket] = []
        self.events = asyncio.new_event_loop() if poller is not None else JumpingEvents()
        self.timeouts = Timeouts(**timeouts)
        self.loop = AsyncConnectionLoop(
            Life(self.lifeline, self.timeouts.drain, lambda: None, stop),
            self.timeouts,
            10,
            app,
            connection_of(app),
            poller=poller,
            clock=self.events.time,
            events=self.events,
        )
        self.service = Service(app, protocol, row(), self.loop.start.context)
        self.newcomers = Newcomers(self, self.reader)
        self.loop.add_source(self.newcomers)

    def client(self, data: bytes) -> socket.socket:
        """One that comes when the loop runs."""
        near, client = socket.socketpair()
        near.setblocking(False)
        client.sendall(data)
        self.near.append(near.detach())
        self.clients.append(client)
        os.write(self.writer, b"x")
        return client

    def end(self) -> None:
        """The server stops: nobody comes any more, and the lifeline ends."""
        os.close(self.writer)
        os.close(self.mold)
        self.writer = self.mold = -1

    def run(self, *, end: bool = True) -> None:
        if end:
            self.end()
        self.loop.run(self.service)
        assert self.events.is_closed()
        assert self.service.row[TAKEN] == self.service.row[DONE]

    def close(self) -> None:
        for client in self.clients:
            client.close()
        for fd in self.near:
            os.close(fd)
        if not self.events.is_closed():
            self.events.close()
        self.loop._finish()
        self.loop.close()
        for fd in (self.lifeline, self.reader, self.mold, self.writer):
            if fd >= 0:
                os.close(fd)


@pytest.fixture
def make() -> Iterator[Callable[..., Rig]]:
    made: list[Rig] = []

    def one(answer: Any = None, lifespan: Any = "off", **options: Any) -> Rig:
        made.append(Rig(AnsweringAsgi(answer, lifespan=lifespan), **options))
        return made[-1]

    yield one
    for rig in made:
        rig.close()


def whole(client: socket.socket) -> bytes:
    """Until the end of file."""
    client.setblocking(False)
    data = b""
    while piece := client.recv(65536):
        data += piece
    return data


@pytest.mark.parametrize("poller", [None, SelectorsPoller])
def test_from_the_start_to_the_end(make: Callable[..., Rig], poller: Any) -> None:
    """What has come when the stop does is answered."""
    rig = make(poller=poller and poller())
    clients = [rig.client(GET % b"/") for _ in range(3)]
    rig.run()
    assert [whole(client).endswith(b"ok") for client in clients] == [True] * 3
    assert rig.service.row[REQUESTS] == 3


def test_a_drain_waits_for_tasks_and_for_what_comes_after(make: Callable[..., Rig]) -> None:
    seen: list[Any] = []

    async def slow(scope: Any, receive: Any, send: Any) -> None:
        await passes(5)
        await ok(scope, receive, send)
        await passes(5)
        seen.append(rig.service.row[AFTER])

    rig = make(slow)
    client = rig.client(GET % b"/")
    rig.run()
    assert whole(client).endswith(b"ok")
    assert seen == [1]
    assert rig.service.row[AFTER] == 0


def test_it_beats_while_a_request_is_in_flight_and_not_for_idle_connections(make: Callable[..., Rig]) -> None:
    beats: list[int] = []

    async def slow(scope: Any, receive: Any, send: Any) -> None:
        for _ in range(20):
            await passes(1)
            beats.append(rig.service.row[BEAT])
        await ok(scope, receive, send)

    rig = make(slow, idle=1000.0)
    client = rig.client(GET % b"/")
    idle: list[int] = []
    for second in range(100, 120):  # long after, while sweeps look at the idle connection
        rig.events.call_later(second, lambda: idle.append(rig.service.row[BEAT]))
    rig.events.call_later(120, rig.end)
    rig.run(end=False)
    assert whole(client).endswith(b"ok")
    assert all(beats)
    assert len(set(beats)) == 20
    assert idle == [0] * 20


def test_a_loop_that_is_blocked_by_its_first_request_is_seen(make: Callable[..., Rig]) -> None:
    later = 5 * 10**9
    seen: list[int] = []

    async def computes(scope: Any, receive: Any, send: Any) -> None:
        seen.append(lag_of(rig.service.row, monotonic_ns() + later))
        await ok(scope, receive, send)

    rig = make(computes)
    rig.client(GET % b"/")
    rig.run()
    assert seen[0] >= later - BEAT_NS


def test_time_is_looked_at_while_nothing_happens(make: Callable[..., Rig]) -> None:
    """Silent clients, and apps that take too long, though no event comes."""

    async def hangs(scope: Any, receive: Any, send: Any) -> None:
        await passes(1e6)

    rig = make(hangs, request=2.0, head=1.0)
    slow, silent = rig.client(GET % b"/"), rig.client(b"GET")
    rig.events.call_later(100, rig.end)
    rig.run(end=False)
    assert whole(slow).startswith(b"HTTP/1.1 504")
    assert whole(silent).startswith(b"HTTP/1.1 408")
    assert rig.service.row[FAILED] == 1


def test_the_last_call_is_made_once_each(make: Callable[..., Rig]) -> None:
    seen: list[str] = []

    async def stubborn(scope: Any, receive: Any, send: Any) -> None:
        try:
            await passes(1e6)
        finally:
            seen.append("cancelled")
            await passes(0.5)
            seen.append("cleaned")

    rig = make(stubborn, drain=10.0)
    client = rig.client(GET % b"/")
    rig.run()
    assert seen == ["cancelled", "cleaned"]
    assert whole(client).startswith(b"HTTP/1.1 503")


def test_the_stop_comes_before_the_drain(make: Callable[..., Rig]) -> None:
    """Behind a front the lifeline ends when the front has left; open streams hear of the stop at its beginning."""
    stop, stops = os.pipe()
    steps: list[Any] = []

    async def streams(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send(start())
        await send(body(b"x", more=True))
        steps.append(rig.loop.stopping.step)
        os.close(stops)
        await receive()
        steps.append((rig.loop.stopping.step, rig.loop.draining))
        await send(body())

    rig = make(streams, stop=stop)
    client = rig.client(GET % b"/")
    rig.events.call_later(5, rig.end)
    rig.run(end=False)
    assert steps == [SERVING, (TOLD, False)]
    assert whole(client).endswith(b"0\r\n\r\n")
    os.close(stop)


# ---- the app's start and end


def test_requests_begin_in_the_context_of_the_start(make: Callable[..., Rig]) -> None:
    seen: list[str] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            await receive()
            SETTING.set("of the start")
            await send({"type": "lifespan.startup.complete"})
            await receive()
            seen.append("shutdown")
            await send({"type": "lifespan.shutdown.complete"})
            return
        seen.append(SETTING.get())
        SETTING.set("of a request")
        await ok(scope, receive, send)

    rig = make(app, "on")
    for _ in range(2):
        rig.client(GET % b"/")
    rig.run()
    assert seen == ["of the start"] * 2 + ["shutdown"]


def test_an_app_that_does_not_start(make: Callable[..., Rig]) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "lifespan.startup.failed", "message": "no database"})

    made: list[Any] = []
    events = JumpingEvents()
    lifeline, mold = os.pipe()
    asgi = AnsweringAsgi(app, lifespan="on")
    with pytest.raises(AppError, match="no database"):
        made.append(
            AsyncConnectionLoop(
                Life(lifeline, 30.0, lambda: None), Timeouts(), 10, asgi, connection_of(asgi), events=events
            )
        )
    events.run_until_complete(events.shutdown_asyncgens())
    for task in asyncio.all_tasks(events):
        task.cancel()
    events.rounds()
    events.close()
    for fd in (lifeline, mold):
        os.close(fd)


def test_what_the_app_leaves_running_is_ended(make: Callable[..., Rig], caplog: pytest.LogCaptureFixture) -> None:
    seen: list[str] = []
    kept: list[Any] = []

    async def beside(*, fails: bool) -> None:
        try:
            await passes(1e6)
        finally:
            seen.append("ended")
            if fails:
                raise KeyError("at its end")

    async def app(scope: Any, receive: Any, send: Any) -> None:
        kept.extend([asyncio.create_task(beside(fails=False)), asyncio.create_task(beside(fails=True))])
        await ok(scope, receive, send)

    rig = make(app)
    rig.client(GET % b"/")
    rig.run()
    assert seen == ["ended"] * 2
    assert "left running raised when it was cancelled" in caplog.text


# ---- what fails


@pytest.mark.parametrize("error", [KeyError, SystemExit, KeyboardInterrupt])
def test_what_an_app_raises_anywhere_ends_no_loop(make: Callable[..., Rig], error: type[BaseException]) -> None:
    async def wrong(scope: Any, receive: Any, send: Any) -> None:
        def callback() -> None:
            raise error("in a callback")

        if scope["path"] == "/wrong":
            loop = asyncio.get_running_loop()
            loop.set_exception_handler(lambda loop, context: None)
            loop.call_soon(callback)
            await passes(1)
            raise error("in a request")
        if scope["path"] == "/stop":
            asyncio.get_running_loop().stop()
        await ok(scope, receive, send)

    rig = make(wrong)
    bad, stopping, good = (rig.client(GET % path) for path in (b"/wrong", b"/stop", b"/"))
    rig.run()
    assert whole(bad).startswith(b"HTTP/1.1 500")
    assert whole(stopping).endswith(b"ok")
    assert whole(good).endswith(b"ok")


class Broken(Source[Any]):
    """A turn fails whenever this is looked at."""

    def __init__(self, rig: Rig, times: int) -> None:
        self.fd, self.other = os.pipe()
        os.write(self.other, b"x")
        self.rig = rig
        self.times = times
        self.had = 0

    def on_event(self, events: int, service: Any) -> None:
        """Not an exception of a handler, which would be its own: one of the turn."""
        self.had += 1
        if self.had > self.times:
            self.rig.loop.remove(self)
            return
        self.rig.loop._next_look = 0.0
        self.rig.loop._resume = self.fail

    def fail(self) -> None:
        if self.had >= self.times:
            del self.rig.loop._resume
        raise RuntimeError("a turn")


def test_a_turn_that_fails_is_one_of_many(make: Callable[..., Rig], caplog: pytest.LogCaptureFixture) -> None:
    rig = make()
    broken = Broken(rig, 5)
    rig.loop.add_source(broken)
    client = rig.client(GET % b"/")
    rig.run()
    assert whole(client).endswith(b"ok")
    assert "the loop goes on" in caplog.text
    for fd in (broken.fd, broken.other):
        os.close(fd)


def test_turns_that_do_nothing_but_fail(make: Callable[..., Rig]) -> None:
    """Then the loop is broken, and its worker has to be replaced."""
    rig = make()
    broken = Broken(rig, MAX_FAILED_TURNS + 10)
    rig.loop.add_source(broken)
    with pytest.raises(RuntimeError, match="a turn"):
        rig.run()
    for fd in (broken.fd, broken.other):
        os.close(fd)
    for handler in list(rig.loop.handlers.values()):
        if hasattr(handler, "phase"):
            handler.close(rig.service)
