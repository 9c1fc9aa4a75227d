"""A function that owns the connection until it returns."""

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

CHUNK = 64 * 1024
Greets = Annotated[
    bool,
    Field(description="call the function when a client comes, so that it may speak first; else with its first bytes"),
]


class StreamTimeout(TimeoutError):
    """The client kept the stream waiting for longer than its timeout."""


class Stream:
    """One connection, as the function sees it.

    Every wait for the client is bounded, and raises TimeoutError at its end. A connection that the client reset, or
    reads no more, raises ClientGone. The end of what the client sends is b"".
    """

    def __init__(self, sock: socket.socket, received: bytes, idle: float, write: float, peer: Peer) -> None:
        """``received`` came before; ``idle`` and ``write`` are the seconds of one wait for the client; ``peer``: both
        ends of the connection, as text."""
        sock.setblocking(False)
        self.peer = peer
        self._sock = sock
        self._buffer = bytearray(received)
        self._idle = idle
        self._write = write
        self._ended = False

    def read(self, n: int = -1) -> bytes:
        """Up to ``n`` bytes, at least one, as soon as there are any; all until the end where ``n`` is negative."""
        if n < 0:
            while self._fill():
                pass
            n = len(self._buffer)
        elif n and not self._buffer:
            self._fill()
        return self._take(n)

    def readexactly(self, n: int) -> bytes:
        """``n`` bytes. Raises EOFError when the client ends before."""
        while len(self._buffer) < n:
            if not self._fill():
                raise EOFError(f"the client ended after {len(self._buffer)} of {n} bytes")
        return self._take(n)

    def readline(self, limit: int = 65536) -> bytes:
        """A line with its \\n; without one only at the end. Raises ValueError for more than ``limit`` bytes."""
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
        """The lines until the end."""
        return iter(self.readline, b"")

    def write(self, data: bytes) -> None:
        """Send all of it."""
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
        """Wait for more; False at the end."""
        while not self._ended:
            try:
                data = self._sock.recv(CHUNK)
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
        """Import the function."""
        self._function = load_function(self.target, "stream")

    def serve(self, request: Any, out: Output) -> bool:
        """Raises TypeError: this app is given connections, not requests."""
        raise TypeError("a stream app owns its connection; call converse")

    def converse(self, sock: socket.socket, received: bytes, idle: float, write: float, peer: Peer) -> None:
        """Call the function. A timeout that it lets pass ends the conversation and is no error."""
        try:
            self._function(Stream(sock, received, idle, write, peer))
        except StreamTimeout:
            return
