"""Clients on their way out: their last words, and how many may read them at once."""

from __future__ import annotations

import resource
import socket
from collections.abc import Callable
from math import inf
from typing import Any

import pytest
from harness.loop_rig import LoopRig

from poolctl.runtime.loop.farewells import LINGER_SECONDS, LINGER_SHARE, MAX_LINGERING, Farewells, Lingering, may_linger
from poolctl.runtime.system.poller import IN

MakeRig = Callable[..., LoopRig]


@pytest.fixture
def client(rig: MakeRig) -> Callable[[LoopRig], tuple[int, socket.socket]]:
    """Of a rig: the descriptor of a new connection, and its client. TCP, for a reset is possible there."""

    def connect(made: LoopRig) -> tuple[int, socket.socket]:
        with socket.create_server(("127.0.0.1", 0)) as server:
            far = socket.create_connection(server.getsockname())
            near, _ = server.accept()
        made.socks.append(far)
        far.settimeout(10)
        return near.detach(), far

    return connect


Connect = Callable[[LoopRig], tuple[int, socket.socket]]


def leave(made: LoopRig) -> None:
    for handler in list(made.loop.handlers.values()):
        handler.expire(inf, None)


def is_open(fd: int) -> bool:
    try:
        socket.close(socket.dup(fd))
    except OSError:
        return False
    return True


def test_a_client_reads_its_last_words_though_the_server_has_not_read_its_bytes(rig: MakeRig, client: Connect) -> None:
    made = rig()
    fd, far = client(made)
    far.sendall(b"x" * 10000)
    made.loop.turn_away(fd, b"busy")
    assert (far.recv(10), far.recv(10)) == (b"busy", b"")
    far.sendall(b"x" * 10000)
    lingering = made.loop.handlers[fd]
    assert isinstance(lingering, Lingering)
    assert made.poller.waits_for(fd) == IN
    lingering.on_event(IN, None)
    assert made.loop.handlers[fd] is lingering
    leave(made)
    assert not is_open(fd)


def test_a_client_that_closes_is_closed(rig: MakeRig, client: Connect) -> None:
    made = rig()
    fd, far = client(made)
    made.loop.turn_away(fd, b"busy")
    far.close()
    made.loop.handlers[fd].on_event(IN, None)
    assert fd not in made.loop.handlers
    assert made.loop.farewells.count == 0


def test_a_client_that_resets_is_closed(rig: MakeRig, client: Connect) -> None:
    made = rig()
    fd, far = client(made)
    made.loop.turn_away(fd, b"busy")
    far.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    far.close()
    made.loop.handlers[fd].on_event(IN, None)
    assert fd not in made.loop.handlers


def test_an_event_without_bytes_changes_nothing(rig: MakeRig, client: Connect) -> None:
    made = rig()
    fd, _ = client(made)
    made.loop.turn_away(fd, b"busy")
    made.loop.handlers[fd].on_event(IN, None)
    assert fd in made.loop.handlers
    leave(made)


def test_a_client_that_stays_is_closed_after_its_time_even_in_a_drain(rig: MakeRig, client: Connect) -> None:
    made = rig()
    fd, _ = client(made)
    made.loop.turn_away(fd, b"busy")
    lingering = made.loop.handlers[fd]
    lingering.drain(None)
    lingering.expire(made.clock.now + LINGER_SECONDS, None)
    assert fd in made.loop.handlers
    lingering.expire(made.clock.now + LINGER_SECONDS + 0.1, None)
    assert fd not in made.loop.handlers


def test_without_words_there_is_nothing_to_wait_for(rig: MakeRig, client: Connect) -> None:
    made = rig()
    fd, far = client(made)
    made.loop.turn_away(fd, b"")
    assert not is_open(fd)
    assert far.recv(10) == b""


def test_a_client_that_has_left_gets_no_words(rig: MakeRig, client: Connect) -> None:
    made = rig()
    fd, far = client(made)
    far.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    far.close()
    made.loop.turn_away(fd, b"busy")
    assert not is_open(fd)
    assert made.loop.farewells.count == 0


def test_past_the_bound_clients_are_closed_at_once(rig: MakeRig, client: Connect) -> None:
    made = rig()
    made.loop.farewells.limit = 2
    found = [client(made) for _ in range(3)]
    for fd, _ in found:
        made.loop.turn_away(fd, b"busy")
    assert [is_open(fd) for fd, _ in found] == [True, True, False]
    assert [far.recv(10) for _, far in found] == [b"busy"] * 3
    found[0][1].close()
    made.loop.handlers[found[0][0]].on_event(IN, None)
    fd, _ = client(made)
    made.loop.turn_away(fd, b"busy")
    assert fd in made.loop.handlers
    leave(made)
    assert made.loop.farewells.count == 0


def test_a_client_is_closed_once(rig: MakeRig, client: Connect) -> None:
    made = rig()
    fd, _ = client(made)
    made.loop.turn_away(fd, b"busy")
    lingering: Any = made.loop.handlers[fd]
    lingering.close()
    lingering.abort(None)
    assert made.loop.farewells.count == 0


@pytest.mark.parametrize(
    ("allowed", "limit"),
    [(resource.RLIM_INFINITY, MAX_LINGERING), (1 << 20, MAX_LINGERING), (LINGER_SHARE * 10, 10), (LINGER_SHARE - 1, 1)],
)
def test_the_bound_is_a_share_of_the_descriptors(
    allowed: int, limit: int, rig: MakeRig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda kind: (allowed, allowed))
    assert may_linger() == limit
    assert Farewells(rig().loop, loops=4).limit == max(limit // 4, 1)
