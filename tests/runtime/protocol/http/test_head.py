"""Memos never show: each request is read as if it were the only one."""

from __future__ import annotations

from typing import Any

import pytest
from harness.forms import drawn
from hypothesis import given
from hypothesis import strategies as st

from poolctl.runtime.app import Surroundings
from poolctl.runtime.app.wsgi.environ import EnvironMemo, fill, template
from poolctl.runtime.protocol.http.head import Found, HeadParser, Recent
from poolctl.runtime.protocol.http.line import TOKEN_CHARACTERS
from poolctl.runtime.protocol.http.protocol import Http
from poolctl.runtime.protocol.http.request import HttpRequest
from poolctl.runtime.task import Peer

PEER = Peer("192.0.2.1", "40000", "192.0.2.2", "8000")
LIMITS = {"target": 40, "headers": 6, "body": 1000}
HOST = b"Host: a\r\n"
LONG = b"X-Long: " + b"a" * 5000 + b"\r\n"  # longer than a head that is remembered

GOOD_LINES = [
    b"GET / HTTP/1.1",
    b"GET /a?b=%20c HTTP/1.1",
    b"HEAD /a HTTP/1.1",
    b"POST /a HTTP/1.1",
    b"OPTIONS * HTTP/1.1",
    b"GET http://b/c HTTP/1.1",
    b"GET / HTTP/1.0",
    b"POST /a HTTP/1.0",
    b"LIST / HTTP/1.1",
    b"get /a HTTP/1.1",
    b"PLAY / HTTP/1.0",
]
BAD_LINES = [
    b"GET /" + b"a" * 40 + b" HTTP/1.1",
    b"GET / HTTP/2.0",
    b"GET /",
    b"GET a HTTP/1.1",
    b"GET / HTTP/1.1\nX: y HTTP/1.1",
    b"FR(B / HTTP/1.1",
    b"CONNECT a:80 HTTP/1.1",
    b"OPTIONS / RTSP/1.0",
]
GOOD_HEADERS = [
    b"",
    b"X-A: 1\r\n",
    b"x-a: 2 \t\r\n",
    b"Cookie: a=1\r\nCookie: b=2\r\n",
    b"Connection: keep-alive\r\n",
    b"Connection: Keep-Alive, X-A\r\n",
    b"Proxy-Connection: close\r\n",
    b"Upgrade: websocket\r\nConnection: Upgrade\r\n",
    b"Expect: 100-continue\r\n",
    b"Content-Length: 0\r\n",
    b"Content-Length: 5\r\n",
    b"Content-Length: 5\r\nExpect: 100-Continue\r\n",
    b"Transfer-Encoding: chunked\r\n",
    LONG,
]
BAD_HEADERS = [
    b"Host: b\r\n",
    b"Connection: close\r\n",  # valid, but the last request of its connection
    b"Expect: tea\r\n",
    b"Content-Length: 5000\r\n",
    b"Transfer-Encoding: gzip, chunked\r\n",
    b"X-A : 1\r\n",
    b"X-A: 1\nX-B: 2\r\n",
    b"X: y\r\n" * 7,
]


def blocks(headers: list[bytes]) -> st.SearchStrategy[bytes]:
    more = st.lists(st.sampled_from(headers), max_size=2).map(b"".join)
    return st.builds(lambda host, rest: host + rest + b"\r\n", st.sampled_from([HOST, HOST, HOST, b""]), more)


def heads(lines: list[bytes], headers: list[bytes]) -> st.SearchStrategy[list[bytes]]:
    """Draw the heads of one connection from few lines and few header blocks, so that they are often alike or equal."""
    few_lines = st.lists(st.sampled_from(lines), min_size=1, max_size=3)
    few_blocks = st.lists(blocks(headers), min_size=1, max_size=2)
    return st.tuples(few_lines, few_blocks).flatmap(
        lambda drawn: st.lists(
            st.builds(lambda line, block: line + b"\r\n" + block, st.sampled_from(drawn[0]), st.sampled_from(drawn[1])),
            min_size=1,
            max_size=8,
        )
    )


def described(request: HttpRequest) -> tuple[Any, ...]:
    return request.method, request.target, request.version, list(request.headers), request.keep_alive


def fresh(recent: Recent | None = None) -> HeadParser:
    """Return the parser of a new connection, which may share ``recent`` with others."""
    return HeadParser(**LIMITS, recent=recent or Recent())


def found(parser: HeadParser, head: bytes) -> tuple[Any, ...]:
    """Return everything that a parser finds in a head."""
    status = parser.check(head)
    if status:
        return (status,)
    body = parser.length or parser.chunked
    return 0, parser.length, parser.chunked, body and parser.expects, described(parser.request(None))


def compare(sequence: list[bytes]) -> int:
    """Assert that one parser reads each head as a fresh one does. Returns how many, up to a failure or last request."""
    parser = fresh()
    for count, head in enumerate(sequence, 1):
        alone = found(fresh(), head)
        assert found(parser, head) == alone, sequence[:count]
        if alone[0] or not parser.keep_alive:
            return count
    return len(sequence)


@drawn(60)
@given(heads(GOOD_LINES, GOOD_HEADERS))
def test_each_head_is_read_as_if_it_came_alone(sequence: list[bytes]) -> None:
    compare(sequence)


@drawn(60)
@given(heads(GOOD_LINES, GOOD_HEADERS), heads(GOOD_LINES + BAD_LINES, GOOD_HEADERS + BAD_HEADERS))
def test_an_invalid_head_is_read_as_if_it_came_alone(before: list[bytes], sequence: list[bytes]) -> None:
    compare(before + sequence)


@drawn(60)
@given(
    heads(GOOD_LINES, GOOD_HEADERS + BAD_HEADERS),
    heads(GOOD_LINES, GOOD_HEADERS),
    st.lists(st.tuples(st.integers(0, 2), st.integers(0, 15)), max_size=16),
)
def test_what_connections_share_does_not_show(
    some: list[bytes], others: list[bytes], order: list[tuple[int, int]]
) -> None:
    """Three connections with the same heads in any order; each that ends is replaced by a new one."""
    drawn = some + others
    recent = Recent()
    parsers = [fresh(recent) for _ in range(3)]
    described_before: list[tuple[HttpRequest, tuple[Any, ...]]] = []
    for number, choice in order:
        head = drawn[choice % len(drawn)]
        parser = parsers[number]
        alone = found(fresh(), head)
        assert found(parser, head) == alone
        if alone[0] is None:
            request = parser.request(None)
            described_before.append((request, described(request)))
        if alone[0] or not parser.keep_alive:
            parsers[number] = fresh(recent)
    assert all(described(request) == before for request, before in described_before)


class Restless(Recent):
    """Behaves as if another thread stored its own head after each read."""

    __slots__ = ("now", "other")

    now: Found
    other: Found

    @property  # type: ignore[override]
    def found(self) -> Found:
        now, self.now = self.now, self.other
        return now

    @found.setter
    def found(self, value: Found) -> None:
        self.now = self.other = value


def test_a_head_stored_by_another_thread_is_not_taken_for_ours() -> None:
    head = b"GET /%b HTTP/1.1\r\nHost: %b\r\n\r\n"
    recent = Restless()
    theirs = fresh(recent)
    assert theirs.check(head % (b"theirs", b"secret")) is None
    other = recent.found
    parser = fresh(recent)
    assert parser.check(head % (b"1", b"ours")) is None  # its headers are known now
    assert fresh(recent).check(head % (b"2", b"ours")) is None  # so is the next head, from another connection
    recent.other = other
    assert found(parser, head % (b"2", b"ours")) == found(fresh(), head % (b"2", b"ours"))


@drawn(50)
@given(heads(GOOD_LINES[:2], GOOD_HEADERS[:5]), st.integers(0, 500), st.integers(0, 255))
def test_a_difference_of_one_byte_is_noticed(sequence: list[bytes], place: int, byte: int) -> None:
    """Repeats the last head with one byte changed, unless the reader would have split it into two heads."""
    head = bytearray(sequence[-1])
    head[place % len(head)] = byte
    other = bytes(head)
    if other.find(b"\r\n\r\n") == len(other) - 4 and other[0] in TOKEN_CHARACTERS:
        compare([*sequence, other, sequence[-1]])


@drawn(60)
@given(
    heads(GOOD_LINES + BAD_LINES, GOOD_HEADERS + BAD_HEADERS),
    st.lists(st.tuples(st.integers(0, 3), st.integers(0, 7)), max_size=24),
)
def test_heads_of_other_connections_make_no_difference(sequence: list[bytes], order: list[tuple[int, int]]) -> None:
    """Few heads, over few connections, in any order; each connection that ends is replaced by a new one."""
    recent = Recent()
    parsers = [fresh(recent) for _ in range(4)]
    for connection, number in order:
        head = sequence[number % len(sequence)]
        alone = found(fresh(), head)
        assert found(parsers[connection], head) == alone
        if alone[0] or not parsers[connection].keep_alive:
            parsers[connection] = fresh(recent)


@pytest.mark.parametrize("line", BAD_LINES)
def test_an_invalid_line_before_known_headers_is_refused(line: bytes) -> None:
    block = b"\r\n" + HOST + b"\r\n"
    parser = fresh()
    assert [parser.check(b"GET / HTTP/1.1" + block), parser.check(b"GET /a HTTP/1.1" + block)] == [None, None]
    alone = fresh().check(line + block)
    assert alone is not None
    assert parser.check(line + block) == alone


@pytest.mark.parametrize("header", BAD_HEADERS)
def test_invalid_headers_after_a_known_line_are_refused(header: bytes) -> None:
    head = b"GET / HTTP/1.1\r\n" + HOST + b"\r\n"
    assert compare([head, head, head[:-2] + header + b"\r\n"]) == 3


KEPT = b"\r\n" + HOST + b"Connection: keep-alive\r\n\r\n"


@pytest.mark.parametrize(
    "sequence",
    [
        [b"GET /1 HTTP/1.1" + KEPT, b"GET /2 HTTP/1.0" + KEPT, b"GET /3 HTTP/1.1" + KEPT],
        [b"GET / HTTP/1.1\r\n" + HOST + b"Proxy-Connection: close\r\n\r\n", b"GET / HTTP/1.1" + KEPT],
    ],
    ids=["1.0 with keep-alive", "a header that only the parser obeys"],
)
def test_a_kept_connection_serves_further_requests(sequence: list[bytes]) -> None:
    assert compare(sequence) == len(sequence)


def test_a_repeated_head_is_not_parsed() -> None:
    """Proves that the memo is used: the same headers are the same list, the same target the same bytes."""
    parser = fresh()
    head = b"GET /long HTTP/1.1\r\n" + HOST + b"\r\n"
    requests = []
    for each in (head, head, head.replace(b"long", b"other")):
        assert parser.check(each) is None
        requests.append(parser.request(None))
    assert requests[1].target is requests[0].target
    assert requests[2].headers is requests[0].headers
    assert requests[2].target == b"/other"


def test_a_head_that_another_connection_sent_is_not_parsed() -> None:
    recent = Recent()
    head = b"GET /long HTTP/1.1\r\n" + HOST + b"Connection: close\r\n\r\n"
    requests = []
    for parser in (fresh(recent), fresh(recent)):
        assert parser.check(head) is None
        assert not parser.keep_alive
        requests.append(parser.request(None))
    assert requests[1].headers is requests[0].headers


# The environ of a WSGI application

HERE = Surroundings(multithread=False, multiprocess=True)
KEYS = ["PATH_INFO", "QUERY_STRING", "REQUEST_METHOD", "HTTP_HOST", "HTTP_X_A", "SCRIPT_NAME", "wsgi.input", "mine"]

Mutation = tuple[str, str | None]  # a key, and its new value; None removes it


def mutate(environ: dict[str, Any], mutations: list[Mutation]) -> None:
    for key, value in mutations:
        if value is None:
            environ.pop(key, None)
        else:
            environ[key] = value


def received(chunks: list[bytes]) -> list[HttpRequest]:
    conversation = Http().conversation(PEER)
    for chunk in chunks:
        conversation.receive(chunk)
    assert conversation.failure is None
    return list(conversation.requests)


def comparable(environ: dict[str, Any]) -> dict[str, Any]:
    return environ | {"wsgi.input": environ["wsgi.input"].read()}


mutations = st.lists(st.tuples(st.sampled_from(KEYS), st.sampled_from(["", "leaked", None])), max_size=5)
MEMO_LINES = [
    b"GET / HTTP/1.1",
    b"GET /a?b HTTP/1.1",
    b"HEAD /a?b HTTP/1.1",
    b"POST /c HTTP/1.1",
    b"GET http://b/a HTTP/1.1",
]
MEMO_HEADERS = [b"", b"X-A: 1\r\n", b"X-A: 2\r\n", b"X_A: 3\r\n", b"Proxy: x\r\n", b"Content-Length: 0\r\n"]
BODY = b"Content-Length: 5\r\n"


@drawn(50)
@given(st.data())
def test_an_app_changes_only_its_own_environ(data: st.DataObject) -> None:
    drawn = data.draw(heads(MEMO_LINES, [*MEMO_HEADERS, BODY]))
    served = [each for each in drawn if HOST in each and each.count(b"Content-Length") < 2]
    drawn = [each + b"hello" if BODY in each else each for each in served]
    memo = EnvironMemo(PEER, HERE)
    kept: list[tuple[dict[str, Any], dict[str, Any]]] = []
    for whole, request in zip(drawn, received(drawn), strict=True):
        environ = memo.environ(request)
        (alone,) = received([whole])
        assert comparable(environ) == comparable(EnvironMemo(PEER, HERE).environ(alone))
        mutate(environ, data.draw(mutations))
        kept.append((environ, environ.copy()))
    assert all(environ == then for environ, then in kept)  # later requests change no earlier environ


@pytest.mark.parametrize(
    "lines",
    [
        [b"GET / HTTP/1.1", b"HEAD / HTTP/1.1"],
        [b"GET /a?b HTTP/1.1", b"GET /a HTTP/1.1"],
        [b"GET http://other/a HTTP/1.1", b"GET /a HTTP/1.1"],
        [b"GET /a HTTP/1.0", b"GET /a HTTP/1.1"],
    ],
    ids=["method", "query", "host of the target", "version"],
)
@pytest.mark.parametrize("again", [1, 2])
def test_after_another_line_only_the_headers_are_reused(lines: list[bytes], again: int) -> None:
    memo = EnvironMemo(PEER, HERE)
    sequence = [line + KEPT for line in lines * again for _ in range(again)]
    for whole, request in zip(sequence, received(sequence), strict=True):
        (alone,) = received([whole])
        assert comparable(memo.environ(request)) == comparable(EnvironMemo(PEER, HERE).environ(alone))


def test_an_environ_is_complete_after_an_app_cleared_the_last() -> None:
    head = b"GET /a HTTP/1.1\r\n" + HOST + b"\r\n"
    memo = EnvironMemo(PEER, HERE)
    first, second = received([head, head])
    environ = memo.environ(first)
    before = comparable(environ.copy())
    environ.clear()
    assert comparable(memo.environ(second)) == before
    assert before["PATH_INFO"] == "/a"


def test_connections_with_the_same_head_share_no_environ() -> None:
    http = Http()
    expected = None
    for _ in range(4):  # known from the second on, read from the memo from the third on
        conversation = http.conversation(PEER)
        conversation.receive(b"GET /a HTTP/1.1\r\n" + HOST + b"X-A: 1\r\nX-A: 2\r\nConnection: close\r\n\r\n")
        environ = comparable(fill(template(PEER, HERE), conversation.requests.popleft()))
        assert expected in (None, environ)
        assert environ["HTTP_X_A"] == "1,2"
        expected = environ.copy()
        environ["HTTP_X_A"] = "leaked"
        del environ["HTTP_HOST"]


@drawn(80)
@given(heads(GOOD_LINES, [*GOOD_HEADERS, b"Connection: close\r\n"]), st.lists(st.booleans(), min_size=8, max_size=8))
def test_a_packed_request_is_the_one_that_the_worker_would_have_read(sequence: list[bytes], packs: list[bool]) -> None:
    """A front that takes each request when it is complete, and workers of both kinds that read some of them and unpack
    the others."""
    front = Http(body=1000)
    framer = front.framer()
    workers = [Http(body=1000).conversation(PEER), Http(body=1000).streaming(PEER)]
    for head, pack in zip(sequence, packs, strict=False):
        alone = fresh()
        if found(alone, head)[0] or alone.length or alone.chunked:
            return
        framer.receive(head)
        request = framer.take()
        packed = framer.packed(request)
        if packed is not None:
            assert packed.partition(b"\r\n")[0] == head.partition(b"\r\n")[0]
        for worker in workers:
            if pack and packed is not None:
                worker.unpack(packed)
            else:
                worker.receive(request)
            assert described(worker.requests.popleft()) == described(alone.request(None))
            assert not worker.failure
        if not alone.keep_alive:
            return


def test_a_request_is_packed_only_if_nothing_else_has_come() -> None:
    get, post = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nab"
    for data, packs in [
        (get, True),
        (get + get[:5], False),
        (get + get, False),
        (post, False),
        (get + b"GET  / HTTP/1.1\r\n\r\n", False),
        (get + post[:-1], False),
        (get[:-2] + b"X: " + b"y" * 17000 + b"\r\n\r\n", False),
    ]:
        framer = Http().framer()
        framer.receive(data)
        assert (framer.packed(framer.take()) is not None) is packs, data
