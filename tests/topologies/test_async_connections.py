"""What an asynchronous app's connections owe their clients, under every model."""

from __future__ import annotations

import socket

import pytest
from harness.awaited import MODELS, OWNING, topology
from harness.client import Client, get
from harness.forms import half, short
from harness.server import Serve

BODY = b"x" * 5_000_000


@pytest.mark.parametrize("model", short(MODELS, half(MODELS, 1)))
def test_what_clients_are_owed(model: str, serve: Serve) -> None:
    server = serve(topology(model), tracebacks=False)
    with Client(server.port) as client:  # the head goes out with the first event of a body, though that is empty
        client.ask("/empty")
        assert client.sock.recv(65536).startswith(b"HTTP/1.1 200 OK\r\n")
    with Client(server.port) as client:  # a client that ends its side has its answers, those behind the first too
        client.ask("/sleep?0.2")
        client.ask("/")
        client.sock.shutdown(socket.SHUT_WR)
        assert [client.answer().body for _ in range(2)] == [b"slept", b"hello"]
        assert client.at_end()
    for _ in range(3):  # an answer that is early reaches a client that is still sending
        with Client(server.port) as client:
            client.ask("/", method="POST", body=BODY)
            assert client.answer().body == b"hello"
    response = get(server.port, "/headers")
    assert response.body == b"ok"
    given = {"upgrade", "te", "trailer", "proxy-connection", "keep-alive", "proxy-authenticate", "x-own"}
    assert given & set(response.headers) == {"proxy-authenticate", "x-own"}
    for _ in range(2):
        assert get(server.port, "/program").body == b"0=0 1=1 2=2"
    assert server.stop() == 0


@pytest.mark.parametrize("model", short(OWNING, half(OWNING)))
def test_a_client_that_left_is_noticed_by_who_asks(model: str, serve: Serve) -> None:
    """Its end looks like that of a client that may still read, until somebody asks or sends."""
    server = serve(topology(model))
    with Client(server.port) as client:
        client.ask("/events?listens")
        server.wait_for_log("streams")
    server.wait_for_log("the stream has ended: listens")
    with Client(server.port) as client:
        client.ask("/events?asks")
        server.wait_for_log("streams", 2)
    server.wait_for_log("the stream has ended: asks")
    assert server.stop() == 0
