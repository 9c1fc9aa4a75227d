"""Apps that are an ``async def`` function, which owns a connection until it returns."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import ClassVar, Protocol

from poolctl.runtime.app.functions.async_function import AsyncFunction
from poolctl.runtime.app.functions.stream import Greets, StreamTimeout
from poolctl.runtime.task import Peer

WRITE_BYTES = 262144  # bytes of a write that are passed to the connection at once


class Spoken(Protocol):
    """What a stream needs of the conversation."""

    peer: Peer


class StreamOutput(Protocol):
    """What a stream needs of its connection. Waits raise ClientGone if the client has left, and StreamTimeout if they
    take too long."""

    received: bytearray  # received bytes that were not taken yet

    @property
    def conversation(self) -> Spoken:
        """The conversation on this connection."""

    @property
    def outbound(self) -> object:
        """Not None while bytes are waiting for the client to take them."""

    async def more(self) -> bool:
        """Wait for further bytes. Return False if the client has ended its direction."""

    def take(self, size: int) -> bytes:
        """Remove and return up to ``size`` received bytes."""

    def push(self, data: bytes) -> None:
        """Send the bytes, or queue them until the client takes more."""

    async def until_taken(self) -> None:
        """Wait until the client has taken all queued bytes."""


class AsyncStream:
    """A connection as the function sees it: the asynchronous counterpart of ``Stream``.

    Every wait for the client has a timeout and raises TimeoutError when it expires. Methods raise ClientGone if the
    client reset the connection or no longer reads, and after the function has returned. At the end of the client's data
    they return b"". Only one task may read at a time; any number may write, and writes are never interleaved.
    """

    def __init__(self, connection: StreamOutput) -> None:
        self._connection = connection
        self._turn = asyncio.Lock()  # held by a write while it waits for the client

    @property
    def peer(self) -> Peer:
        """The addresses of both ends of the connection."""
        return self._connection.conversation.peer

    async def read(self, n: int = -1) -> bytes:
        """Return 1 to ``n`` bytes as soon as there are any, or all bytes until the end if ``n`` is negative."""
        connection = self._connection
        if n < 0:
            while await connection.more():
                pass
            n = len(connection.received)
        elif n and not connection.received:
            await connection.more()
        return connection.take(n)

    async def readexactly(self, n: int) -> bytes:
        """Return exactly ``n`` bytes. Raises EOFError if the client ends before that."""
        connection = self._connection
        while len(connection.received) < n:
            if not await connection.more():
                raise EOFError(f"the client ended after {len(connection.received)} of {n} bytes")
        return connection.take(n)

    async def readline(self, limit: int = 65536) -> bytes:
        """Return a line with its \\n, which only the last line may lack. Raises ValueError if it is longer than
        ``limit`` bytes."""
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
        """Return the iterator over the lines until the end: the stream itself."""
        return self

    async def __anext__(self) -> bytes:
        line = await self.readline()
        if not line:
            raise StopAsyncIteration
        return line

    async def write(self, data: bytes) -> None:
        """Send all bytes. Return when the client has taken them."""
        connection = self._connection
        if connection.outbound is None and len(data) <= WRITE_BYTES and not self._turn.locked():
            connection.push(data if type(data) is bytes else bytes(memoryview(data)))
        else:
            view = memoryview(data)
            async with self._turn:
                for start in range(0, len(view), WRITE_BYTES):
                    await connection.until_taken()
                    connection.push(bytes(view[start : start + WRITE_BYTES]))
        if connection.outbound is not None:
            await connection.until_taken()

    async def drain(self) -> None:
        """Wait until the client has taken the writes of all tasks."""
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
        """Await the function. A timeout that it does not catch ends the conversation and is not an error."""
        try:
            await self._function(AsyncStream(connection))
        except StreamTimeout:
            return
