"""Clients that count every answer while a server changes: busy, idle and short-lived connections of HTTP/1.1."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Self

from harness.machine import PATIENCE
from harness.server import wait_until

REQUEST = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"


class Unexpected(Exception):
    """An answer that a client of an unchanged server would not have got."""


def exchange(sock: socket.socket) -> bool:
    """Send a request and read its response, which has a length. Returns whether it says that it is the last. Raises
    Unexpected, and OSError as a socket does."""
    sock.sendall(REQUEST)
    data = b""
    while b"\r\n\r\n" not in data:
        data += _more(sock, data)
    head, _, body = data.partition(b"\r\n\r\n")
    lowered = head.lower()
    if not head.startswith(b"HTTP/1.1 200 "):
        raise Unexpected(head.decode("latin-1"))
    length = int(lowered.partition(b"\r\ncontent-length:")[2].partition(b"\r\n")[0])
    while len(body) < length:
        body += _more(sock, data)
    return b"connection: close" in lowered


def _more(sock: socket.socket, data: bytes) -> bytes:
    more = sock.recv(65536)
    if not more:
        raise Unexpected(f"closed after {data!r}")
    return more


@dataclass
class Load:
    """Clients of one port: ``busy`` send a request every few milliseconds, ``idle`` every second, each over one
    connection; ``short`` open a connection for each request. ``tls``: what they trust; then a response may say that it
    is the last, which is unexpected otherwise."""

    port: int
    busy: int = 4
    idle: int = 4
    short: int = 2
    tls: ssl.SSLContext | None = None
    answers: int = 0
    failures: list[str] = field(default_factory=list)
    _over: threading.Event = field(default_factory=threading.Event)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _threads: list[threading.Thread] = field(default_factory=list)

    def _connect(self) -> socket.socket:
        sock = socket.create_connection(("127.0.0.1", self.port))
        sock.settimeout(PATIENCE)
        return sock if self.tls is None else self.tls.wrap_socket(sock, server_hostname="localhost")

    def _kept(self, pause: float) -> None:
        with self._connect() as sock:
            while not self._over.is_set():
                last = exchange(sock)
                self._count()
                if last and self.tls is None:
                    raise Unexpected("the connection ends")
                if last:
                    return
                self._over.wait(pause)

    def _short(self) -> None:
        while not self._over.is_set():
            with self._connect() as sock:
                exchange(sock)
            self._count()
            self._over.wait(0.01)

    def _count(self) -> None:
        with self._lock:
            self.answers += 1

    def _watched(self, work: Callable[[], None], kind: str) -> None:
        while not self._over.is_set():
            try:
                work()
            except (OSError, Unexpected) as error:
                self.failures.append(f"{kind}: {error!r}")

    def __enter__(self) -> Self:
        kinds = [("busy", lambda: self._kept(0.01))] * self.busy + [("idle", lambda: self._kept(1.0))] * self.idle
        for kind, work in [*kinds, *[("short", self._short)] * self.short]:
            thread = threading.Thread(target=self._watched, args=(work, kind), daemon=True)
            self._threads.append(thread)
            thread.start()
        self.goes_on()
        return self

    def goes_on(self, answers: int = 50) -> None:
        """Wait for so many further answers."""
        least = self.answers + answers
        wait_until(lambda: self.answers >= least, f"{answers} further answers")

    def __exit__(self, *raised: object) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join(PATIENCE)
            assert not thread.is_alive()
