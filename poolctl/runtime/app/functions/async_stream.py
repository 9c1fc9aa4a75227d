"""An ``async def`` function that owns the connection until it returns."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import ClassVar, Protocol

from poolctl.runtime.app.functions.async_function import AsyncFunction
from poolctl.runtime.app.functions.stream import Greets, StreamTimeout
from poolctl.runtime.task import Peer

PIECE = 262144  # bytes of a write that are handed on at once


class Spoken(Protocol):
    """The conversation, as far as it matters here."""

    peer: Peer


class StreamOutput(Protocol):
    """What a stream asks of its connection. Its waits raise ClientGone, and StreamTimeout when they are too long."""

    received: bytearray  # what has come and was not taken

    @property
    def conversation(self) -> Spoken:
        """Whose connection it is."""

    @property
    def outbound(self) -> object:
        """Not None while the client has to take something first."""

    async def more(self) -> bool:
        """Wait for bytes; False at the end of what the client sends."""

    def take(self, size: int) -> bytes:
        """Up to so many of the bytes that have come."""

    def push(self, data: bytes) -> None:
        """Send, or keep for sending."""

    async def until_taken(self) -> None:
        """Wait until the client has taken what was written."""


class AsyncStream:
    """One connection, as the function sees it: a ``Stream`` whose waits are awaited.

    Every wait for the client is bounded, and raises TimeoutError at its end. A connection that the client reset, or
    reads no more, raises ClientGone, as does one whose function has returned. The end of what the client sends is b"".
    One task may read at a time; any number may write, each write goes out whole.
    """

    def __init__(self, connection: StreamOutput) -> None:
        self._connection = connection
        self._turn = asyncio.Lock()  # of a write that waits for the client

    @property
    def peer(self) -> Peer:
        """Both ends of the connection, as text."""
        return self._connection.conversation.peer

    async def read(self, n: int = -1) -> bytes:
        """Up to ``n`` bytes, at least one, as soon as there are any; all until the end where ``n`` is negative."""
        connection = self._connection
        if n < 0:
            while await connection.more():
                pass
            n = len(connection.received)
        elif n and not connection.received:
            await connection.more()
        return connection.take(n)

    async def readexactly(self, n: int) -> bytes:
        """``n`` bytes. Raises EOFError when the client ends before."""
        connection = self._connection
        while len(connection.received) < n:
            if not await connection.more():
                raise EOFError(f"the client ended after {len(connection.received)} of {n} bytes")
        return connection.take(n)

    async def readline(self, limit: int = 65536) -> bytes:
        """A line with its \\n; without one only at the end. Raises ValueError for more than ``limit`` bytes."""
        connection = self._connection
        searched = 0
        while (newline := connection.received.find(b"\n", searched)) < 0:
            searched = len(connection.received)
            if searched > limit:
                break
            if not await connection.more():
                return connection.take(searched)
        size = searched if newline < 0 else newline + 1
        if size > limit:
            raise ValueError(f"the client sent a line of more than {limit} bytes")
        return connection.take(size)

    def __aiter__(self) -> AsyncStream:
        """The lines until the end."""
        return self

    async def __anext__(self) -> bytes:
        line = await self.readline()
        if not line:
            raise StopAsyncIteration
        return line

    async def write(self, data: bytes) -> None:
        """Send all of it; returns when the client has taken it."""
        connection = self._connection
        if connection.outbound is None and len(data) <= PIECE and not self._turn.locked():
            connection.push(data if type(data) is bytes else bytes(memoryview(data)))
        else:
            view = memoryview(data)
            async with self._turn:
                for start in range(0, len(view), PIECE):
                    await connection.until_taken()
                    connection.push(bytes(view[start : start + PIECE]))
        if connection.outbound is not None:
            await connection.until_taken()

    async def drain(self) -> None:
        """Until the client has taken what any task has written."""
        async with self._turn:
            await self._connection.until_taken()


@dataclass
class AsyncStreamApp(AsyncFunction):
    """Awaits ``target`` with an ``AsyncStream`` for each connection."""

    protocol: ClassVar[str] = "raw"
    word: ClassVar[str] = "async-stream"
    owns_connection: ClassVar[bool] = True

    greets: Greets = False

    async def converse(self, connection: StreamOutput) -> None:
        """Call the function. A timeout that it lets pass ends the conversation and is no error."""
        try:
            await self._function(AsyncStream(connection))
        except StreamTimeout:
            return
