"""The worker's half of an HTTP/2 connection, fed by h2's client half: results do not depend on how bytes are split."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest
from h2.config import H2Configuration
from h2.connection import H2Connection
from hypothesis import given
from hypothesis import strategies as st

from poolctl.runtime.protocol.http.protocol import Http
from poolctl.runtime.protocol.http2.conversation import Http2Conversation
from poolctl.runtime.protocol.http2.frames import PREFACE
from poolctl.runtime.task import Peer

PEER = Peer("192.0.2.1", "50000", "192.0.2.2", "80")
Seen = list[tuple[str, bytes, list[tuple[bytes, bytes]], bytes, int]]

paths = st.text("abc/", max_size=10).map(lambda text: "/" + text)
bodies = st.none() | st.binary(max_size=300)


def sent(requests: list[tuple[str, bytes | None]]) -> bytes:
    """Return the bytes that a client sends for requests with these (path, body)."""
    client = H2Connection(H2Configuration())
    client.initiate_connection()
    for path, body in requests:
        number = client.get_next_available_stream_id()
        headers = [(":method", "POST"), (":path", path), (":scheme", "http"), (":authority", "shop.test"), ("x", "1")]
        client.send_headers(number, headers, end_stream=body is None)
        if body is not None:
            client.send_data(number, body, end_stream=True)
    return bytes(client.data_to_send())


def seen(pieces: list[bytes]) -> tuple[Seen, int]:
    """Return the requests that are read, and the failure."""
    first = Http(http2=True).conversation(PEER)
    conversation = first
    for piece in pieces:
        conversation.receive(piece)
        conversation = conversation.successor or conversation  # type: ignore[assignment]
    if not isinstance(conversation, Http2Conversation):
        return [], conversation.failure
    found = []
    for stream in conversation.complete:
        request = stream.request
        found.append((request.method, request.target, request.headers, request.body.read(), stream.refused))
    return found, conversation.failure


def cut(data: bytes, places: list[int]) -> list[bytes]:
    edges = [0, *sorted({place % len(data) for place in places} - {0}), len(data)]
    return [data[start:end] for start, end in pairwise(edges)]


@given(st.lists(st.tuples(paths, bodies), min_size=1, max_size=4), st.lists(st.integers(0, 10_000), max_size=12))
def test_any_split_of_the_bytes_gives_the_same_requests(
    requests: list[tuple[str, bytes | None]], places: list[int]
) -> None:
    data = sent(requests)
    whole, failure = seen([data])
    assert failure is None
    assert [(target, body) for _, target, _, body, _ in whole] == [
        (path.encode(), body or b"") for path, body in requests
    ]
    assert whole[0][2] == [(b"host", b"shop.test"), (b"x", b"1")]
    assert seen(cut(data, places)) == (whole, None)


@given(st.binary(min_size=1, max_size=200), st.lists(st.integers(0, 10_000), max_size=6))
def test_no_bytes_after_the_preface_raise(garbage: bytes, places: list[int]) -> None:
    data = PREFACE + garbage
    found, failure = seen(cut(data, places))
    assert failure in (None, 400)
    assert not (failure and found)


@given(st.integers(1, len(PREFACE) - 1), st.binary(min_size=1, max_size=40))
def test_bytes_that_only_begin_like_the_preface_are_http1(size: int, rest: bytes) -> None:
    data = PREFACE[:size] + (b"!" if rest[:1] == PREFACE[size : size + 1] else b"") + rest
    first = Http(http2=True).conversation(PEER)
    plain = Http().conversation(PEER)
    for conversation in (first, plain):
        for index in range(len(data)):
            conversation.receive(data[index : index + 1])
    assert first.successor is None
    assert (first.failure, first.pending, len(first.requests)) == (plain.failure, plain.pending, len(plain.requests))


USUAL = {b":method": b"GET", b":scheme": b"http", b":authority": b"a", b":path": b"/"}
LONG = b"A" * 65
# differences from the usual head, and the status; 0: the request is served
HEADS: dict[str, tuple[dict[bytes, bytes], int]] = {
    "usual": ({}, 0),
    "unregistered method": ({b":method": b"LIST"}, 0),
    "lower case method": ({b":method": b"get"}, 0),
    "all characters of a token": ({b":method": b"!#$%&'*+-.^_`|~09"}, 0),
    "no method": ({b":method": b""}, 400),
    "method with a space": ({b":method": b"G T"}, 400),
    "method with a quote": ({b":method": b'G"T'}, 400),
    "method that is not ascii": ({b":method": b"G\xe4"}, 400),
    "long method": ({b":method": LONG}, 501),
    "PRI": ({b":method": b"PRI"}, 501),
    "asterisk": ({b":method": b"OPTIONS", b":path": b"*"}, 0),
    "asterisk with another method": ({b":path": b"*"}, 400),
    "odd characters of paths": ({b":path": b'/"<>^`{|}\\?[]'}, 0),
    "absolute form": ({b":path": b"http://b/"}, 400),
    "space in a path": ({b":path": b"/a b"}, 400),
    "fragment": ({b":path": b"/a#b"}, 400),
    "control character in a path": ({b":path": b"/\x01"}, 400),
    "path that is not ascii": ({b":path": b"/\xe4"}, 400),
    "long path": ({b":path": b"/" + b"a" * 8192}, 414),
    "authority with a port": ({b":authority": b"a:80"}, 0),
    "authority with a space": ({b":authority": b"a b"}, 400),
    "authority with a user": ({b":authority": b"u@a"}, 400),
    "obs-text in a value": ({b"x": b"\xe4\ta"}, 0),
    "control character in a value": ({b"x": b"a\x01"}, 400),
    "delete in a value": ({b"x": b"a\x7f"}, 400),
    "length of an empty body": ({b"content-length": b"0"}, 0),
    "length without a body": ({b"content-length": b"5"}, 400),
    "expectation": ({b"expect": b"100-Continue, 100-continue"}, 0),
    "other expectation": ({b"expect": b"100-continue, tea"}, 417),
}


@pytest.mark.parametrize("name", HEADS)
def test_heads_must_follow_the_rules_of_http1(name: str) -> None:
    other, status = HEADS[name]
    client = H2Connection(H2Configuration(validate_outbound_headers=False, normalize_outbound_headers=False))
    client.initiate_connection()
    client.send_headers(1, list((USUAL | other).items()), end_stream=True)
    data = client.data_to_send()
    blocking: Any = Http(http2=True).conversation(PEER)
    blocking.receive(data)
    awaited: Any = Http(http2=True).streaming(PEER)
    awaited.receive(data)
    for stream in (blocking.successor.complete[0], awaited.successor.begun[0]):
        assert (stream.refused, stream.request.method.encode("latin-1")) == (status, (USUAL | other)[b":method"])
