"""A WebSocket and the app that is awaited for it: who closes it, in which order, and what becomes of the other."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from harness.asgi_app import AnsweringAsgi, ok
from harness.async_rig import AsyncRig
from harness.jumping_events import passes
from harness.phase_rig import TIMEOUTS, Step

from poolctl.errors import ClientGone
from poolctl.runtime.loop.farewells import Lingering
from poolctl.runtime.protocol.http.protocol import Http
from poolctl.runtime.serving.phases import ANSWERING, CLOSED, IDLE, NEW
from poolctl.runtime.serving_async.connection import AHEAD_REQUESTS
from poolctl.runtime.serving_async.task_connection import UNREAD_BYTES
from poolctl.runtime.serving_async.websocket_connection import FAREWELL_SECONDS
from poolctl.runtime.system.poller import HUP, IN, OUT

pytest.importorskip("wsproto")
from wsproto import ConnectionType, WSConnection
from wsproto.events import AcceptConnection, BytesMessage, CloseConnection, Ping, Pong, Request, TextMessage

PATIENCE = 20.0  # seconds of websocket_ping


class Client:
    """The other side. ``events``: all that came; ``at_end``: and then the end of file."""

    def __init__(self, rig: AsyncRig, *, before: bytes = b"", after: bytes = b"") -> None:
        self.rig = rig
        self.ws = WSConnection(ConnectionType.CLIENT)
        self.events: list[Any] = []
        self.data = b""
        self.at_end = False
        rig.client.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 400_000)
        rig.send(before + self.ws.send(Request("a", "/")) + after)

    def say(self, event: Any) -> None:
        self.rig.send(self.ws.send(event))

    def hear(self) -> list[Any]:
        """Everything that has come so far."""
        while data := self.rig.read():
            self.data += data
            self.ws.receive_data(data)
            self.rig.event(OUT)
        with contextlib.suppress(BlockingIOError):
            self.at_end = self.at_end or self.rig.client.recv(1, socket.MSG_PEEK) == b""
        self.events += self.ws.events()
        return self.events

    @property
    def messages(self) -> list[Any]:
        """Those of the app."""
        return [each.data for each in self.hear() if isinstance(each, TextMessage | BytesMessage)]

    @property
    def closed(self) -> int:
        """The code of the server's close; 0: none has come."""
        return next((int(each.code) for each in self.hear() if isinstance(each, CloseConnection)), 0)

    def pinged(self) -> bool:
        return any(isinstance(each, Ping) for each in self.hear())


class App:
    """``heard``: what it received; ``ends``: how it did."""

    def __init__(self, does: Any = None) -> None:
        self.does = does or echo
        self.heard: list[Any] = []
        self.ends: list[str] = []

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http":
            await ok(scope, receive, send)
            return

        async def noting() -> Any:
            message = await receive()
            self.heard.append(message)
            return message

        try:
            await self.does(noting, send)
        except asyncio.CancelledError:
            self.ends.append("cancelled")
            raise
        except ClientGone:
            self.ends.append("gone")
            raise
        else:
            self.ends.append("returned")

    @property
    def disconnected(self) -> int:
        """The code with which it was; 0: it was not."""
        return next((each["code"] for each in self.heard if each["type"] == "websocket.disconnect"), 0)


async def echo(receive: Any, send: Any) -> None:
    """Until the end."""
    await receive()
    await send({"type": "websocket.accept"})
    while (message := await receive())["type"] == "websocket.receive":
        message["type"] = "websocket.send"
        await send(message)


@pytest.fixture
def make(steps: list[Step]) -> Iterator[Callable[..., AsyncRig]]:
    made: list[AsyncRig] = []

    def one(app: Any = None, **options: Any) -> AsyncRig:
        protocol = Http(websocket_ping=PATIENCE, **options)
        made.append(AsyncRig(AnsweringAsgi(app or App()), protocol))
        made[-1].accept()
        return made[-1]

    yield one
    for rig in made:
        rig.close()


# ---- opened


def test_messages_both_ways(make: Callable[..., AsyncRig], steps: list[Step]) -> None:
    rig = make()
    client = Client(rig)
    assert isinstance(client.hear()[0], AcceptConnection)
    client.say(TextMessage("hello"))
    client.say(BytesMessage(b"\x00\xff"))
    assert client.messages == ["hello", b"\x00\xff"]
    assert rig.phase is ANSWERING
    assert steps == [(NEW, CLOSED), (NEW, ANSWERING)]


def test_after_a_request_of_http(make: Callable[..., AsyncRig]) -> None:
    rig = make()
    rig.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
    assert rig.read().endswith(b"ok")
    client = Client(rig)
    client.hear()
    client.say(TextMessage("hello"))
    assert client.messages == ["hello"]


def test_what_comes_with_the_handshake_is_not_lost(make: Callable[..., AsyncRig]) -> None:
    """A client may not send before it is accepted; those that do are heard."""
    rig = make()
    frame = b"\x81\x85\x00\x00\x00\x00hello"
    client = Client(rig, after=frame)
    assert client.messages == ["hello"]


def test_a_client_pings(make: Callable[..., AsyncRig]) -> None:
    rig = make()
    client = Client(rig)
    client.hear()
    client.say(Ping(b"x"))
    assert any(isinstance(each, Pong) for each in client.hear())


# ---- how it ends


def test_the_client_closes(make: Callable[..., AsyncRig]) -> None:
    app = App()
    rig = make(app)
    client = Client(rig)
    client.hear()
    client.say(CloseConnection(1001))
    client.hear()
    assert app.disconnected == 1001
    assert app.ends == ["returned"]
    assert client.at_end  # the server closes first (RFC 6455, 7.1.1)
    assert rig.over
    assert rig.counts() == (1, 0)


def test_the_app_returns(make: Callable[..., AsyncRig]) -> None:
    async def returns(receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        await send({"type": "websocket.send", "text": "bye"})

    rig = make(App(returns))
    client = Client(rig)
    assert client.messages == ["bye"]
    assert client.closed == 1000
    assert rig.phase is IDLE  # the client is to answer that
    assert not rig.over
    client.say(client.events[-1].response())
    client.hear()
    assert client.at_end
    assert rig.over
    assert rig.counts() == (1, 0)


def test_a_client_that_does_not_answer_a_close(make: Callable[..., AsyncRig]) -> None:
    async def closes(receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        await send({"type": "websocket.close", "code": 4000})

    rig = make(App(closes))
    client = Client(rig)
    assert client.closed == 4000
    client.rig.send(b"\x81\x85\x00\x00\x00\x00hello")  # what else it says is dropped
    rig.sweep(FAREWELL_SECONDS - 0.1)
    assert not rig.over
    rig.sweep(0.2)
    assert rig.over


def test_a_client_that_leaves_without_a_word(make: Callable[..., AsyncRig]) -> None:
    app = App()
    rig = make(app)
    client = Client(rig)
    client.hear()
    rig.client.close()
    rig.event(HUP | IN)
    assert app.disconnected == 1006
    assert app.ends == ["returned"]
    assert rig.over


def test_an_app_that_sends_to_one_that_has_left(make: Callable[..., AsyncRig]) -> None:
    async def talks(receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        await receive()
        await send({"type": "websocket.send", "text": "x"})

    app = App(talks)
    rig = make(app)
    client = Client(rig)
    client.hear()
    rig.client.close()
    rig.event(HUP | IN)
    assert app.ends == ["gone"]
    assert rig.over
    assert rig.counts() == (1, 0)


def test_an_app_that_raises(make: Callable[..., AsyncRig]) -> None:
    async def wrong(receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        raise KeyError("x")

    rig = make(App(wrong))
    client = Client(rig)
    assert client.closed == 1011
    client.say(client.events[-1].response())
    assert rig.over
    assert rig.counts() == (1, 1)


@pytest.mark.parametrize("kind", ["frame", "size", "text"])
def test_a_client_that_breaks_the_rules(make: Callable[..., AsyncRig], kind: str) -> None:
    app = App()
    rig = make(app, websocket_message=100)
    client = Client(rig)
    client.hear()
    if kind == "frame":
        rig.send(b"\x81\x05hello")  # without a mask (RFC 6455, 5.1)
    elif kind == "size":
        client.say(TextMessage("x" * 200))
    else:
        rig.send(b"\x81\x82\x00\x00\x00\x00\xff\xff")  # no UTF-8
    assert client.closed == {"frame": 1002, "size": 1009, "text": 1007}[kind]
    assert app.ends == ["returned"]
    assert rig.over
    assert isinstance(rig.loop.handlers.get(rig.fd), Lingering)  # it may still be sending, and is to read why


# ---- refused


async def closes_first(receive: Any, send: Any) -> None:
    await receive()
    await send({"type": "websocket.close"})


async def denies(receive: Any, send: Any) -> None:
    await receive()
    await send({"type": "websocket.http.response.start", "status": 401, "headers": [(b"x", b"y")]})
    await send({"type": "websocket.http.response.body", "body": b"who"})


async def raises_first(receive: Any, send: Any) -> None:
    raise KeyError("x")


async def says_nothing(receive: Any, send: Any) -> None:
    await receive()


@pytest.mark.parametrize(
    ("does", "words", "failed"),
    [
        (closes_first, b"HTTP/1.1 403", 0),
        (denies, b"HTTP/1.1 401", 0),
        (raises_first, b"HTTP/1.1 500", 1),
        (says_nothing, b"HTTP/1.1 500", 0),
    ],
)
def test_a_handshake_that_is_refused(make: Callable[..., AsyncRig], does: Any, words: bytes, failed: int) -> None:
    rig = make(App(does))
    client = Client(rig)
    client.hear()
    assert client.data.startswith(words)
    assert rig.over
    assert rig.counts() == (1, failed)


# ---- who does not take what was sent


def test_messages_for_an_app_that_does_not_take_them(make: Callable[..., AsyncRig]) -> None:
    may = asyncio.Event()

    async def slow(receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        await may.wait()
        await echo_on(receive, send)

    async def echo_on(receive: Any, send: Any) -> None:
        while (message := await receive())["type"] == "websocket.receive":
            message["type"] = "websocket.send"
            await send(message)

    rig = make(App(slow), websocket_deflate=False)
    client = Client(rig)
    client.hear()
    for _ in range(AHEAD_REQUESTS + 2):
        client.say(TextMessage("x"))
    assert rig.poller.waits_for(rig.fd) == 0
    may.set()
    rig.settle()
    for _ in range(4):
        rig.event(IN)
    assert client.messages == ["x"] * (AHEAD_REQUESTS + 2)
    client.say(BytesMessage(bytes(UNREAD_BYTES + 1)))
    rig.event(IN)
    assert len(client.messages[-1]) == UNREAD_BYTES + 1


def test_a_client_that_does_not_read(make: Callable[..., AsyncRig]) -> None:
    async def floods(receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        await receive()
        await send({"type": "websocket.send", "bytes": bytes(1_000_000)})
        await send({"type": "websocket.send", "text": "all"})
        await receive()

    app = App(floods)
    rig = make(app, websocket_deflate=False)
    client = Client(rig)
    client.hear()
    client.say(TextMessage("go"))
    assert rig.poller.waits_for(rig.fd) == IN | OUT  # it may be about to say that it wants no more
    assert client.messages[-1] == "all"
    assert app.ends == []


@pytest.mark.parametrize("how", ["time", "leaves", "closes"])
def test_an_app_that_waits_for_a_client_which_will_not_read(make: Callable[..., AsyncRig], how: str) -> None:
    async def floods(receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        await receive()
        await send({"type": "websocket.send", "bytes": bytes(1_000_000)})

    app = App(floods)
    rig = make(app, websocket_deflate=False)
    client = Client(rig)
    client.hear()
    client.say(TextMessage("go"))
    assert app.ends == []
    if how == "time":
        rig.sweep(TIMEOUTS.write - 0.1)
        assert app.ends == []
        rig.sweep(0.2)
    elif how == "leaves":
        rig.client.close()
        rig.event(OUT)
    else:
        client.say(CloseConnection(1000))
    assert app.ends == ["gone"]
    if how == "closes":
        client.hear()
    assert rig.over
    assert rig.counts() == (1, 0)


# ---- silence


def test_a_silent_client_is_asked_and_answers(make: Callable[..., AsyncRig]) -> None:
    rig = make()
    client = Client(rig)
    client.hear()
    rig.sweep(PATIENCE - 0.1)
    assert not client.pinged()
    rig.sweep(0.2)
    assert client.pinged()
    ping = next(each for each in client.events if isinstance(each, Ping))
    client.say(ping.response())
    rig.sweep(PATIENCE * 2 - 1)  # as long as one more question takes
    assert rig.phase is ANSWERING
    client.events.clear()
    assert not client.closed


def test_a_silent_client_that_does_not_answer(make: Callable[..., AsyncRig]) -> None:
    app = App()
    rig = make(app)
    client = Client(rig)
    client.hear()
    rig.sweep(PATIENCE + 0.1)
    rig.sweep(PATIENCE - 0.2)
    assert rig.phase is ANSWERING
    rig.sweep(0.2)
    assert app.disconnected == 1011
    assert client.closed == 1011
    assert rig.over


def test_a_handshake_that_the_app_thinks_about_is_no_silence(make: Callable[..., AsyncRig]) -> None:
    async def thinks(receive: Any, send: Any) -> None:
        await passes(1e6)

    rig = make(App(thinks))
    Client(rig)
    rig.sweep(1000)
    assert rig.phase is ANSWERING
    assert rig.read() == b""


# ---- the stop


def test_a_drain_tells_the_client_that_the_server_goes(make: Callable[..., AsyncRig]) -> None:
    app = App()
    rig = make(app)
    client = Client(rig)
    client.hear()
    rig.drain()
    assert client.closed == 1012
    assert app.disconnected == 1012
    assert app.ends == ["returned"]
    client.say(client.events[-1].response())
    assert rig.over


def test_one_that_is_accepted_in_a_drain(make: Callable[..., AsyncRig]) -> None:
    may = asyncio.Event()

    async def later(receive: Any, send: Any) -> None:
        await receive()
        await may.wait()
        await send({"type": "websocket.accept"})
        await receive()

    app = App(later)
    rig = make(app)
    client = Client(rig)
    rig.drain()
    assert app.ends == []
    may.set()
    rig.settle()
    assert client.closed == 1012
    assert app.disconnected == 1012


def test_the_last_call(make: Callable[..., AsyncRig]) -> None:
    async def stays(receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        await passes(1e6)

    app = App(stays)
    rig = make(app)
    client = Client(rig)
    client.hear()
    rig.drain()
    rig.pass_time(TIMEOUTS.drain)
    assert app.ends == ["cancelled"]
    assert rig.over
    assert rig.counts() == (1, 1)


def test_what_the_connection_raises_ends_it(make: Callable[..., AsyncRig], caplog: pytest.LogCaptureFixture) -> None:
    def wrong(data: bytes) -> None:
        raise RuntimeError("broken")

    app = App()
    rig = make(app)
    client = Client(rig)
    client.hear()
    rig.connection.conversation.receive = wrong
    rig.send(b"x")
    assert rig.over
    assert app.ends == ["cancelled"]
    assert "broken" in caplog.text


def test_an_app_that_raises_before_its_call_ends_the_connection() -> None:
    class WithoutWebSockets(AnsweringAsgi):
        def websocket(self, conversation: Any, connection: Any) -> Any:
            raise TypeError("serves no WebSockets")

    rig = AsyncRig(WithoutWebSockets(), Http())
    rig.accept()
    Client(rig)
    assert rig.over
    rig.close()
