"""Apps that are a Python function, which owns a connection until it returns."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from dataclasses import dataclass
from select import POLLIN, POLLOUT, poll
from typing import Annotated, Any, ClassVar

from pydantic import Field

from poolctl.errors import ClientGone
from poolctl.runtime.app import ConnectionApp, Surroundings
from poolctl.runtime.app.functions.target import load_function
from poolctl.runtime.protocol.output import Output
from poolctl.runtime.task import Peer

CHUNK_BYTES = 64 * 1024
Greets = Annotated[
    bool,
    Field(description="call the function when a client connects, before its first bytes, so that it can speak first"),
]


class StreamTimeout(TimeoutError):
    """The client kept the stream waiting for longer than the timeout."""


class Stream:
    """A connection as the function sees it.

    Every wait for the client has a timeout and raises TimeoutError when it expires. Methods raise ClientGone if the
    client reset the connection or no longer reads. At the end of the client's data they return b"".
    """

    def __init__(self, sock: socket.socket, received: bytes, idle: float, write: float, peer: Peer) -> None:
        """``received``: bytes that were read already; ``idle`` and ``write``: seconds that a single read or write may
        wait for the client; ``peer``: the addresses of both ends of the connection."""
        sock.setblocking(False)
        self.peer = peer
        self._sock = sock
        self._buffer = bytearray(received)
        self._idle = idle
        self._write = write
        self._ended = False

    def read(self, n: int = -1) -> bytes:
        """Return 1 to ``n`` bytes as soon as there are any, or all bytes until the end if ``n`` is negative."""
        if n < 0:
            while self._fill():
                pass
            n = len(self._buffer)
        elif n and not self._buffer:
            self._fill()
        return self._take(n)

    def readexactly(self, n: int) -> bytes:
        """Return exactly ``n`` bytes. Raises EOFError if the client ends before that."""
        while len(self._buffer) < n:
            if not self._fill():
                raise EOFError(f"the client ended after {len(self._buffer)} of {n} bytes")
        return self._take(n)

    def readline(self, limit: int = 65536) -> bytes:
        """Return a line with its \\n, which only the last line may lack. Raises ValueError if it is longer than
        ``limit`` bytes."""
        searched = 0
        while (newline := self._buffer.find(b"\n", searched)) < 0:
            searched = len(self._buffer)
            if searched > limit:
                break
            if not self._fill():
                return self._take(searched)
        size = searched if newline < 0 else newline + 1
        if size > limit:
            raise ValueError(f"the client sent a line of more than {limit} bytes")
        return self._take(size)

    def __iter__(self) -> Iterator[bytes]:
        """Return an iterator over the lines until the end."""
        return iter(self.readline, b"")

    def write(self, data: bytes) -> None:
        """Send all bytes."""
        view = memoryview(data)
        while view:
            try:
                view = view[self._sock.send(view) :]
            except BlockingIOError:
                self._wait(POLLOUT, self._write)
            except ConnectionError as error:
                raise ClientGone(str(error)) from None

    def _take(self, n: int) -> bytes:
        taken = bytes(self._buffer[:n])
        del self._buffer[:n]
        return taken

    def _fill(self) -> bool:
        """Wait for further bytes. Return False at the end of the client's data."""
        while not self._ended:
            try:
                data = self._sock.recv(CHUNK_BYTES)
            except BlockingIOError:
                self._wait(POLLIN, self._idle)
            except ConnectionError as error:
                raise ClientGone(str(error)) from None
            else:
                self._ended = not data
                self._buffer += data
                return bool(data)
        return False

    def _wait(self, event: int, seconds: float) -> None:
        poller = poll()
        poller.register(self._sock, event)
        if not poller.poll(seconds * 1000):
            what = "sent nothing" if event == POLLIN else "read nothing"
            raise StreamTimeout(f"the client {what} for {seconds:g} s")


@dataclass
class StreamApp(ConnectionApp):
    """Calls ``target`` with a ``Stream`` for each connection."""

    protocol: ClassVar[str] = "raw"

    target: Annotated[str, Field(min_length=1, description="package.module:callable, called with a Stream")]
    greets: Greets = False

    def load(self, surroundings: Surroundings) -> None:
        """Import the function. Raises AppError."""
        self._function = load_function(self.target, "stream")

    def serve(self, request: Any, out: Output) -> bool:
        """Raise TypeError: this app handles connections, not requests."""
        raise TypeError("a stream app owns its connection; call converse")

    def converse(self, sock: socket.socket, received: bytes, idle: float, write: float, peer: Peer) -> None:
        """Call the function. A timeout that it does not catch ends the conversation and is not an error."""
        try:
            self._function(Stream(sock, received, idle, write, peer))
        except StreamTimeout:
            return
