"""Valid and invalid requests, and the two readers of them."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

from harness.corpus import LIMITS

from poolctl.runtime.protocol.failure import Failure
from poolctl.runtime.protocol.http.protocol import Http
from poolctl.runtime.task import Peer

PEER = Peer("192.0.2.1", "40000", "192.0.2.2", "8000")
GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
HOST = b" / HTTP/1.1\r\nHost: a\r\n"
CHUNKED = b"POST" + HOST + b"Transfer-Encoding: chunked\r\n\r\n"

# requests that are refused, by the reason, with the status
BAD: dict[str, tuple[bytes, int]] = {
    "no host": (b"GET / HTTP/1.1\r\n\r\n", 400),
    "two hosts": (b"GET" + HOST + b"host: a\r\n\r\n", 400),
    "two hosts in 1.0": (b"GET / HTTP/1.0\r\nHost: a\r\nHost: b\r\n\r\n", 400),
    "length and chunks": (b"POST" + HOST + b"Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
    "chunks and length": (b"POST" + HOST + b"Transfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n0\r\n\r\n", 400),
    "two lengths": (b"POST" + HOST + b"Content-Length: 3\r\nContent-Length: 3\r\n\r\nabc", 400),
    "lengths in a list": (b"POST" + HOST + b"Content-Length: 3, 3\r\n\r\nabc", 400),
    "signed length": (b"POST" + HOST + b"Content-Length: +3\r\n\r\nabc", 400),
    "length past 64 bits": (b"POST" + HOST + b"Content-Length: 99999999999999999999\r\n\r\n", 400),
    "too long": (b"POST" + HOST + b"Content-Length: 1000001\r\n\r\n", 413),
    "gzip": (b"POST" + HOST + b"Transfer-Encoding: gzip\r\n\r\n", 400),
    "gzip and chunks": (b"POST" + HOST + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", 501),
    "chunked twice": (b"POST" + HOST + b"Transfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n", 400),
    "chunked in two headers": (b"POST" + HOST + b"Transfer-Encoding: chunked\r\n" * 2 + b"\r\n0\r\n\r\n", 400),
    "chunked in 1.0": (b"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
    "vertical tab": (b"POST" + HOST + b"Transfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n", 400),
    "folded header": (b"GET" + HOST + b"X: y\r\n folded\r\n\r\n", 400),
    "space before colon": (b"GET / HTTP/1.1\r\nHost : a\r\n\r\n", 400),
    "bare line feeds": (b"GET / HTTP/1.1\nHost: a\n\n" + GET, 400),
    "one bare line feed": (b"GET / HTTP/1.1\r\nHost: a\n\r\n\r\n", 400),
    "carriage return in value": (b"GET" + HOST + b"X: a\rb\r\n\r\n", 400),
    "nul in value": (b"GET" + HOST + b"X: a\0b\r\n\r\n", 400),
    "long method": (b"A" * 65 + HOST + b"\r\n", 501),
    "connect": (b"CONNECT a:80 HTTP/1.1\r\nHost: a\r\n\r\n", 501),
    "icecast": (b"SOURCE / ICE/1.0\r\n\r\n", 505),
    "rtsp": (b"OPTIONS / RTSP/1.0\r\n\r\n", 505),
    "0.9 without version": (b"GET /\r\n\r\n", 505),
    "0.9": (b"GET / HTTP/0.9\r\nHost: a\r\n\r\n", 505),
    "0.9 with another request after it": (b"GET /\r\nGET" + HOST + b"\r\n", 400),
    "1.2": (b"GET / HTTP/1.2\r\nHost: a\r\n\r\n", 505),
    "2.0": (b"GET / HTTP/2.0\r\nHost: a\r\n\r\n", 505),
    "preface of HTTP/2": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505),
    "tls": (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400),
    "space at the start": (b" GET" + HOST + b"\r\n", 400),
    "space in target": (b"GET /a b HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    "not ascii in target": (b"GET /\xff HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    "relative target": (b"GET a HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    "unknown expectation": (b"POST" + HOST + b"Expect: tea\r\nContent-Length: 3\r\n\r\n", 417),
    "keep-alive as an expectation": (b"GET" + HOST + b"Expect: keep-alive\r\n\r\n", 417),
    "expectation with a long body": (b"POST" + HOST + b"Expect: 100-continue\r\nContent-Length: 1000001\r\n\r\n", 413),
    "long target": (b"GET /" + b"a" * 500 + b" HTTP/1.1\r\nHost: a\r\n\r\n", 414),
    "endless target": (b"GET /" + b"a" * 5000, 414),
    "long head": (b"GET" + HOST + b"X: " + b"a" * 2000 + b"\r\n\r\n", 431),
    "endless head": (b"GET" + HOST + b"X: " + b"a" * 5000, 431),
    "many headers": (b"GET" + HOST + b"X: y\r\n" * 20 + b"\r\n", 431),
    "huge chunk size": (CHUNKED + b"fffffffffffffffff\r\n", 400),
    "large chunk": (CHUNKED + b"ffffffff\r\n", 413),
    "large chunks": (CHUNKED + b"80000\r\n" + b"a" * 0x80000 + b"\r\n80000\r\n", 413),
    "chunk size in 0x": (CHUNKED + b"0x2\r\nab\r\n0\r\n\r\n", 400),
    "chunk size with sign": (CHUNKED + b"+2\r\nab\r\n0\r\n\r\n", 400),
    "chunk size with underscore": (CHUNKED + b"1_0\r\nab\r\n0\r\n\r\n", 400),
    "chunk size with space": (CHUNKED + b"2 \r\nab\r\n0\r\n\r\n", 400),
    "no chunk size": (CHUNKED + b"\r\nab\r\n0\r\n\r\n", 400),
    "chunk with bare line feed": (CHUNKED + b"2\nab\n0\n\n", 400),
    "chunk longer than its size": (CHUNKED + b"2\r\nabc\r\n0\r\n\r\n", 400),
    "endless chunk extension": (CHUNKED + b"2;" + b"a" * 2000, 413),
    "endless trailer": (CHUNKED + b"0\r\nT: " + b"a" * 2000, 431),
    "many trailers": (CHUNKED + b"0\r\n" + b"T: a\r\n" * 20 + b"\r\n", 431),
    "length as trailer": (CHUNKED + b"0\r\nContent-Length: 3\r\n\r\n", 400),
    "endless blank lines": (b"\r\n" * 1000, 400),
}

# bytes that are served, with the number of requests in them
GOOD: dict[str, tuple[bytes, int]] = {
    "plain": (GET, 1),
    "lower case method": (b"get" + HOST + b"\r\n" + GET, 2),
    "methods unknown to the parser": ((b"FROB" + HOST + b"\r\n") * 2 + GET + b"LIST" + HOST + b"\r\n", 4),
    "method of RTSP": (b"PLAY" + HOST + b"\r\n" + GET, 2),
    "three in a row": (GET * 3, 3),
    "blank lines before": (b"\r\n\r\n" + GET + b"\r\n\r\n" + GET + b"\r\n", 2),
    "blank line feeds before": (b"\n\n" + GET, 1),
    "absolute form": (b"GET http://b/c?d HTTP/1.1\r\nHost: a\r\n\r\n" + GET, 2),
    "asterisk": (b"OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n" + GET, 2),
    "1.0 closes": (b"GET / HTTP/1.0\r\n\r\n" + GET, 1),
    "1.0 with keep-alive": (b"GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n" + GET, 2),
    "close": (b"GET" + HOST + b"Connection: foo, Close\r\n\r\n" + GET, 1),
    "close with a body": (b"POST" + HOST + b"Connection: close\r\nContent-Length: 3\r\n\r\nabc" + GET, 1),
    "close in 1.0 with keep-alive": (b"GET / HTTP/1.0\r\nConnection: keep-alive, close\r\n\r\n" + GET, 1),
    "keep-alive and close": (b"GET" + HOST + b"Connection: keep-alive\r\nConnection: close\r\n\r\n" + GET, 1),
    "keep-alive": (b"GET" + HOST + b"Connection: keep-alive\r\n\r\n" + GET, 2),
    "upgrade": (b"GET" + HOST + b"Upgrade: websocket\r\nConnection: Upgrade\r\n\r\n" + GET, 2),
    "upgrade with a body": (
        b"POST"
        + HOST
        + b"Upgrade: h2c\r\nConnection: Upgrade\r\nContent-Length: 40\r\n\r\n"
        + GET
        + b"a" * (40 - len(GET))
        + GET,
        2,
    ),
    "upgrade with chunks": (
        b"POST" + HOST + b"Upgrade: h2c\r\nConnection: Upgrade\r\nTransfer-Encoding: chunked\r\n\r\n"
        b"3\r\nabc\r\n0\r\n\r\n" + GET,
        2,
    ),
    "body": (b"POST" + HOST + b"Content-Length: 3\r\n\r\nabc" + GET, 2),
    "empty body": (b"POST" + HOST + b"Content-Length: 0\r\n\r\n" + GET, 2),
    "body that ends like a head": (b"POST" + HOST + b"Content-Length: 8\r\n\r\nabcd\r\n\r\n", 1),
    "body that is only the end of a head": (b"GET" + HOST + b"Content-Length: 4\r\n\r\n\r\n\r\n" + GET, 2),
    "body of line ends": (b"POST" + HOST + b"Content-Length: 12\r\n\r\n" + b"\r\n" * 6 + GET, 2),
    "body that looks like a request": (b"POST" + HOST + b"Content-Length: %d\r\n\r\n" % len(GET) + GET + GET, 2),
    "chunks": (CHUNKED + b"3\r\nabc\r\n00A\r\n0123456789\r\n0\r\n\r\n" + GET, 2),
    "no chunks": (CHUNKED + b"0\r\n\r\n" + GET, 2),
    "chunk extensions": (CHUNKED + b'3;a=b;c="d"\r\nabc\r\n0;e\r\n\r\n' + GET, 2),
    "trailers": (CHUNKED + b"3\r\nabc\r\n0\r\nT: a\r\nU:\r\n\r\n" + GET, 2),
    "chunk of line ends": (CHUNKED + b"8\r\n" + b"\r\n" * 4 + b"\r\n0\r\n\r\n" + GET, 2),
    "chunk that looks like the end": (CHUNKED + b"7\r\n\r\n0\r\n\r\n\r\n0\r\n\r\n" + GET, 2),
    "upper case header": (b"POST" + HOST + b"TRANSFER-ENCODING: CHUNKED\r\n\r\n1\r\na\r\n0\r\n\r\n" + GET, 2),
    "expectation": (b"POST" + HOST + b"Expect: 100-Continue\r\nContent-Length: 3\r\n\r\nabc" + GET, 2),
    "expectation in 1.0": (b"POST / HTTP/1.0\r\nExpect: tea\r\nContent-Length: 3\r\n\r\nabc", 1),
    "white space around values": (b"GET / HTTP/1.1\r\nHost:\t a \t\r\nX:\r\n\r\n" + GET, 2),
    "large body": (b"POST" + HOST + b"Content-Length: 300000\r\n\r\n" + b"\r\n\r\n" * 75000 + GET, 2),
    "large chunk": (CHUNKED + b"493e0\r\n" + b"\r\n\r\n" * 75000 + b"\r\n0\r\n\r\n" + GET, 2),
}


def small() -> Http:
    """Return the protocol with the limits that BAD and the corpus assume."""
    return Http(**LIMITS)


def pieces(data: bytes, cuts: list[int]) -> list[bytes]:
    """Return ``data``, cut at the given places."""
    places = [0, *sorted({cut for cut in cuts if 0 < cut < len(data)}), len(data)]
    return [data[start:end] for start, end in pairwise(places)]


def described(request: Any) -> tuple[Any, ...]:
    """Return the content of a request, for comparisons."""
    body = request.body.read()
    return (
        request.method,
        request.target,
        request.version,
        tuple(request.headers),
        body,
        request.length,
        request.keep_alive,
    )


def converse(chunks: list[bytes]) -> tuple[list[tuple[Any, ...]], Failure | None]:
    """Return the requests and the failure that a conversation finds in the chunks."""
    conversation = small().conversation(PEER)
    for chunk in chunks:
        conversation.receive(chunk)
    return [described(request) for request in conversation.requests], conversation.failure


def frame(chunks: list[bytes]) -> tuple[list[bytes], Failure | None]:
    """Return the raw requests and the failure that a framer finds in the chunks."""
    framer = small().framer()
    for chunk in chunks:
        framer.receive(chunk)
    found = []
    while (raw := framer.take()) is not None:
        if not isinstance(raw, bytes):
            with raw as file:
                raw = file.read()
        found.append(raw)
    return found, framer.failure
