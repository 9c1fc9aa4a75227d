"""A connection whose app is awaited for each message: in order, at the client's pace, and what becomes of the rest."""

from __future__ import annotations

import asyncio
import socket
from collections import deque
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from dataclasses import replace
from typing import Any

import pytest
from harness.async_rig import AsyncRig
from harness.phase_rig import TIMEOUTS, Step

from poolctl.runtime.app.functions.async_function import MessageApp
from poolctl.runtime.protocol.lines import Lines
from poolctl.runtime.serving.phases import ANSWERING, IDLE, NEW, READING
from poolctl.runtime.serving_async.message_connection import MESSAGES_AHEAD_BYTES
from poolctl.runtime.system.poller import ERR, HUP, IN, OUT

SETTING: ContextVar[str] = ContextVar("SETTING", default="unset")


class Answering(MessageApp):
    """``does``: the function of the app."""

    word = "tested"
    protocol = "lines"

    def __init__(self, does: Callable[[bytes], Any]) -> None:
        super().__init__("tested")
        self.does = does

    async def answer(self, request: Any) -> bytes:
        answer: bytes = await self.does(request)
        return answer


async def echo(line: bytes) -> bytes:
    return line + b"\n"


class Gate:
    """An app that answers when a test lets it."""

    def __init__(self) -> None:
        self.may: list[asyncio.Future[None]] = []
        self.seen: list[Any] = []

    async def __call__(self, line: bytes) -> bytes:
        self.seen.append(line)
        may = asyncio.get_running_loop().create_future()
        self.may.append(may)
        try:
            await may
        except asyncio.CancelledError:
            self.seen.append("cancelled")
            raise
        return line + b"\n"

    def open(self, rig: AsyncRig) -> None:
        self.may[-1].set_result(None)
        rig.settle()


@pytest.fixture
def make(steps: list[Step]) -> Iterator[Callable[..., AsyncRig]]:
    made: list[AsyncRig] = []

    def one(does: Any = echo, **timeouts: Any) -> AsyncRig:
        made.append(AsyncRig(Answering(does), Lines(limit=1_000_000), replace(TIMEOUTS, **timeouts)))
        made[-1].accept()
        return made[-1]

    yield one
    for rig in made:
        rig.close()


@pytest.fixture
def message_gate() -> Gate:
    return Gate()


def test_each_message_is_answered_in_order(make: Callable[..., AsyncRig], steps: list[Step]) -> None:
    rig = make()
    rig.send(b"one\ntwo\nthr")
    assert rig.read() == b"one\ntwo\n"
    assert rig.phase is READING
    rig.send(b"ee\n")
    assert rig.read() == b"three\n"
    assert rig.counts() == (3, 0)
    assert steps == [(NEW, ANSWERING), (ANSWERING, IDLE), (IDLE, READING), (READING, ANSWERING), (ANSWERING, IDLE)]


def test_one_at_a_time(make: Callable[..., AsyncRig], message_gate: Gate) -> None:
    rig = make(message_gate)
    rig.send(b"one\n")
    rig.send(b"two\n")
    assert message_gate.seen == [b"one"]
    message_gate.open(rig)
    assert message_gate.seen == [b"one", b"two"]
    message_gate.open(rig)
    assert rig.read() == b"one\ntwo\n"
    assert rig.phase is IDLE


def test_an_app_may_have_nothing_to_say(make: Callable[..., AsyncRig]) -> None:
    async def silent(line: bytes) -> bytes | None:
        return None

    rig = make(silent)
    rig.send(b"one\ntwo\n")
    assert rig.read() == b""
    assert rig.phase is IDLE
    assert rig.counts() == (2, 0)


def test_what_is_read_ahead_is_bounded(make: Callable[..., AsyncRig], message_gate: Gate) -> None:
    rig = make(message_gate)
    rig.send(b"one\n")
    rig.client.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 400_000)
    line = b"x" * 999 + b"\n"
    rig.send(line * (MESSAGES_AHEAD_BYTES // 1000 + 10))
    rig.event(IN)
    assert rig.poller.waits_for(rig.fd) == 0
    rig.read()
    for _ in range(MESSAGES_AHEAD_BYTES // 1000 + 11):
        message_gate.open(rig)
        rig.read()
    assert rig.phase is IDLE
    assert rig.poller.waits_for(rig.fd) == IN


def test_a_long_message_is_not_bounded_by_what_is_ahead(make: Callable[..., AsyncRig], message_gate: Gate) -> None:
    """One that is not whole has to be read on, or it would never be."""
    rig = make(message_gate)
    rig.send(b"one\n")
    rig.client.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 400_000)
    rig.client.sendall(b"x" * (2 * MESSAGES_AHEAD_BYTES))
    for _ in range(3):
        rig.event(IN)
    assert rig.poller.waits_for(rig.fd) == IN
    rig.send(b"\n")
    message_gate.open(rig)
    message_gate.open(rig)
    assert len(rig.take()) == 4 + 2 * MESSAGES_AHEAD_BYTES + 1


def test_the_next_message_waits_for_a_slow_reader(make: Callable[..., AsyncRig]) -> None:
    asked: list[bytes] = []

    async def large(line: bytes) -> bytes:
        asked.append(line)
        return line * 500_000

    rig = make(large)
    rig.send(b"a\nb\n")
    assert asked == [b"a"]
    assert rig.poller.waits_for(rig.fd) & OUT
    data = b""
    while len(data) < 1_000_000:
        rig.event(OUT)
        data += rig.read()
    assert asked == [b"a", b"b"]
    assert data == b"a" * 500_000 + b"b" * 500_000
    assert rig.phase is IDLE


@pytest.mark.parametrize("how", ["time", "leaves"])
def test_a_client_that_does_not_take_its_answer(make: Callable[..., AsyncRig], how: str) -> None:
    async def large(line: bytes) -> bytes:
        return bytes(1_000_000)

    rig = make(large)
    rig.send(b"a\nb\n")
    if how == "time":
        rig.sweep(TIMEOUTS.write - 0.1)
        assert not rig.over
        rig.sweep(0.2)
    else:
        rig.client.close()
        rig.event(OUT)
    assert rig.over
    assert rig.counts() == (1, 0)


def test_who_sends_no_more_gets_its_answers(make: Callable[..., AsyncRig], message_gate: Gate) -> None:
    rig = make(message_gate)
    rig.send(b"one\ntwo")
    rig.end()
    message_gate.open(rig)
    message_gate.open(rig)
    assert rig.read() == b"one\ntwo\n"
    assert rig.over


def test_a_client_that_breaks_off(make: Callable[..., AsyncRig], message_gate: Gate) -> None:
    """A message may be all that a client had to say: what has come is given to the app."""
    rig = make(message_gate)
    rig.send(b"one\n")
    rig.client.close()
    rig.event(ERR | HUP)
    assert rig.phase is ANSWERING
    message_gate.open(rig)
    assert rig.over
    assert rig.counts() == (1, 0)


def test_a_message_does_not_see_what_another_has_set(make: Callable[..., AsyncRig]) -> None:
    async def sets(line: bytes) -> bytes:
        found = SETTING.get()
        SETTING.set(line.decode())
        return found.encode() + b"\n"

    rig = make(sets)
    rig.send(b"one\ntwo\nthree\n")
    assert rig.read() == b"unset\n" * 3
    assert rig.phase is IDLE


def test_an_app_that_raises_ends_the_connection(make: Callable[..., AsyncRig]) -> None:
    async def wrong(line: bytes) -> bytes:
        raise KeyError("x")

    rig = make(wrong)
    rig.send(b"one\ntwo\n")
    assert rig.over
    assert rig.counts() == (1, 1)


def test_an_answer_that_takes_too_long(make: Callable[..., AsyncRig], message_gate: Gate) -> None:
    rig = make(message_gate, request=2.0)
    rig.send(b"one\n")
    rig.sweep(0.5)
    rig.sweep(1.0)
    message_gate.open(rig)
    rig.send(b"two\n")  # the time is each message's own
    rig.sweep(0.5)
    rig.sweep(1.9)
    assert message_gate.seen == [b"one", b"two"]
    rig.sweep(0.5)
    assert message_gate.seen[2:] == ["cancelled"]
    assert rig.over
    assert rig.counts() == (2, 1)
    assert rig.read() == b"one\n"


def test_a_line_that_is_too_long(make: Callable[..., AsyncRig], message_gate: Gate) -> None:
    rig = make(message_gate)
    rig.client.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4_000_000)
    rig.send(b"one\n")
    rig.client.setblocking(True)
    rig.connection.conversation._limit = 10
    rig.send(b"x" * 100)
    message_gate.open(rig)
    assert rig.read() == b"one\n"
    assert rig.over


def test_what_the_connection_raises_ends_it(make: Callable[..., AsyncRig], caplog: pytest.LogCaptureFixture) -> None:
    class Broken(deque[bytes]):
        def popleft(self) -> bytes:
            raise RuntimeError("broken")

    rig = make()
    rig.connection.conversation.requests = Broken()
    rig.send(b"one\n")
    assert rig.over
    assert "broken" in caplog.text


# ---- the stop


def test_a_drain(make: Callable[..., AsyncRig], message_gate: Gate) -> None:
    rig = make(message_gate)
    rig.send(b"one\n")
    rig.drain()
    assert rig.phase is ANSWERING
    message_gate.open(rig)
    assert rig.read() == b"one\n"
    assert rig.over


def test_a_drain_ends_an_idle_connection(make: Callable[..., AsyncRig]) -> None:
    rig = make()
    rig.send(b"one\n")
    rig.drain()
    rig.event(OUT)
    assert rig.over


def test_the_last_call(make: Callable[..., AsyncRig], message_gate: Gate) -> None:
    rig = make(message_gate)
    rig.send(b"one\n")
    rig.drain()
    rig.pass_time(TIMEOUTS.drain)
    assert message_gate.seen == [b"one", "cancelled"]
    assert rig.over
    assert rig.counts() == (1, 1)
