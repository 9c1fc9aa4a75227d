"""Clients that half-close, pipeline, reset, upload and download much, or send what is no HTTP: alike in every model."""

from __future__ import annotations

import contextlib
import socket
import time

import pytest
from harness.client import Client, clients, get
from harness.machine import within
from harness.server import Serve

from faults.models import ALL, FEW, begin, models


@models()
def test_a_half_closed_client_gets_its_answers(serve: Serve, name: str) -> None:
    _, server = begin(serve, name, 2)
    with Client(server.port) as client:
        client.ask("/sleep?seconds=0.1")
        client.sock.shutdown(socket.SHUT_WR)
        assert client.answer().status == 200
        assert client.at_end()
    with Client(server.port) as client:  # with the request on its way
        client.ask("/bytes?count=3000000")
        client.sock.shutdown(socket.SHUT_WR)
        assert len(client.answer().body) == 3_000_000
        assert client.at_end()
    with Client(server.port) as client:
        client.send(b"GET /pid HTTP/1.1\r\nHost: x\r\n\r\n" * 5)
        client.sock.shutdown(socket.SHUT_WR)
        assert [client.answer().status for _ in range(5)] == [200] * 5
        assert client.at_end()
    with Client(server.port) as client:  # and nothing but half a request
        client.send(b"GET /pid HT")
        client.sock.shutdown(socket.SHUT_WR)
        assert client.at_end()


@models()
def test_pipelined_requests_are_answered_in_order(serve: Serve, name: str) -> None:
    _, server = begin(serve, name, 2)
    with Client(server.port) as client:
        sizes = [100 + number for number in range(20)]
        client.send(b"".join(b"GET /bytes?count=%d HTTP/1.1\r\nHost: x\r\n\r\n" % size for size in sizes))
        assert [len(client.answer().body) for _ in sizes] == sizes
        assert client.get().status == 200


@models(always=FEW)
def test_pipelined_requests_are_answered_in_order_to_a_slow_reader(serve: Serve, name: str) -> None:
    _, server = begin(serve, name, 2)
    with Client(server.port) as client:
        sizes = [700_000 + number for number in range(20)]
        client.send(b"".join(b"GET /bytes?count=%d HTTP/1.1\r\nHost: x\r\n\r\n" % size for size in sizes))
        for size in sizes:
            time.sleep(0.01)  # this one reads slowly
            assert len(client.answer().body) == size
        assert client.get().status == 200


@models()
def test_clients_that_reset_in_the_middle_harm_nobody(serve: Serve, name: str) -> None:
    model, server = begin(serve, name, 2)
    workers = model.workers(server)
    for _ in range(3):
        for start in (
            b"GET / HT",
            b"POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\nabc",
            b"GET /bytes?count=5000000 HTTP/1.1\r\nHost: x\r\n\r\n",
            b"GET /sleep?seconds=0.05 HTTP/1.1\r\nHost: x\r\n\r\n" * 3,
        ):
            client = Client(server.port)
            client.send(start)
            client.reset()
        client = Client(server.port)
        client.ask("/bytes?count=5000000")
        assert client.sock.recv(100_000)
        client.reset()
    assert all(get(server.port).status == 200 for _ in range(8))
    assert model.workers(server) == workers
    started = time.monotonic()
    assert server.stop() == 0
    assert time.monotonic() - started < within(2)


def chunked(data: bytes, piece: int) -> bytes:
    pieces = (data[start : start + piece] for start in range(0, len(data), piece))
    return b"".join(b"%x\r\n%s\r\n" % (len(each), each) for each in pieces) + b"0\r\n\r\n"


@models(always=FEW)
def test_large_bodies_are_echoed(serve: Serve, name: str) -> None:
    _, server = begin(serve, name, 2)
    body = bytes(range(256)) * 20_000  # 5 MB
    with Client(server.port) as client:
        client.ask("/echo", method="POST", body=body)
        assert client.answer().body == body
        client.send(b"POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n" + chunked(body, 50_000))
        assert client.answer().status == 200
        assert client.get().status == 200


@models(always=FEW)
@pytest.mark.parametrize("how", ["length", "chunked"])
def test_bodies_over_the_limit_are_refused_with_413(serve: Serve, name: str, how: str) -> None:
    _, server = begin(serve, name, 2, protocol={"use": "http", "body": "10MiB"})
    size = 20 * 1024 * 1024
    with Client(server.port) as client:
        if how == "length":
            client.send(b"POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % size)
            data = b"x" * size
        else:
            client.send(b"POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n")
            data = chunked(b"x" * size, 100_000)
        with contextlib.suppress(ConnectionError):  # it may be refused while it is still sending
            client.send(data)
        try:
            response = client.answer()
        except ConnectionError:
            assert how == "chunked"
        else:
            assert response.status == 413
            assert response.headers["connection"] == "close"
        assert get(server.port).status == 200


@pytest.mark.parametrize("name", ["hshr-processes", "lf-threads"])
@pytest.mark.parametrize("slow", [True, False])
def test_a_hundred_megabytes_reach_a_slow_reader_whole(serve: Serve, name: str, slow: bool) -> None:
    _, server = begin(serve, name, 2)
    with Client(server.port) as client:
        client.ask("/bytes?count=100000000")
        if slow:
            client.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
            for _ in range(11):
                assert get(server.port).status == 200
        response = client.answer()
        assert len(response.body) == 100_000_000
        assert response.body.count(b"x") == 100_000_000
        assert client.get().status == 200


@models()
def test_head_and_expect(serve: Serve, name: str) -> None:
    _, server = begin(serve, name, 2)
    with Client(server.port) as client:
        client.ask("/bytes?count=1000", method="HEAD")
        response = client.answer(head=True)
        assert (response.status, response.headers["content-length"]) == (200, "1000")
        client.send(b"POST /echo HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n")
        assert client.answer().status == 100
        client.send(b"hello")
        assert client.answer().body == b"hello"
        assert client.get().status == 200


BROKEN = {
    "no HTTP": (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400),
    "no Host": (b"GET / HTTP/1.1\r\n\r\n", 400),
    "two lengths": (b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", 400),
    "bad chunk": (b"POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", 400),
    "long target": (b"GET /" + b"x" * 20_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n", 414),
    "many headers": (b"GET / HTTP/1.1\r\nHost: x\r\n" + b"X-A: b\r\n" * 1000 + b"\r\n", 431),
    "long head": (b"GET / HTTP/1.1\r\nHost: x\r\nX-A: " + b"y" * 300_000, 431),
    "error": (b"GET /error HTTP/1.1\r\nHost: x\r\n\r\n", 500),
}


@models()
def test_what_cannot_be_served_is_answered_properly(serve: Serve, name: str) -> None:
    model = ALL[name]
    server = serve(model.topology(2), environment=model.environment, tracebacks=True)
    for case, (request, status) in BROKEN.items():
        for before in (b"", b"GET /pid HTTP/1.1\r\nHost: x\r\n\r\n"):
            with Client(server.port) as client:
                client.send(before + request)
                if before:
                    assert client.answer().status == 200, case
                response = client.answer()
                assert response.status == status, case
                assert response.headers["connection"] == "close", case
                assert client.at_end(), case
    assert get(server.port).status == 200


GET = b"GET /pid HTTP/1.1\r\nHost: x\r\n\r\n"
EXPECTING = b"POST /echo HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n"


@models()
def test_what_comes_in_one_packet_with_a_request_waits_for_no_other_packet(serve: Serve, name: str) -> None:
    _, server = begin(serve, name, 2)
    with clients(server.port, 3) as (pipelined, expecting, broken):
        for client in (pipelined, expecting, broken):
            assert client.get().status == 200  # it is no newcomer any more
        pipelined.send(GET * 5)
        assert [pipelined.answer().status for _ in range(5)] == [200] * 5
        expecting.send(GET + EXPECTING)
        assert [expecting.answer().status for _ in range(2)] == [200, 100]
        expecting.send(b"ok")
        assert expecting.answer().body == b"ok"
        broken.send(GET + b"garbage\r\n\r\n")
        assert [broken.answer().status for _ in range(2)] == [200, 400]
        assert broken.at_end()
