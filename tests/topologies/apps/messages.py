"""Functions for lines, frames and streams, called or awaited. What a test wants to know of them is on stderr."""

from __future__ import annotations

import asyncio
import sys
from typing import Any


def say(*words: object) -> None:
    sys.stderr.write(" ".join(map(str, words)) + "\n")
    sys.stderr.flush()


def frame(data: bytes) -> bytes | None:
    """Upper case; "nothing" is not answered, "bytes N" with so many, "raise" raises."""
    command, _, number = data.partition(b" ")
    if command == b"nothing":
        return None
    if command == b"bytes":
        return b"x" * int(number)
    if command == b"raise":
        raise ValueError("on purpose")
    return data.upper()


async def slow_frame(data: bytes) -> bytes | None:
    await asyncio.sleep(0.001)
    return frame(data)


async def line(request: bytes) -> bytes | str | None:
    """Upper case; "sleep SECONDS" first sleeps, "wait" waits for "go" of another connection, "cancel" is cancelled,
    "note" is not answered and counted, "noted" tells the count."""
    command, _, rest = request.partition(b" ")
    if command == b"note":
        await asyncio.sleep(0)
        _notes.append(request)
        return None
    if command == b"noted":
        return str(len(_notes))
    if command == b"sleep":
        say("sleeps", rest.decode())
        await asyncio.sleep(float(rest))
    elif command == b"wait":
        say("waits")
        await gate().wait()
    elif command == b"go":
        gate().set()
    elif command == b"cancel":
        raise asyncio.CancelledError
    elif command in (b"nothing", b"bytes", b"raise"):
        if command == b"bytes":
            say("bytes")
        return frame(request)
    return request.decode().upper()


async def page(scope: Any, receive: Any, send: Any) -> None:
    """As an ASGI application."""
    if scope["type"] != "http":
        raise NotImplementedError
    await asyncio.sleep(0.1)
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"sleep 0.1\n"})


_notes: list[bytes] = []
_gates: list[asyncio.Event] = []


def gate() -> asyncio.Event:
    if not _gates:
        _gates.append(asyncio.Event())
    return _gates[0]


rooms: set[Any] = set()
kept: list[Any] = []


async def stream(stream: Any) -> None:
    """A greeting, then one answer for each line; each command shows something that a stream can do."""
    await stream.write(b"hello " + stream.peer.client_port.encode() + b"\n")
    rooms.add(stream)
    try:
        async for each in stream:
            command, *words = each.decode().split()
            await globals()[f"do_{command}"](stream, *words)
    finally:
        rooms.discard(stream)


async def do_upper(stream: Any, word: str) -> None:
    await stream.write(word.upper().encode() + b"\n")


async def do_sum(stream: Any, count: str) -> None:
    await stream.write(b"%d\n" % sum(await stream.readexactly(int(count))))


async def do_rest(stream: Any) -> None:
    await stream.write(b"%d\n" % len(await stream.read()))


async def do_tell(stream: Any, word: str) -> None:
    """To everybody."""
    await asyncio.gather(*(each.write(word.encode() + b"\n") for each in rooms))


async def do_bytes(stream: Any, count: str) -> None:
    await asyncio.gather(*(stream.write(bytes([65 + number]) * int(count)) for number in range(3)))
    await stream.drain()
    say("sent")


async def do_keep(stream: Any, word: str) -> None:
    kept.append(stream)
    raise ValueError("on purpose")


async def do_use(stream: Any) -> None:
    for act in (kept[0].read(1), kept[0].write(b"x"), kept[0].drain()):
        try:
            await act
        except ConnectionError as error:
            await stream.write(type(error).__name__.encode() + b"\n")


async def do_patience(stream: Any) -> None:
    """Waits in vain, twice: a wait of its own, and one for the client."""
    try:
        await asyncio.wait_for(stream.readline(), 0.01)
    except TimeoutError as error:
        await stream.write(type(error).__name__.encode() + b"\n")
    await stream.readline()


async def do_two(stream: Any) -> None:
    one = asyncio.ensure_future(stream.readline())
    await asyncio.sleep(0)
    try:
        await stream.read(1)
    except RuntimeError as error:
        await stream.write(str(error).encode() + b"\n")
    await stream.write(await one)


def greeting(stream: Any) -> None:
    """The same with a function that is called."""
    stream.write(b"hello " + stream.peer.client_port.encode() + b"\n")
    for each in stream:
        stream.write(each.upper())
