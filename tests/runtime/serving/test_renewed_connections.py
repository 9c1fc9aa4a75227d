"""Connections that serve one client after another: no client can tell, and none sees what another has left.

Each case is played twice: to a loop that uses its closed connections again, and to one that makes each anew.
"""

from __future__ import annotations

import re
import socket
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import pytest
from harness.forms import drawn
from harness.phase_rig import ServedRig, row
from hypothesis import given
from hypothesis import strategies as st

from poolctl.errors import ClientGone
from poolctl.runtime.app import Surroundings
from poolctl.runtime.app.wsgi.app import WsgiApp
from poolctl.runtime.listen.door import Door
from poolctl.runtime.protocol import Provisions
from poolctl.runtime.protocol.http.forwarded import Forwarded
from poolctl.runtime.protocol.http.protocol import Http
from poolctl.runtime.serving.connection import SPARE_CONNECTIONS, Connection
from poolctl.runtime.serving.kinds import connection_of
from poolctl.runtime.serving.phases import CLOSED
from poolctl.runtime.serving.service import Service
from poolctl.runtime.system.poller import IN, OUT
from poolctl.runtime.task import Peer

DATE = re.compile(rb"Date: [^\r]*\r\n")


def echo(environ: dict[str, Any], start_response: Any) -> list[bytes]:
    """Respond with all that the app has been told about the request and its client."""
    told = {key: str(value) for key, value in environ.items() if not key.startswith("wsgi.")}
    body = repr((sorted(told.items()), environ["wsgi.url_scheme"], environ["wsgi.input"].read())).encode()
    if environ["PATH_INFO"] == "/raises":
        raise ValueError("as asked")
    if environ["PATH_INFO"] == "/chunks":
        start_response("200 OK", [])
        return [body[:10], body[10:]]
    start_response("200 OK", [("Content-Length", str(len(body)))])
    return [body]


class Echo(WsgiApp):
    def find(self) -> Any:
        return echo


class MixRig(ServedRig):
    """A loop with real HTTP, and any number of clients. ``renews``: it uses closed connections again; ``shared``: they
    are those of a loop that several threads may run."""

    def __init__(
        self, *, renews: bool = True, shared: bool = False, application: Any = echo, trusts: tuple[str, ...] = ()
    ) -> None:
        protocol = Http()
        protocol.provision(Provisions(forwarded=Forwarded(trusts, "x-forwarded-for") if trusts else None))
        super().__init__(protocol)
        self.near.close()
        protocol.renews = renews
        app = Echo()
        app.load(Surroundings(multithread=False, multiprocess=False))
        app._calls.application = application
        new: Any = connection_of(app, shared=shared)
        self.made: list[Any] = []

        def make(*args: Any) -> Any:
            self.made.append(new(*args))
            return self.made[-1]

        self.loop._new = make
        self.service = Service(app, protocol, row())
        self.door = Door(protocol)
        self.clients: dict[int, tuple[socket.socket, Any, int]] = {}

    def newcomer(self, number: int, data: bytes = b"") -> None:
        """A client, whose address depends on its number, and whose first bytes come with it."""
        near, client = socket.socketpair()
        for sock in (near, client):
            sock.setblocking(False)
        client.sendall(data)
        fd = near.detach()
        self.loop.accept(fd, Peer("127.0.0.1", str(10000 + number), "127.0.0.1", "8000"), self.service, self.door)
        self.clients[number] = client, self.loop.handlers.get(fd), fd

    def send(self, number: int, data: bytes) -> None:  # type: ignore[override]
        """This client sends, and the loop hears of it."""
        client, connection, fd = self.clients[number]
        with suppress(OSError):  # its connection was closed
            client.sendall(data)
        self._event(connection, fd, IN)

    def _event(self, connection: Any, fd: int, mask: int) -> None:
        if connection is not None and self.loop.handlers.get(fd) is connection and self.poller.waits_for(fd) & mask:
            self.loop.deliver(connection, mask, self.service)

    def read(self, number: int) -> bytes:  # type: ignore[override]
        """All that this client gets, but for the date. Empty at the end, too."""
        client, connection, fd = self.clients[number]
        data = b""
        with suppress(BlockingIOError, ConnectionResetError):
            while piece := client.recv(65536):
                data += piece
                self._event(connection, fd, OUT)
        return DATE.sub(b"", data)

    def leave(self, number: int, *, half: bool = False) -> None:
        """This client ends its side, or leaves."""
        client, connection, fd = self.clients[number]
        with suppress(OSError):
            client.shutdown(socket.SHUT_WR if half else socket.SHUT_RDWR)
        self._event(connection, fd, IN)

    @property
    def phase(self) -> Any:
        return CLOSED

    def close(self) -> None:
        for handler in list(self.loop.handlers.values()):
            if isinstance(handler, Connection):
                handler.close(self.service)
        for client, _, _ in self.clients.values():
            client.close()
        super().close()


@pytest.fixture
def rigs() -> Iterator[Callable[..., MixRig]]:
    made: list[MixRig] = []

    def make(**how: Any) -> MixRig:
        made.append(MixRig(**how))
        return made[-1]

    yield make
    for rig in made:
        rig.close()


REQUESTS = [
    b"GET / HTTP/1.1\r\nHost: a\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
    b"GET /x?y=1 HTTP/1.1\r\nHost: b\r\nCookie: secret=1\r\nConnection: close\r\n\r\n",
    b"HEAD / HTTP/1.1\r\nHost: a\r\n\r\n",
    b"HEAD / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
    b"GET / HTTP/1.0\r\n\r\n",
    b"GET /old HTTP/1.0\r\nHost: a\r\n\r\n",  # headers as of the first, in a version that closes
    b"GET /new HTTP/1.1\r\nHost: a\r\n\r\n",
    b"GET / HTTP/1.0\r\nHost: a\r\nConnection: keep-alive\r\n\r\n",
    b"GET /chunks HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
    b"GET /chunks HTTP/1.0\r\n\r\n",
    b"GET /raises HTTP/1.1\r\nHost: a\r\n\r\n",
    b"POST /p HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello",
    b"POST /p HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello",
    b"POST /p HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
    b"POST /p HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\nExpect: 100-continue\r\nConnection: close\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 192.0.2.7\r\nConnection: close\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: a\r\nProxy-Connection: close\r\n\r\n",
    b"PURGE /x HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
    b"GET http://c/abs HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
    b"GET / HTTP/1.1\r\n\r\n",  # no host
    b"GET  / HTTP/1.1\r\nHost: a\r\n\r\n",
    b"GET / HTTP/2.5\r\nHost: a\r\n\r\n",
    b"\x16\x03\x01\x02\x00",
    b"\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n",
    b"POST /p HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
]
# (client, kind, request, where it is split)
steps = st.lists(
    st.tuples(st.integers(0, 3), st.integers(0, 9), st.integers(0, len(REQUESTS) - 1), st.integers(0, 120)),
    min_size=4,
    max_size=40,
)


def play(rig: MixRig, sequence: list[tuple[int, int, int, int]]) -> list[tuple[int, bytes]]:
    """Let four clients at a time do what was drawn; whoever leaves is followed by another. Returns what each got."""
    current = list(range(4))
    following = 4
    got: list[tuple[int, bytes]] = []
    for number in current:
        rig.newcomer(number)
    for which, kind, request, split in sequence:
        number = current[which]
        data = REQUESTS[request]
        if kind < 4:
            rig.send(number, data)
        elif kind < 6:
            rig.send(number, data[:split])
        elif kind == 6:
            rig.send(number, data[split:])
        elif kind == 7:
            rig.send(number, data + REQUESTS[split % len(REQUESTS)])
        else:
            rig.leave(number, half=kind == 8)
        got.append((number, rig.read(number)))
        client, connection, fd = rig.clients[number]
        while rig.loop.handlers.get(fd) is not connection or connection is None:
            got.append((number, rig.read(number)))
            client.close()
            current[which] = number = following
            rig.newcomer(number, REQUESTS[(request + split + number) % len(REQUESTS)] if split % 3 else b"")
            got.append((number, rig.read(number)))
            client, connection, fd = rig.clients[number]
            following += 1
    return got


@drawn(150)
@given(steps, st.booleans(), st.booleans())
def test_no_client_can_tell(sequence: list[tuple[int, int, int, int]], trusted: bool, shared: bool) -> None:
    heard = []
    for renews in (True, False):
        rig = MixRig(renews=renews, shared=shared, trusts=("127.0.0.1",) if trusted else ())
        try:
            heard.append(play(rig, sequence))
            if not renews:
                assert len(rig.made) == len(rig.clients)
        finally:
            rig.close()
    assert heard[0] == heard[1]


CLOSING = REQUESTS[1]
MALFORMED = b"GET  / HTTP/1.1\r\nHost: a\r\n\r\n"


def test_one_connection_serves_one_client_after_another(rigs: Callable[..., MixRig]) -> None:
    rig = rigs()
    heard = []
    for number in range(5):
        rig.newcomer(number)
        rig.send(number, CLOSING)
        heard.append(rig.read(number))
        assert str(10000 + number).encode() in heard[-1]
    assert len(rig.made) == 1
    assert rig.loop.open == 0


def test_a_client_that_leaves_an_idle_connection_makes_room_for_another(rigs: Callable[..., MixRig]) -> None:
    rig = rigs()
    for number in range(3):
        rig.newcomer(number)
        rig.send(number, REQUESTS[0])
        rig.leave(number)
    assert len(rig.made) == 1


@pytest.mark.parametrize("shared", [False, True])
def test_what_has_failed_in_the_middle_of_a_head_serves_another_client(
    rigs: Callable[..., MixRig], shared: bool
) -> None:
    rig = rigs(shared=shared)
    heard = []
    for number in range(4):
        rig.newcomer(number, MALFORMED if number % 2 == 0 else CLOSING)
        heard.append(rig.read(number)[9:12])
    assert heard == [b"400", b"200"] * 2


def test_headers_that_came_in_an_older_version_close_no_other_connection(rigs: Callable[..., MixRig]) -> None:
    rig = rigs()
    rig.newcomer(0)
    for line in (b"GET /a HTTP/1.1", b"GET /b HTTP/1.0"):
        rig.send(0, line + b"\r\nHost: a\r\n\r\n")
    for number in (1, 2):
        rig.newcomer(number)
        rig.send(number, b"GET /%d HTTP/1.1\r\nHost: a\r\n\r\n" % number)
        assert b"Connection: close" not in rig.read(number)
        assert rig.clients[number][1] in rig.loop.handlers.values()
        rig.leave(number)
    assert len(rig.made) == 1


def test_a_connection_that_failed_serves_no_other_client(rigs: Callable[..., MixRig]) -> None:
    rig = rigs()
    rig.newcomer(0)
    rig.loop.fail(rig.clients[0][1], rig.service, ValueError("a bug"))
    rig.newcomer(1)
    assert len(rig.made) == 2


def test_they_are_bounded(rigs: Callable[..., MixRig]) -> None:
    rig = rigs()
    count = SPARE_CONNECTIONS + 10
    rig.loop.limit_to(count)
    for number in range(count):
        rig.newcomer(number)
    for number in range(count):
        rig.send(number, CLOSING)
    (spares,) = rig.loop._spares.values()
    assert len(spares) == SPARE_CONNECTIONS


def test_what_an_application_writes_too_late_reaches_nobody(rigs: Callable[..., MixRig]) -> None:
    kept: list[Any] = []

    def keeps_write(environ: Any, start_response: Any) -> Iterator[bytes]:
        kept.append(start_response("200 OK", []))
        return iter([b"ok"])

    rig = rigs(application=keeps_write)
    rig.newcomer(0)
    rig.send(0, CLOSING)
    rig.newcomer(1)
    with pytest.raises(ClientGone):
        kept[0](b"for the client that has left")
    rig.send(1, CLOSING)
    assert len(rig.made) == 1
    assert rig.read(1).endswith(b"\r\n\r\n2\r\nok\r\n0\r\n\r\n")
