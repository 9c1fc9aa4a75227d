"""A small HTTP client over a plain socket: it shows every byte and keeps its connection until told otherwise."""

from __future__ import annotations

import contextlib
import socket
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Self

from harness.machine import PATIENCE


@dataclass
class Response:
    status: int
    headers: dict[str, str] = field(default_factory=dict)  # names in lower case
    body: bytes = b""

    @property
    def worker(self) -> str:
        """Which worker of the demo app answered: "worker 3", or "worker 3.1" for a thread of it."""
        return self.headers["x-worker"]

    @property
    def process(self) -> int:
        return int(self.headers["x-process"])


class Client:
    """One connection. Raises EOFError where the server closes before a response is complete."""

    def __init__(self, port: int, *, source: str = "127.0.0.1", timeout: float = PATIENCE) -> None:
        self.sock = socket.create_connection(("127.0.0.1", port), timeout, source_address=(source, 0))
        if self.sock.getsockname() == self.sock.getpeername():
            self.sock.close()  # the port was free, and the kernel chose it for us too: connected to ourselves
            raise ConnectionRefusedError(f"nobody listens on port {port}")
        self._file = self.sock.makefile("rb")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *raised: object) -> None:
        self.close()

    def close(self) -> None:
        self._file.close()
        self.sock.close()

    def reset(self) -> None:
        """Close with a reset instead of an orderly end (SO_LINGER, socket(7))."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close()

    def send(self, data: bytes) -> None:
        self.sock.sendall(data)

    def ask(
        self,
        target: str = "/",
        *,
        method: str = "GET",
        body: bytes = b"",
        close: bool = False,
        headers: Sequence[str] = (),
    ) -> None:
        """Send a request; its response is read with ``answer``. ``headers``: whole lines."""
        lines = [f"{method} {target} HTTP/1.1", "Host: localhost", *headers]
        if body:
            lines.append(f"Content-Length: {len(body)}")
        if close:
            lines.append("Connection: close")
        self.send("\r\n".join([*lines, "", ""]).encode() + body)

    def answer(self, *, head: bool = False) -> Response:
        """The next response; ``head`` when it answers a HEAD request and has no body."""
        line = self._line()
        response = Response(int(line.split(b" ")[1]))
        while line := self._line():
            name, _, value = line.decode("latin-1").partition(":")
            response.headers[name.lower()] = value.strip()
        if head or response.status in (204, 304) or response.status < 200:
            return response
        if response.headers.get("transfer-encoding") == "chunked":
            chunks = []
            while size := int(self._line(), 16):
                chunks.append(self._exactly(size))
                self._line()
            self._line()
            response.body = b"".join(chunks)
        elif "content-length" in response.headers:
            response.body = self._exactly(int(response.headers["content-length"]))
        else:
            response.body = self._file.read()
        return response

    def get(self, target: str = "/", *, close: bool = False) -> Response:
        """A request and its response."""
        self.ask(target, close=close)
        return self.answer()

    def line(self) -> bytes:
        """One line, for protocols of lines; empty at the end."""
        return self._file.readline()

    def until_end(self) -> bytes:
        """What comes before the connection ends, by close or reset."""
        data = b""
        with contextlib.suppress(ConnectionResetError):
            while piece := self.sock.recv(65536):
                data += piece
        return data

    def at_end(self) -> bool:
        """Wait for what comes next: whether it is the end of the connection, by close or reset."""
        try:
            return self._file.read(1) == b""
        except ConnectionResetError:
            return True

    def _line(self) -> bytes:
        line = self._file.readline()
        if not line.endswith(b"\n"):
            raise EOFError(f"the connection ended in the head of a response: {line!r}")
        return line.rstrip(b"\r\n")

    def _exactly(self, size: int) -> bytes:
        data = self._file.read(size)
        if len(data) < size:
            raise EOFError(f"the connection ended after {len(data)} of {size} bytes")
        return data


def get(port: int, target: str = "/", *, source: str = "127.0.0.1", timeout: float = PATIENCE) -> Response:
    """One request on a connection of its own, which ends with it."""
    with Client(port, source=source, timeout=timeout) as client:
        return client.get(target, close=True)


@contextlib.contextmanager
def clients(port: int, count: int, *, timeout: float = PATIENCE) -> Iterator[list[Client]]:
    """So many open connections."""
    with contextlib.ExitStack() as stack:
        yield [stack.enter_context(Client(port, timeout=timeout)) for _ in range(count)]
