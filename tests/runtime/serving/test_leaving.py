"""How a reset differs from an orderly end, with real connections."""

from __future__ import annotations

import socket
import struct
from collections.abc import Callable

import pytest

from poolctl.runtime.serving.leaving import left
from poolctl.runtime.system.poller import ERR, HUP, IN, OUT
from poolctl.runtime.system.state import state
from poolctl.runtime.task import Peer

TCP = Peer("192.0.2.1", "40000", "192.0.2.2", "80")
UNIX = Peer("", "", "", "")


@pytest.mark.parametrize(
    ("events", "peer", "gone"),
    [
        (IN | OUT, TCP, False),
        (ERR, TCP, True),
        (ERR, UNIX, True),
        (HUP, TCP, True),
        (IN | HUP, UNIX, False),
        (ERR | HUP, UNIX, True),
    ],
)
def test_which_events_mean_that_a_client_has_left(events: int, peer: Peer, gone: bool) -> None:
    assert left(events, peer) is gone


def reset(sock: socket.socket) -> None:
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()


@pytest.mark.parametrize(
    ("ends", "gone"),
    [
        (lambda sock: None, False),
        (lambda sock: sock.shutdown(socket.SHUT_WR), False),
        (lambda sock: sock.close(), False),
        (reset, True),
    ],
    ids=["stays", "half-closed", "closed", "reset"],
)
def test_only_a_reset_shows_while_bytes_wait_to_be_read(ends: Callable[[socket.socket], None], gone: bool) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        client = socket.create_connection(server.getsockname())
        near, _ = server.accept()
        with near, client:
            client.sendall(b"a request")
            ends(client)
            assert left(state(near.fileno()), TCP) is gone
