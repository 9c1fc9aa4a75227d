"""A connection that its app owns: what its waits wait for, how they end, and what is asked of the poller meanwhile."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from harness.async_rig import AsyncRig
from harness.jumping_events import passes
from harness.phase_rig import TIMEOUTS, Step

from poolctl.errors import ClientGone
from poolctl.runtime.app.functions.async_stream import AsyncStream, AsyncStreamApp
from poolctl.runtime.protocol.raw import Raw
from poolctl.runtime.serving.phases import ANSWERING, CLOSED, IDLE, NEW
from poolctl.runtime.serving_async.task_connection import UNREAD_BYTES
from poolctl.runtime.system.poller import HUP, IN, OUT


class App(AsyncStreamApp):
    """``does``: the function of the app."""

    def __init__(self, does: Any, *, greets: bool = False) -> None:
        super().__init__("tested", greets=greets)
        self._function = does


@pytest.fixture
def make(steps: list[Step]) -> Iterator[Callable[..., AsyncRig]]:
    made: list[AsyncRig] = []

    def one(does: Any, *, greets: bool = False) -> AsyncRig:
        made.append(AsyncRig(App(does, greets=greets), Raw()))
        made[-1].accept()
        return made[-1]

    yield one
    for rig in made:
        rig.close()


async def echo(stream: AsyncStream) -> None:
    async for line in stream:
        await stream.write(line)


def test_lines_until_the_end(make: Callable[..., AsyncRig], steps: list[Step]) -> None:
    rig = make(echo)
    assert rig.phase is NEW  # silence costs no task
    rig.send(b"one\ntw")
    assert rig.read() == b"one\n"
    rig.send(b"o\n")
    assert rig.read() == b"two\n"
    rig.send(b"thr")
    rig.end()
    assert rig.read() == b"thr"
    assert rig.over
    assert rig.counts() == (1, 0)
    assert steps == [(NEW, ANSWERING), (ANSWERING, IDLE), (IDLE, CLOSED)]


def test_an_app_that_speaks_first(make: Callable[..., AsyncRig]) -> None:
    async def greets(stream: AsyncStream) -> None:
        await stream.write(b"hello\n")
        await echo(stream)

    rig = make(greets, greets=True)
    assert rig.read() == b"hello\n"
    rig.send(b"one\n")
    assert rig.read() == b"one\n"


def test_a_client_that_says_nothing(make: Callable[..., AsyncRig]) -> None:
    rig = make(echo)
    rig.end()
    assert rig.over
    assert rig.counts() == (0, 0)


def test_what_waits_for_the_app_is_bounded(make: Callable[..., AsyncRig]) -> None:
    may = asyncio.Event()
    got: list[int] = []

    async def slow(stream: AsyncStream) -> None:
        await may.wait()
        got.append(len(await stream.read()))

    rig = make(slow)
    rig.client.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 400_000)
    rig.client.sendall(bytes(200_000))
    for _ in range(4):
        rig.event(IN)
    assert rig.poller.waits_for(rig.fd) == 0
    assert len(rig.connection.received) <= 2 * UNREAD_BYTES
    may.set()
    rig.settle()
    for _ in range(4):
        rig.event(IN)
    rig.end()
    assert got == [200_000]


def test_writes_wait_for_the_client(make: Callable[..., AsyncRig]) -> None:
    written: list[int] = []

    async def writes(stream: AsyncStream) -> None:
        await stream.read(1)
        for number in range(3):
            await stream.write(bytes(300_000))
            written.append(number)

    rig = make(writes)
    rig.send(b"x")
    assert written == []
    assert rig.poller.waits_for(rig.fd) == IN | OUT  # it may have more to say meanwhile
    assert len(rig.take()) == 900_000
    assert written == [0, 1, 2]
    assert rig.over


def test_two_tasks_write_whole_pieces(make: Callable[..., AsyncRig]) -> None:
    async def writes(stream: AsyncStream) -> None:
        await stream.read(1)
        await asyncio.gather(stream.write(b"a" * 400_000), stream.write(b"b" * 400_000))
        await stream.drain()

    rig = make(writes)
    rig.send(b"x")
    assert rig.take() == b"a" * 400_000 + b"b" * 400_000


def test_one_task_reads_at_a_time(make: Callable[..., AsyncRig], caplog: pytest.LogCaptureFixture) -> None:
    async def reads(stream: AsyncStream) -> None:
        await stream.read(1)
        await asyncio.gather(stream.read(1), stream.read(1))

    rig = make(reads)
    rig.send(b"x")
    assert "another task is reading" in caplog.text
    assert rig.counts() == (1, 1)


@pytest.mark.parametrize("caught", [True, False])
def test_a_silent_client(make: Callable[..., AsyncRig], caught: bool) -> None:
    heard: list[str] = []

    async def reads(stream: AsyncStream) -> None:
        await stream.read(1)
        try:
            await stream.read(1)
        except TimeoutError as error:
            heard.append(str(error))
            if not caught:
                raise
            await stream.write(b"still there?")

    rig = make(reads)
    rig.send(b"x")
    rig.sweep(TIMEOUTS.idle - 0.5)
    assert heard == []
    rig.sweep(1.0)
    assert heard == [f"the client sent nothing for {TIMEOUTS.idle:g} s"]
    assert rig.read() == (b"still there?" if caught else b"")
    assert rig.over
    assert rig.counts() == (1, 0)


def test_a_client_that_reads_nothing(make: Callable[..., AsyncRig]) -> None:
    heard: list[str] = []

    async def writes(stream: AsyncStream) -> None:
        await stream.read(1)
        try:
            await stream.write(bytes(1_000_000))
        except TimeoutError as error:
            heard.append(str(error))
            raise

    rig = make(writes)
    rig.send(b"x")
    rig.sweep(TIMEOUTS.write - 0.5)
    assert heard == []
    rig.sweep(1.0)
    assert heard == [f"the client read nothing for {TIMEOUTS.write:g} s"]
    assert rig.over


def test_an_app_that_computes_is_not_a_silent_client(make: Callable[..., AsyncRig]) -> None:
    async def waits(stream: AsyncStream) -> None:
        await passes(1e6)

    rig = make(waits)
    rig.send(b"x")
    rig.sweep(1000)
    assert rig.phase is ANSWERING


@pytest.mark.parametrize("does", ["reads", "writes"])
def test_a_client_that_breaks_off(make: Callable[..., AsyncRig], does: str) -> None:
    heard: list[str] = []

    async def talks(stream: AsyncStream) -> None:
        await stream.read(1)
        try:
            if does == "reads":
                while await stream.read(1):
                    pass
                heard.append("end")
                await stream.write(b"x" * 1000)
                await stream.write(b"x" * 1000)
            else:
                await stream.write(bytes(1_000_000))
        except ClientGone:
            heard.append("gone")
            raise

    rig = make(talks)
    rig.send(b"x")
    rig.client.close()
    rig.event(HUP)
    assert heard == (["end", "gone"] if does == "reads" else ["gone"])
    assert rig.over
    assert rig.counts() == (1, 0)


def test_a_reset_is_no_end_of_file(make: Callable[..., AsyncRig]) -> None:
    heard: list[str] = []

    async def reads(stream: AsyncStream) -> None:
        await stream.read(1)
        try:
            await stream.read(1)
            heard.append("end")
        except ClientGone:
            heard.append("gone")
            raise

    rig = make(reads)
    rig.send(b"x")
    rig.near.send(b"never read")
    rig.client.close()  # with bytes unread: a reset
    rig.event(IN | HUP)
    assert heard == ["gone"]
    assert rig.over


def test_who_sends_no_more_may_read(make: Callable[..., AsyncRig]) -> None:
    async def answers(stream: AsyncStream) -> None:
        question = await stream.read()
        assert await stream.read(1) == b""
        await stream.write(question * 2)

    rig = make(answers)
    rig.send(b"how")
    rig.end()
    assert rig.read() == b"howhow"
    assert rig.over


def test_a_stream_that_outlives_its_connection(make: Callable[..., AsyncRig]) -> None:
    kept: list[AsyncStream] = []

    async def keeps(stream: AsyncStream) -> None:
        kept.append(stream)

    rig = make(keeps)
    rig.send(b"x")
    assert rig.over
    for wait in (kept[0].write(b"x"), kept[0].readexactly(5), kept[0].drain()):
        with pytest.raises(ClientGone):
            rig.events.run_until_complete(wait)


def test_an_app_that_raises(make: Callable[..., AsyncRig]) -> None:
    async def wrong(stream: AsyncStream) -> None:
        raise KeyError("x")

    rig = make(wrong)
    rig.send(b"x")
    assert rig.over
    assert rig.counts() == (1, 1)


# ---- the stop


def test_a_drain_lets_a_conversation_go_on(make: Callable[..., AsyncRig]) -> None:
    rig = make(echo)
    rig.send(b"one\n")
    rig.drain()
    rig.send(b"two\n")
    assert rig.read() == b"one\ntwo\n"
    assert rig.phase is ANSWERING
    rig.end()
    assert rig.over


def test_a_drain_and_the_first_bytes(make: Callable[..., AsyncRig]) -> None:
    """The drain asks for an event, and the first bytes begin a conversation."""
    rig = make(echo)
    rig.drain()
    rig.client.sendall(b"one\n")
    rig.event(IN | OUT)
    assert rig.read() == b"one\n"
    rig.event(OUT)
    assert rig.poller.waits_for(rig.fd) == IN


def test_a_drain_ends_what_has_not_begun(make: Callable[..., AsyncRig]) -> None:
    rig = make(echo)
    rig.drain()
    rig.sweep(1.1)
    assert rig.over


def test_the_last_call(make: Callable[..., AsyncRig]) -> None:
    seen: list[str] = []

    async def waits(stream: AsyncStream) -> None:
        try:
            await stream.read()
        finally:
            seen.append("cancelled")
            await stream.write(b"bye")

    rig = make(waits)
    rig.send(b"x")
    rig.drain()
    rig.pass_time(TIMEOUTS.drain)
    assert seen == ["cancelled"]
    assert rig.read() == b"bye"
    assert rig.over
    assert rig.counts() == (1, 1)
