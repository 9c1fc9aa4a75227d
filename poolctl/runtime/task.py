"""The unit of dispatch: a task, and the two ends of its connection."""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import Final, NamedTuple, Protocol
from urllib.parse import unquote

from poolctl.runtime.system.poller import ERR, HUP
from poolctl.runtime.system.state import state

INCOMING_CPU: Final = getattr(socket, "SO_INCOMING_CPU", 49)  # the name is new in Python 3.11


class Peer(NamedTuple):
    """Both ends of one connection, as text. Ports are decimal; a unix socket has its path as host and no port.
    ``subject`` is that of the client's certificate (RFC 4514), empty if it presented none."""

    client_host: str
    client_port: str
    server_host: str
    server_port: str
    subject: str = ""

    @property
    def client(self) -> str:
        """The client, for the log: "192.0.2.7:40000", or "a unix socket" where it has no port."""
        host = f"[{self.client_host}]" if ":" in self.client_host else self.client_host
        return f"{host}:{self.client_port}" if self.client_port else "a unix socket"


NOBODY: Final = Peer("-", "-", "", "")  # an unknown client
# Makes a Peer of a tuple with all its fields, where each new connection needs one: Peer() takes three times as long.
new_peer: Final[Callable[[type[Peer], tuple[str, ...]], Peer]] = tuple.__new__


class Asked(Protocol):
    """The head of a request as the front has read it, for instance an ``HttpRequest``."""

    method: str
    target: bytes
    headers: list[tuple[bytes, bytes]]


class Task(NamedTuple):
    """The unit of dispatch: a new connection, or one ready request on a connection. Immutable.

    ``peer``     both ends of the connection
    ``arrived``  when the front accepted it, in seconds of the monotonic clock
    ``kind``     its class, once ``Dispatch.classify`` has named it
    ``asked``    the head of the request if the front has read one: under half-sync/half-reactive with the protocol
                 http, for a strategy or an affinity that ``inspects`` it; otherwise None
    """

    peer: Peer
    arrived: float = 0.0
    asked: Asked | None = None
    descriptor: int = -1  # of the connection, under half-sync/half-reactive; else -1. Not to be read from
    line: bytes = b""  # the request line, under half-sync/half-reactive with the protocol http
    kind: str = ""  # its class, once ``Dispatch.classify`` has named it

    @property
    def cpu(self) -> int:
        """The CPU on which the connection's last packet arrived (SO_INCOMING_CPU, socket(7)); -1 if unknown: behind
        TLS, for unix sockets, and on systems other than Linux."""
        if self.descriptor < 0:
            return -1
        sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM, 0, self.descriptor)
        try:
            return sock.getsockopt(socket.SOL_SOCKET, INCOMING_CPU)
        except OSError:
            return -1
        finally:
            sock.detach()  # it stays the front's

    @property
    def left(self) -> bool:
        """Whether its client has left with a reset, at the price of a system call."""
        if self.descriptor < 0:
            return False
        found = state(self.descriptor)
        return bool(found & ERR or (found & HUP and self.peer.client_port))  # see serving/leaving.py

    @property
    def client(self) -> str:
        """The client's address: "192.0.2.7", or for a unix socket its path."""
        return self.peer.client_host

    @property
    def method(self) -> str:
        """The method, "GET"; empty where no request was read."""
        if self.asked is None:
            return self.line.partition(b" ")[0].decode("latin-1")
        return self.asked.method

    @property
    def path(self) -> str:
        """The path of the target without its query, percent-decoded (RFC 3986, 3.3); empty where no request was
        read."""
        whole = self.line.partition(b" ")[2].partition(b" ")[0] if self.asked is None else self.asked.target
        if not whole:
            return ""
        target = whole.partition(b"?")[0]
        if not target.startswith((b"/", b"*")):  # absolute form (RFC 9112, 3.2.2)
            target = b"/" + target.partition(b"://")[2].partition(b"/")[2]  # an empty path is / (RFC 9110, 4.2.3)
        return unquote(target.decode("latin-1"), "utf-8", "replace")

    def header(self, name: str) -> str | None:
        """The value of a header, found without regard to the case of its name; several values are joined by ", "
        (RFC 9110, 5.2). None if there is none."""
        if self.asked is None:
            return None
        wanted = name.lower().encode("latin-1", "replace")
        found = [value for key, value in self.asked.headers if key.lower() == wanted]
        return b", ".join(found).decode("latin-1") if found else None

    def cookie(self, name: str) -> str | None:
        """The value of a cookie (RFC 6265, 5.4); None if there is none, or no request was read."""
        if self.asked is None:
            return None
        for key, value in self.asked.headers:
            if key.lower() == b"cookie":
                for pair in value.split(b";"):
                    found, equals, text = pair.strip().partition(b"=")
                    if equals and found.rstrip() == name.encode("latin-1", "replace"):
                        return text.strip().strip(b'"').decode("latin-1")
        return None
