"""The connection that a front holds, beyond its phases (see serving/test_phases.py): what comes ahead, what is asked
for before a body, resets, what raises, and health checks."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from harness.front_rig import Client, FrontRig

from poolctl.runtime.buffers.outbound import Outbound
from poolctl.runtime.loop.farewells import Lingering
from poolctl.runtime.ownership.half_sync_half_reactive.front_thread import ThreadLendingFront
from poolctl.runtime.ownership.half_sync_half_reactive.held_connection import AHEAD_BYTES
from poolctl.runtime.protocol.http.protocol import Http
from poolctl.runtime.protocol.lines import Lines
from poolctl.runtime.serving.health import HealthCheck
from poolctl.runtime.serving.phases import ANSWERING, CLOSED, READING, SENDING
from poolctl.runtime.system.poller import ERR, HUP, IN, OUT

GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
EXPECTS = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n"


@pytest.fixture
def make() -> Iterator[Callable[..., FrontRig]]:
    made: list[FrontRig] = []

    def one(*more: Any, **options: Any) -> FrontRig:
        made.append(FrontRig(*more, **options))
        return made[-1]

    yield one
    for rig in made:
        rig.close()


@pytest.fixture
def rig(make: Callable[..., FrontRig]) -> FrontRig:
    return make()


def reset(client: Client) -> None:
    """As from a client that closes with bytes unread."""
    os.write(client.fd, b"never read")
    client.sock.close()
    client.event(IN | HUP | ERR)


def fill(client: Client) -> None:
    """Its socket takes no more."""
    while True:
        try:
            os.write(client.fd, bytes(65536))
        except BlockingIOError:
            return


def test_a_client_is_asked_for_its_body(rig: FrontRig) -> None:
    client = rig.client(EXPECTS)
    assert client.read() == b"HTTP/1.1 100 Continue\r\n\r\n"
    assert client.phase is READING
    client.send(b"hello")
    assert client.phase is ANSWERING


def test_a_client_that_does_not_even_take_that(rig: FrontRig) -> None:
    client = rig.client()
    fill(client)
    client.send(EXPECTS)
    assert rig.poller.waits_for(client.fd) == OUT
    assert client.read().endswith(b"HTTP/1.1 100 Continue\r\n\r\n")
    assert client.phase is READING
    client.send(b"hello")
    assert client.phase is ANSWERING


def test_a_client_that_leaves_before_it_is_asked(rig: FrontRig) -> None:
    client = rig.client()
    client.sock.sendall(EXPECTS)
    client.sock.shutdown(socket.SHUT_RD)
    client.event(IN)
    assert client.phase is CLOSED
    assert rig.front.open == 0


def test_what_comes_ahead_is_bounded(rig: FrontRig) -> None:
    client = rig.client()
    client.send(GET)
    client.sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 2 * AHEAD_BYTES)
    sent = 0
    while client.fd in rig.front.handlers:
        client.send(GET * 100)
        sent += len(GET) * 100
        assert sent <= 2 * AHEAD_BYTES
    assert sent > AHEAD_BYTES
    assert client.phase is ANSWERING
    rig.front.returned(client.ticket, keep=True)
    assert client.phase is ANSWERING  # with the next
    assert client.fd in rig.front.handlers or client.ticket in rig.front.expected_back


# ---- resets


@pytest.mark.parametrize("begin", [b"", GET[:5]])
def test_a_reset(rig: FrontRig, begin: bytes) -> None:
    client = rig.client(begin)
    reset(client)
    assert client.phase is CLOSED
    assert rig.front.open == 0


def test_a_reset_while_it_is_lent(rig: FrontRig) -> None:
    """Its worker finds out; the connection ends when it is back, and what is left goes nowhere."""
    client = rig.client()
    client.send(GET)
    ticket = client.ticket
    reset(client)
    assert client.phase is ANSWERING
    assert client.fd not in rig.front.handlers
    left = Outbound()
    left.add(b"the rest")
    rig.front.returned(ticket, keep=True, rest=left)
    assert client.phase is CLOSED
    assert left.empty


def test_a_reset_of_what_a_thread_has_given_back_unseen(make: Callable[..., FrontRig]) -> None:
    rig = make(ThreadLendingFront)
    client = rig.client()
    client.send(GET)
    rig.front.give_back(client.connection, client.ticket, True, None)
    reset(client)
    assert client.phase is CLOSED


def test_messages_are_served_after_a_reset(make: Callable[..., FrontRig]) -> None:
    """Over HTTP nobody waits for what was asked; a line may be all that a client had to say."""
    rig = make(protocol=Lines())
    client = rig.client()
    client.sock.sendall(b"done\n")
    client.sock.close()
    client.event(IN | HUP)
    assert client.phase is ANSWERING
    client.event(IN | HUP)
    rig.front.returned(client.ticket, keep=True)
    assert client.phase is CLOSED


# ---- what raises


def wrong(*more: Any) -> Any:
    raise RuntimeError("broken")


def test_what_raises_ends_it(rig: FrontRig, caplog: pytest.LogCaptureFixture) -> None:
    client = rig.client(GET[:5])
    client.connection.framer.receive = wrong
    client.send(b"x")
    assert client.phase is CLOSED
    assert "broken" in caplog.text


@pytest.mark.parametrize("kind", ["front", "thread"])
def test_what_raises_while_it_is_lent_ends_it_when_it_is_back(make: Callable[..., FrontRig], kind: str) -> None:
    """A worker may be writing to its descriptor, which nobody else may get meanwhile."""
    rig = make(ThreadLendingFront) if kind == "thread" else make()
    client = rig.client()
    client.send(GET)
    ticket = client.ticket
    client.connection.framer.receive = wrong
    client.send(b"x")
    assert client.phase is ANSWERING
    assert os.fstat(client.fd)
    rig.front.returned(ticket, keep=True)
    assert client.phase is CLOSED


def test_a_return_that_comes_while_it_is_ended(make: Callable[..., FrontRig]) -> None:
    """A worker thread gives it back between the two looks: then it ends at once."""
    rig = make(ThreadLendingFront)
    client = rig.client()
    client.send(GET)
    ticket = client.ticket

    def raced(data: bytes) -> None:
        rig.front.give_back(client.connection, ticket, True, None)
        raise RuntimeError("broken")

    client.connection.framer.receive = raced
    client.send(b"x")
    assert client.phase is CLOSED
    assert rig.front.open == 0


# ---- drains


def test_a_drain_of_what_a_thread_has_given_back_unseen(make: Callable[..., FrontRig]) -> None:
    rig = make(ThreadLendingFront)
    client = rig.client()
    client.send(GET)
    rig.front.give_back(client.connection, client.ticket, True, None)
    rig.front.drain(None)
    client.event(OUT)
    assert client.phase is CLOSED


def test_a_request_that_came_with_the_drain(make: Callable[..., FrontRig]) -> None:
    """A thread has cleared the ticket, the drain asks for an event, and a request is here already."""
    rig = make(ThreadLendingFront)
    client = rig.client()
    client.send(GET)
    ticket = client.ticket
    client.send(GET)
    client.connection.ticket = 0
    rig.front.lent.pop(ticket)
    rig.front.drain(None)
    client.event(OUT)
    assert client.phase is ANSWERING
    rig.front.returned(client.ticket, keep=False)
    assert client.phase is CLOSED


def test_closed_once(rig: FrontRig) -> None:
    client = rig.client(GET[:5])
    client.connection.turn_away(408)
    client.connection.turn_away(500)
    client.connection.close()
    assert client.read().count(b"HTTP/1.1") == 1
    assert rig.front.open == 0


def test_the_words_are_those_of_its_protocol(make: Callable[..., FrontRig]) -> None:
    rig = make(protocol=Lines(limit=5))
    client = rig.client(b"far too long")
    assert client.at_end
    other = make(protocol=Http()).client(b"HEAD / HTTP/9.9\r\n\r\n")
    head, _, rest = other.read().partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 505")
    assert rest == b""  # RFC 9110, 9.3.2
    assert isinstance(other.rig.front.handlers[other.fd], Lingering)


# ---- health checks between requests, of a client that does not read

CHECK = b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n"


@pytest.fixture
def back(rig: FrontRig) -> Client:
    """A client that has yet to read the response of a worker thread, whose return the front has yet to hear of; a
    health check, and another request, have come meanwhile."""
    rig.front.answer_checks(HealthCheck("/healthz"))
    client = rig.client(GET)
    client.connection.ticket, ticket = 0, client.ticket
    client.connection.framer.receive(CHECK + GET)
    fill(client)
    rig.front.lent = {ticket: client.connection}
    return client


def test_a_return_that_is_known_already_changes_nothing(rig: FrontRig, back: Client) -> None:
    (ticket,) = rig.front.lent
    rig.front.add(back.connection)
    back.send(GET[:1])
    assert back.phase is SENDING
    rig.front.returned(ticket, keep=True)
    assert back.phase is SENDING  # the next request is lent after what the client has yet to read
    assert back.read().endswith(b"\r\n\r\nready\n")
    assert back.phase is ANSWERING
    assert back.ticket


def test_a_client_that_has_ended_its_side_gets_all_responses(rig: FrontRig, back: Client) -> None:
    rig.front.add(back.connection)
    back.end()
    assert back.phase is SENDING
    assert back.read().endswith(b"\r\n\r\nready\n")
    assert back.phase is ANSWERING
