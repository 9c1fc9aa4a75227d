"""The conversation and the framer on valid and invalid bytes, split anywhere."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Callable
from typing import Any

import pytest
from harness.forms import drawn
from http_bytes import BAD, CHUNKED, GET, GOOD, HOST, PEER, converse, described, frame, pieces, small
from httptools import HttpParserError, HttpRequestParser
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from poolctl.runtime.protocol.http.conversation import HttpConversation
from poolctl.runtime.protocol.http.protocol import Http
from poolctl.runtime.protocol.http.request import EMPTY

ALL = {f"bad: {name}": case for name, case in BAD.items()} | {f"good: {name}": case for name, case in GOOD.items()}
SHORT = sorted(name for name, (data, _) in ALL.items() if len(data) < 6000)


@pytest.mark.parametrize("name", BAD)
def test_invalid_requests_are_refused_with_their_status(name: str) -> None:
    data, status = BAD[name]
    assert converse([GET + data])[1] == status
    assert converse([data]) == ([], status)


@pytest.mark.parametrize("name", GOOD)
def test_valid_requests_are_served(name: str) -> None:
    data, count = GOOD[name]
    requests, failure = converse([data])
    assert (len(requests), failure) == (count, None)


@pytest.mark.parametrize("name", ALL)
def test_framer_and_conversation_agree(name: str) -> None:
    data, _ = ALL[name]
    requests, failure = converse([GET, data])
    raw, failure_of_framer = frame([GET, data])
    assert failure_of_framer == failure
    assert [converse([one]) for one in raw] == [([request], None) for request in requests]


@pytest.mark.parametrize("name", SHORT)
def test_one_byte_at_a_time(name: str) -> None:
    data, _ = ALL[name]
    singly = [data[place : place + 1] for place in range(len(data))]
    assert converse(singly) == converse([data])
    assert frame(singly) == frame([data])


@drawn(75)
@given(st.lists(st.sampled_from(sorted(ALL)), min_size=1, max_size=4), st.lists(st.integers(0, 4000), max_size=12))
def test_splits_make_no_difference(names: list[str], cuts: list[int]) -> None:
    data = b"".join(ALL[name][0] for name in names)
    chunks = pieces(data, cuts)
    requests, failure = converse(chunks)
    raw, failure_of_framer = frame(chunks)
    assert (requests, failure) == converse([data])
    assert (raw, failure_of_framer) == frame([data])
    assert failure_of_framer == failure
    assert [converse([one]) for one in raw] == [([request], None) for request in requests]


@drawn(75)
@given(st.lists(st.binary(max_size=200), max_size=6), st.lists(st.integers(0, 1500), max_size=8))
def test_bodies_are_read_whole(bodies: list[bytes], cuts: list[int]) -> None:
    data = b""
    for number, body in enumerate(bodies):
        if number % 2:
            halves = pieces(body, [len(body) // 2])
            chunks = b"".join(b"%X;x\r\n%b\r\n" % (len(half), half) for half in halves if half)
            data += CHUNKED + chunks + b"0\r\n\r\n"
        else:
            data += b"POST" + HOST + b"Content-Length: %d\r\n\r\n" % len(body) + body
    requests, failure = converse(pieces(data, cuts))
    assert failure is None
    assert [request[4] for request in requests] == bodies
    assert b"".join(frame(pieces(data, cuts))[0]) == data


@drawn(100)
@given(st.binary(max_size=300), st.lists(st.integers(0, 300), max_size=4))
def test_garbage_never_raises_and_both_halves_agree(data: bytes, cuts: list[int]) -> None:
    requests, failure = converse(pieces(data, cuts))
    raw, failure_of_framer = frame(pieces(data, cuts))
    assert (failure, len(requests)) == (failure_of_framer, len(raw))


def test_a_request_has_what_was_received() -> None:
    conversation = Http().conversation(PEER)
    conversation.receive(b"PUT /a?b HTTP/1.1\r\nHost: c\r\nX-Y: z \r\nContent-Length: 2\r\n\r\nhi")
    request = conversation.requests.popleft()
    headers = ((b"Host", b"c"), (b"X-Y", b"z"), (b"Content-Length", b"2"))
    assert described(request) == ("PUT", b"/a?b", "1.1", headers, b"hi", 2, True)
    assert request.conversation.peer == PEER


def test_nothing_is_read_after_a_failure() -> None:
    requests, failure = converse([GET + b"nonsense\r\n\r\n", GET])
    assert (len(requests), failure) == (1, 400)


def test_expect_is_answered_once_the_head_is_complete() -> None:
    head = b"POST" + HOST + b"Content-Length: 3\r\nExpect: 100-continue\r\n\r\n"
    for half in (small().conversation(PEER), small().framer()):
        half.receive(head[:-1])
        assert half.reply == b""
        half.receive(head[-1:])
        assert half.reply == b"HTTP/1.1 100 Continue\r\n\r\n"
        half.receive(b"a")
        assert half.reply == b"", "a client that sends a part of the body does not wait"


@pytest.mark.parametrize(
    "data",
    [
        b"POST" + HOST + b"Content-Length: 3\r\nExpect: 100-continue\r\n\r\na",
        b"POST" + HOST + b"Content-Length: 0\r\nExpect: 100-continue\r\n\r\n",
        b"GET" + HOST + b"Expect: 100-continue\r\n\r\n",
        b"POST / HTTP/1.0\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n",
        b"POST" + HOST + b"Content-Length: 1000001\r\nExpect: 100-continue\r\n\r\n",
    ],
)
def test_expect_is_not_answered_if_no_client_waits(data: bytes) -> None:
    for half in (small().conversation(PEER), small().framer()):
        half.receive(data)
        assert half.reply == b""


def test_a_request_from_the_framer_gets_no_second_reply() -> None:
    framer = small().framer()
    head = b"POST" + HOST + b"Content-Length: 3\r\nExpect: 100-continue\r\n\r\n"
    framer.receive(head)
    framer.receive(b"abc")
    raw = framer.take()
    assert isinstance(raw, bytes)
    for chunks in ([raw], [head, b"abc"]):
        conversation = small().conversation(PEER)
        for chunk in chunks:
            conversation.receive(chunk)
        assert (len(conversation.requests), conversation.reply) == (1, b"")


def test_pending_says_whether_a_request_is_incomplete() -> None:
    for half in (small().conversation(PEER), small().framer()):
        assert not half.pending
        half.receive(b"\r\n")
        assert not half.pending
        half.receive(b"POST")
        assert half.pending
        half.receive(HOST + b"Content-Length: 3\r\n\r\n")
        assert half.pending
        half.receive(b"abc")
        assert not half.pending
        half.receive(b"GET")
        half.ended()
        assert not half.pending


def test_a_large_body_goes_to_a_file() -> None:
    conversation = small().conversation(PEER)
    body = bytes(range(256)) * 40
    conversation.receive(b"POST" + HOST + b"Content-Length: %d\r\n\r\n" % len(body) + body[:5000])
    conversation.receive(body[5000:])
    with conversation.requests[0].body as file:
        assert file.fileno() > 2
        assert file.read() == body


def test_the_framer_returns_a_large_request_as_a_file() -> None:
    framer = small().framer()
    data = b"POST" + HOST + b"Content-Length: 100000\r\n\r\n" + b"a" * 100000
    framer.receive(data)
    raw = framer.take()
    assert raw is not None
    assert not isinstance(raw, bytes)
    with raw:
        assert raw.fileno() > 2
        assert raw.read() == data


def test_requests_without_a_body_share_one() -> None:
    conversation = small().conversation(PEER)
    conversation.receive(GET)
    body = conversation.requests[0].body
    assert body is EMPTY
    body.close()
    assert (body.read(), body.readline(), list(body), body.readlines()) == (b"", b"", [], [])


@pytest.mark.parametrize("status", [400, 408, 413, 414, 417, 431, 500, 501, 502, 503, 504, 505])
def test_a_refusal_is_a_complete_response(status: int) -> None:
    head, _, body = Http().refusal(status).partition(b"\r\n\r\n")
    lines = head.split(b"\r\n")
    assert lines[0].startswith(b"HTTP/1.1 %d " % status)
    assert b"Connection: close" in lines
    assert b"Content-Length: %d" % len(body) in lines
    assert (b"Retry-After: 1" in lines) == (status == 503)


@pytest.mark.parametrize(
    ("line", "has_body"),
    [
        (b"", False),
        (b"HE", False),
        (b"HEAD", False),
        (b"HEAD ", False),
        (b"HEAD / HTTP/1.1", False),
        (b"HEAD\t/", False),
        (b"HEADER / HTTP/1.1", True),
        (b"HEX", True),
        (b"head / HTTP/1.1", True),
        (b"GET / HTTP/1.1", True),
        (b"\x16\x03\x01", True),
    ],
)
def test_a_refusal_of_a_possible_head_request_has_no_body(line: bytes, has_body: bool) -> None:
    head, _, body = Http().refusal_to(line, 400).partition(b"\r\n\r\n")
    assert bool(body) == has_body
    if line.startswith((b"HEAD ", b"HEAD\t")):
        assert b"Content-Length: 16" in head  # that of the answer to GET (RFC 9110, 8.6)
    else:
        assert b"Content-Length: %d" % len(body) in head


@pytest.mark.parametrize("cut", range(1, len(GET)))
def test_a_head_in_two_parts(cut: int) -> None:
    assert converse([GET[:cut], GET[cut:]]) == converse([GET])
    assert frame([GET[:cut], GET[cut:]]) == ([GET], None)


@pytest.mark.parametrize("data", [b"POST" + HOST + b"Content-Length: 200000\r\n\r\n", CHUNKED + b"30d40\r\n"])
def test_a_full_disk_is_the_servers_failure(data: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(**_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("tempfile.TemporaryFile", refuse)
    for half in (small().conversation(PEER), small().framer()):
        half.receive(data)
        half.receive(b"a" * 100_000)
        assert half.failure == 500
        assert not half.pending


def test_the_limits_are_options() -> None:
    adapter = TypeAdapter(Http)
    assert adapter.validate_python({"head": 4096}) == Http(head=4096)
    with pytest.raises(ValidationError):
        adapter.validate_python({"headers": 0})


@pytest.mark.parametrize("make", [lambda: small().conversation(PEER), lambda: small().framer()])
def test_half_a_connection_is_freed_without_the_garbage_collector(make: Callable[[], Any]) -> None:
    gc.disable()
    try:
        half = make()
        half.receive(GET)
        half.receive(CHUNKED + b"3\r\nab")
        gone = weakref.ref(half)
        if isinstance(half, HttpConversation):
            half.requests.clear()
        del half
        assert gone() is None
    finally:
        gc.enable()


class Reference:
    """httptools alone, fed all bytes at once."""

    def __init__(self, data: bytes) -> None:
        self.requests: list[tuple[bytes, bytes, bytes]] = []
        self.parser = HttpRequestParser(self)
        self.failed = False
        try:
            self.parser.feed_data(data)
        except HttpParserError:
            self.failed = True

    def on_url(self, target: bytes) -> None:
        self.target = target
        self.body = b""

    def on_body(self, data: bytes) -> None:
        self.body += data

    def on_message_complete(self) -> None:
        self.requests.append((self.parser.get_method(), self.target, self.body))


HEADERS = [b"X: y\r\n", b"Content-Length: 5\r\n", b"Transfer-Encoding: chunked\r\n", b"X: a\n", b" fold\r\n"]
PARTS = [b"hello", b"0\r\n\r\n", b"5\r\nhello\r\n", b"0\r\n", b"\r\n", b"1;x\r\n-\r\n", b"GET", b"5\r\n", b"\n", GET]
LOOSE = st.tuples(
    st.sampled_from([b"GET / HTTP/1.1\r\nHost: a\r\n", b"POST /p HTTP/1.1\r\nHost: a\r\n"]),
    st.lists(st.sampled_from(HEADERS), max_size=2).map(b"".join),
    st.just(b"\r\n"),
    st.lists(st.sampled_from(PARTS), max_size=4).map(b"".join),
).map(b"".join)


@drawn(125)
@given(st.lists(LOOSE, max_size=3).map(b"".join))
def test_accepted_requests_mean_the_same_to_the_parser_alone(data: bytes) -> None:
    conversation = small().conversation(PEER)
    conversation.receive(data)
    ours = [(request[0].encode(), request[1], request[4]) for request in map(described, conversation.requests)]
    reference = Reference(data)
    known = [
        each for each in ours if each[0] in (b"GET", b"POST")
    ]  # the parser stops at a method that it does not know
    if len(known) == len(ours):
        assert reference.requests == ours
        assert reference.failed == bool(conversation.failure) or conversation.pending
    else:
        assert reference.requests == ours[: len(reference.requests)]
        assert reference.failed
