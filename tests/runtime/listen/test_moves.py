"""Connections that move between processes: the channel, who takes them, and which connections leave in a drain."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from harness.loop_rig import LoopRig
from harness.phase_rig import PEER, HeldRig, Rig, ServedRig

from poolctl.runtime.channels.parcel import FLAG_LAST
from poolctl.runtime.listen import server_stop
from poolctl.runtime.listen.door import Door
from poolctl.runtime.listen.listener import Listener
from poolctl.runtime.listen.moves import MovedConnections, Moves, peer_of
from poolctl.runtime.protocol.http.protocol import Http
from poolctl.runtime.protocol.lines import Lines
from poolctl.runtime.protocol.raw import Raw
from poolctl.runtime.serving.phases import ANSWERING, CLOSED, IDLE, NEW, READING
from poolctl.runtime.system.poller import HUP, IN, OUT
from poolctl.runtime.task import NOBODY, Peer

GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"


@pytest.fixture
def moves() -> Iterator[Moves]:
    server_stop.reset()
    made = Moves()
    made.allow(True)
    yield made
    made.close_all()
    made.writer.close()
    made.reader.close()
    server_stop.reset()


# the channel


def test_a_connection_arrives_with_its_protocol_and_peer(moves: Moves) -> None:
    near, far = socket.socketpair()
    peer = Peer("2001:db8::1", "4000", "/tmp/a \n\udcff.sock", "", "CN=ö")
    with near, far:
        assert moves.send(near.fileno(), "http", peer)
        near.close()
        taken = moves.take()
        assert taken is not None
        fd, protocol, found = taken
        assert (protocol, found) == ("http", peer)
        assert not os.get_inheritable(fd)
        os.write(fd, b"still here")
        assert far.recv(20) == b"still here"
        os.close(fd)
    assert moves.take() is None


def test_a_full_channel_takes_no_more_and_loses_nothing(moves: Moves) -> None:
    near, far = socket.socketpair()
    with near, far:
        count = 0
        while moves.send(near.fileno(), "http", PEER):
            count += 1
        assert count > 10
        taken = 0
        while (found := moves.take()) is not None:
            os.close(found[0])
            taken += 1
        assert taken == count
        assert moves.send(near.fileno(), "http", PEER)


def test_nothing_moves_while_the_server_stops_or_nobody_takes_it(moves: Moves) -> None:
    assert moves.open
    moves.allow(False)
    assert not moves.open
    moves.allow(True)
    server_stop.announce()
    assert not moves.open


def test_nothing_moves_without_a_supervisor(moves: Moves) -> None:
    pid = os.fork()
    if not pid:
        os._exit(0)
    os.waitpid(pid, 0)
    moves.belongs_to(pid)
    assert not moves.open


# arrivals


@pytest.fixture
def arriving() -> Iterator[Callable[..., list[Any]]]:
    rig = LoopRig()
    opened: list[socket.socket] = []

    def arrive(moves: Moves, sock: socket.socket, protocol: str = "http", host: str = "127.0.0.1") -> list[Any]:
        """What a loop takes that listens at two addresses, the second of which is that of ``sock``."""
        other = socket.create_server(("127.0.0.1", 0))
        same = sock.dup()
        opened.extend([other, same])
        listeners = [Listener(other, Door(Http())), Listener(same, Door(Http(), 1))]
        if host != "127.0.0.1":
            listeners[1].server_host = host
        found: list[Any] = []
        moved_here = MovedConnections(
            rig.loop, moves, listeners, lambda fd, peer, service, number: found.append((fd, peer, number)), lambda: True
        )
        client = socket.create_connection(sock.getsockname())
        opened.append(client)
        near = sock.accept()[0]
        assert moves.send(near.fileno(), protocol, PEER)
        near.close()
        moved_here.on_event(IN, rig.service)
        moved_here.drain(rig.service)
        for fd, _, _ in found:
            os.close(fd)
        if not found:
            assert client.recv(1) == b""  # it is closed, not forgotten
        return found

    yield arrive
    for sock in opened:
        sock.close()
    rig.close()


def test_a_connection_is_taken_at_the_address_that_its_client_used(
    moves: Moves, arriving: Callable[..., list[Any]]
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as sock:
        ((_, peer, number),) = arriving(moves, sock)
        assert (peer, number) == (PEER, 1)
        assert [each[2] for each in arriving(moves, sock, host="0.0.0.0")] == [1]
        assert arriving(moves, sock, host="192.0.2.1") == []  # the address is gone
        assert arriving(moves, sock, protocol="lines") == []


def test_others_with_fewer_connections_are_let_first(moves: Moves) -> None:
    rig = LoopRig()
    near, far = socket.socketpair()
    taken: list[int] = []

    def another_takes_it(service: Any) -> bool:
        found = moves.take()
        assert found is not None
        taken.append(found[0])
        return True

    with near, far, socket.create_server(("127.0.0.1", 0)) as sock:
        assert moves.send(near.fileno(), "http", PEER)
        listeners = [Listener(sock, Door(Http()))]
        here = MovedConnections(rig.loop, moves, listeners, pytest.fail, lambda: True, another_takes_it)
        here.on_event(IN, rig.service)
        assert len(taken) == 1
        os.close(taken[0])
        here.drain(rig.service)
    rig.close()


def test_the_peer_of_a_protocol_that_keeps_none_is_asked_of_the_kernel() -> None:
    with socket.create_server(("127.0.0.1", 0)) as sock, socket.create_connection(sock.getsockname()) as client:
        near = sock.accept()[0]
        with near:
            host, port = client.getsockname()
            assert peer_of(near.fileno()) == Peer(host, str(port), "127.0.0.1", str(sock.getsockname()[1]))
    near, far = socket.socketpair()
    with near, far:
        assert peer_of(near.fileno()) == Peer("", "", "", "")
    with socket.socket() as unconnected:
        assert peer_of(unconnected.fileno()) is NOBODY


# departures


@pytest.fixture(params=[ServedRig, HeldRig])
def make(request: pytest.FixtureRequest, moves: Moves, steps: object) -> Iterator[Callable[..., Any]]:
    made: list[Rig] = []

    def one(protocol: Any = None) -> Any:
        rig = request.param(protocol or Http())
        made.append(rig)
        if isinstance(rig, ServedRig):
            rig.app.answer = lambda request, out: bool(out.send(OK)) or True
        rig.loop.move_by(moves)
        rig.accept()
        return rig

    yield one
    for rig in made:
        rig.close()


def drain(rig: Any) -> None:
    """The mold ends the process, and the loop takes a turn."""
    rig.loop.drain(rig.service)
    rig.loop.now = rig.clock.now
    rig.loop._drained(False, rig.service)


def turn(rig: Any) -> None:
    rig.loop._drained(False, rig.service)


def answered(rig: Any) -> None:
    rig.send(GET)
    if isinstance(rig, HeldRig):
        rig.give_back()


def departed(rig: Any, moves: Moves) -> bool:
    """Whether the connection has left, alive."""
    taken = moves.take()
    if taken is None:
        return False
    fd, _, _ = taken
    os.write(fd, b"x")
    alive = rig.read().endswith(b"x")
    os.close(fd)
    assert rig.phase is CLOSED
    assert rig.loop.open == 0
    return alive


@pytest.mark.parametrize("before", [lambda rig: None, answered], ids=["new", "idle"])
def test_a_connection_that_waits_moves_at_once(
    make: Callable[..., Any], moves: Moves, before: Callable[[Any], None]
) -> None:
    rig = make()
    before(rig)
    assert rig.phase in (NEW, IDLE)
    drain(rig)
    assert departed(rig, moves)


def test_a_connection_in_a_request_moves_after_its_answer_which_says_nothing_of_it(
    make: Callable[..., Any], moves: Moves
) -> None:
    rig = make()
    rig.send(GET[:9])
    drain(rig)
    assert (rig.phase, moves.take()) == (READING, None)
    rig.send(GET[9:])
    if isinstance(rig, HeldRig):
        turn(rig)
        assert (rig.phase, moves.take()) == (ANSWERING, None)
        assert rig.front.sent[-1][1] == 0  # not the last
        rig.give_back()
    else:
        assert b"close" not in rig.read()
    turn(rig)
    assert departed(rig, moves)


def test_what_cannot_move_ends_as_in_a_stop(make: Callable[..., Any], moves: Moves) -> None:
    rig = make(Raw())
    drain(rig)
    assert moves.take() is None
    assert rig.connection.leaving
    rig.sweep(5.0)
    assert rig.phase is CLOSED


@pytest.mark.parametrize("before", [lambda rig: None, answered], ids=["new", "idle"])
def test_behind_tls_a_connection_waits_for_a_request_whose_response_is_the_last(
    make: Callable[..., Any], moves: Moves, before: Callable[[Any], None]
) -> None:
    rig = make()
    if isinstance(rig, HeldRig):
        rig.connection.door.scheme = "https"
    else:
        rig.connection.conversation.scheme = "https"
    before(rig)
    drain(rig)
    rig.sweep(5.0)
    rig.event(OUT)
    assert (rig.phase in (NEW, IDLE), moves.take()) == (True, None)
    rig.send(GET)
    if isinstance(rig, HeldRig):
        assert rig.front.sent[-1][1] & FLAG_LAST
        rig.give_back(keep=False)
    else:
        assert rig.connection.last
    assert rig.phase is CLOSED


def test_a_client_of_lines_moves_too(make: Callable[..., Any], moves: Moves) -> None:
    rig = make(Lines())
    drain(rig)
    assert departed(rig, moves)


def test_a_connection_stays_while_the_channel_is_full_and_its_client_is_served(
    make: Callable[..., Any], moves: Moves
) -> None:
    rig = make()
    while moves.send(rig.client.fileno(), "http", PEER):
        pass
    drain(rig)
    assert rig.phase is NEW
    answered(rig)
    assert rig.phase is IDLE
    moves.close_all()
    turn(rig)
    assert departed(rig, moves)


def test_if_the_server_stops_while_connections_move_the_rest_ends(make: Callable[..., Any], moves: Moves) -> None:
    rig = make()
    rig.send(GET[:9])
    drain(rig)
    assert not rig.connection.leaving
    server_stop.announce()
    turn(rig)
    assert rig.connection.leaving
    assert not rig.loop.moving
    rig.event(HUP)
