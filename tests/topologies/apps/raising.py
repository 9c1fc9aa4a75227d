"""Functions that raise what they are told to."""

from __future__ import annotations

import asyncio
from typing import Any

from adverse import RAISED, fail, say, user


async def raises(words: bytes) -> bytes:
    *when, word = words.decode().strip().split(" ")
    if when == ["later"]:
        await asyncio.sleep(0.001)
    if word == "forever":
        say("waits")
        try:
            await asyncio.sleep(60)
        finally:
            say("cleaned up")
    if word in RAISED:
        fail(word)
    return words


lines = frames = raises


async def stream(connection: Any) -> None:
    await connection.write(await raises(await connection.readline()))


async def whose_lines(line: bytes) -> bytes:
    before = user.get()
    user.set(line.decode())
    if line.startswith(b"later"):
        await asyncio.sleep(0.01)
    return before.encode()


async def whose_stream(connection: Any) -> None:
    await connection.write(await whose_lines(await connection.readline()) + b"\n")
