"""A request over a connection of asyncio, as the benchmarks send it."""

from __future__ import annotations

import asyncio


async def exchange(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, path: bytes) -> bool:
    """Send a request and read the response. Returns whether the connection stays open. Raises ValueError unless the
    status is 200, EOFError and OSError if the server ends the connection."""
    writer.write(b"GET %s HTTP/1.1\r\nHost: localhost\r\n\r\n" % path)
    head = (await reader.readuntil(b"\r\n\r\n")).lower()
    if not head.startswith(b"http/1.1 200") or b"content-length:" not in head:
        raise ValueError(head)
    await reader.readexactly(int(head.split(b"content-length:")[1].split(b"\r\n")[0]))
    return b"connection: close" not in head
