"""HTTP/1 that hypothesis makes up: any split of the same bytes is the same to every reader, what is well formed comes
through as it was meant, and what was changed at random never means more to one half of a connection than to the other.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import pytest
from http_bytes import GET, PEER, small, told
from hypothesis import given, settings
from hypothesis import strategies as st

from poolctl.runtime.protocol.http.conversation import HttpConversation
from poolctl.runtime.protocol.http.framer import HttpFramer
from poolctl.runtime.protocol.http.inflow import Inflow
from poolctl.runtime.protocol.http.request import EMPTY

QUICK = settings(max_examples=120, deadline=None)
LONG = settings(max_examples=6000, deadline=None)

Told = tuple[str, bytes, bytes]
TOKEN = "!#$%&'*+-.^_`|~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
VALUE = st.binary(max_size=20).map(lambda data: bytes(byte for byte in data if 32 < byte != 127))
FRAMING = {b"host", b"connection", b"content-length", b"transfer-encoding", b"expect", b"upgrade", b"proxy-connection"}


@dataclass(frozen=True)
class Asked:
    """A request as it was meant, and its bytes."""

    method: str
    target: bytes
    headers: list[tuple[bytes, bytes]]
    body: bytes
    chunks: list[int] | None
    line_end: bytes

    def encoded(self) -> bytes:
        lines = [b"%s %s HTTP/1.1" % (self.method.encode(), self.target), b"Host: a"]
        lines += [b"%s:%s" % header for header in self.headers]
        if self.chunks is not None:
            return b"\r\n".join([*lines, b"Transfer-Encoding: chunked", b"", b""]) + self._chunked() + self.line_end
        if self.body:
            lines.append(b"Content-Length: %d" % len(self.body))
        return b"\r\n".join([*lines, b"", b""]) + self.body + self.line_end

    def _chunked(self) -> bytes:
        places = sorted({place % (len(self.body) + 1) for place in self.chunks or []} | {0, len(self.body)})
        parts = [self.body[start:end] for start, end in pairwise(places)]
        framed = [b"%x%s\r\n%s\r\n" % (len(part), b";e=1" * (len(part) % 2), part) for part in parts if part]
        return b"".join(framed) + (b"0\r\nT: t\r\n\r\n" if len(places) % 2 else b"0\r\n\r\n")


def asked() -> st.SearchStrategy[Asked]:
    names = st.text(TOKEN, min_size=1, max_size=12).map(str.encode).filter(lambda name: name.lower() not in FRAMING)
    return st.builds(
        Asked,
        st.sampled_from(["GET", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "PROPFIND"]),
        st.text("abc/?&=%~.;:@", max_size=30).map(lambda text: b"/" + text.encode()),
        st.lists(st.tuples(names, VALUE), max_size=4),
        st.binary(max_size=120) | st.sampled_from([GET, b"0\r\n\r\n", b"\r\n\r\n", b"5\r\nhello\r\n"]),
        st.none() | st.lists(st.integers(0, 120), max_size=3),
        st.sampled_from([b"", b"", b"\r\n"]),
    )


PIPELINE = st.lists(asked(), min_size=1, max_size=4)
CUTS = st.lists(st.integers(1, 2000), max_size=10)
# where, how many bytes go, and what comes in their place
CHANGES = st.lists(
    st.tuples(
        st.integers(0, 2000),
        st.integers(0, 4),
        st.sampled_from(
            [b"", b"\r", b"\n", b"\r\n", b" ", b"\t", b"\0", b":", b",", b";", b"0", b"f", b"-", b"\xff", GET]
        )
        | st.sampled_from([b"Content-Length: 3\r\n", b"Transfer-Encoding: chunked\r\n", b"Expect: 100-continue\r\n"])
        | st.binary(max_size=3),
    ),
    min_size=1,
    max_size=3,
)


def cut(data: bytes, cuts: list[int]) -> list[bytes]:
    places = [0, *sorted({place % len(data) for place in cuts} - {0}), len(data)] if data else [0, 0]
    return [data[start:end] for start, end in pairwise(places)]


def changed(data: bytes, changes: list[tuple[int, int, bytes]]) -> bytes:
    for place, gone, come in changes:
        at = place % (len(data) + 1)
        data = data[:at] + come + data[at + gone :]
    return data


def conversed(pieces: list[bytes]) -> tuple[list[Told], int, bool, bytes]:
    """What a conversation makes of it, and that nothing is taken after a failure."""
    conversation = small().conversation(PEER)
    assert isinstance(conversation, HttpConversation)
    for piece in pieces:
        conversation.receive(piece)
    if conversation.failure:
        count = len(conversation.requests)
        conversation.receive(GET)
        assert len(conversation.requests) == count, "a request was taken after a failure"
    requests = [(each[0], each[1], each[4]) for each in map(told, conversation.requests)]
    return requests, conversation.failure, conversation.pending, conversation.reply


def lent(pieces: list[bytes]) -> tuple[list[Told], int, bool, bytes]:
    """The same of a front, with workers behind it that read each request by itself."""
    framer = small().framer()
    assert isinstance(framer, HttpFramer)
    requests = []
    for piece in pieces:
        framer.receive(piece)
    failure, pending, reply = framer.failure, framer.pending, framer.reply
    framer.receive(GET if failure else b"")
    while (raw := framer.take()) is not None:
        if not isinstance(raw, bytes):
            with raw as file:
                raw = file.read()
        read, refused, _, _ = conversed([raw])
        assert (len(read), refused) == (1, 0), raw
        requests += read
    return requests, failure, pending, reply


def streamed(pieces: list[bytes]) -> tuple[list[Told], int, bool, bytes]:
    """The same of an asynchronous app's connection; a request whose body did not come to its end is left out."""
    conversation = small().streaming(PEER)
    for piece in pieces:
        conversation.receive(piece)
    failure, pending, reply = conversation.failure, conversation.pending, conversation.reply
    conversation.receive(GET if failure else b"")
    requests = []
    for request in conversation.requests:
        inflow: object = request.body
        if isinstance(inflow, Inflow):
            if inflow.done:
                requests.append((request.method, request.target, inflow.take() if inflow.size else b""))
            else:
                assert request is conversation.requests[-1]
        else:
            assert inflow is EMPTY
            requests.append((request.method, request.target, b""))
    return requests, failure, pending, reply


def check_round_trip(pipeline: list[Asked], cuts: list[int]) -> None:
    data = b"".join(each.encoded() for each in pipeline)
    meant = [(each.method, each.target, each.body) for each in pipeline]
    for read in (conversed, lent, streamed):
        requests, failure, pending, _ = read(cut(data, cuts))
        assert (requests, failure, pending) == (meant, 0, False), read


def check_changed(pipeline: list[Asked], changes: list[tuple[int, int, bytes]], cuts: list[int]) -> None:
    data = changed(b"".join(each.encoded() for each in pipeline), changes)
    whole = conversed([data])
    for read in (conversed, lent, streamed):
        assert read(cut(data, cuts)) == whole, read
        assert read([data]) == whole, read


@QUICK
@given(PIPELINE, CUTS)
def test_what_is_well_formed_comes_through_as_it_was_meant(pipeline: list[Asked], cuts: list[int]) -> None:
    check_round_trip(pipeline, cuts)


@QUICK
@given(PIPELINE, CHANGES, CUTS)
def test_what_was_changed_means_the_same_to_every_reader(
    pipeline: list[Asked], changes: list[tuple[int, int, bytes]], cuts: list[int]
) -> None:
    check_changed(pipeline, changes, cuts)


@pytest.mark.slow
@pytest.mark.timeout(600)
@LONG
@given(PIPELINE, CUTS)
def test_what_is_well_formed_comes_through_as_it_was_meant_at_length(pipeline: list[Asked], cuts: list[int]) -> None:
    check_round_trip(pipeline, cuts)


@pytest.mark.slow
@pytest.mark.timeout(600)
@LONG
@given(PIPELINE, CHANGES, CUTS)
def test_what_was_changed_means_the_same_to_every_reader_at_length(
    pipeline: list[Asked], changes: list[tuple[int, int, bytes]], cuts: list[int]
) -> None:
    check_changed(pipeline, changes, cuts)
