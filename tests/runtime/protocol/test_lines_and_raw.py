"""Lines and raw bytes."""

from __future__ import annotations

from harness.forms import drawn
from http_bytes import PEER, pieces
from hypothesis import given
from hypothesis import strategies as st

from poolctl.runtime.protocol.lines import Lines, LinesFramer
from poolctl.runtime.protocol.raw import Raw


def take_all(framer: LinesFramer) -> list[bytes]:
    found = []
    while (line := framer.take()) is not None:
        found.append(line)
    return found


def test_a_line_is_a_request_with_either_line_end() -> None:
    conversation = Lines().conversation(PEER)
    conversation.receive(b"one\r\ntwo\n\n\r\r\nfi")
    assert list(conversation.requests) == [b"one", b"two", b"", b"\r"]
    assert conversation.pending
    conversation.receive(b"ve")
    conversation.ended()
    assert list(conversation.requests)[4:] == [b"five"]
    assert not conversation.pending


def test_the_framer_completes_the_last_line() -> None:
    framer = Lines().framer()
    framer.receive(b"one\r\ntwo")
    assert take_all(framer) == [b"one\r\n"]
    assert framer.pending
    framer.ended()
    assert take_all(framer) == [b"two\n"]


def test_a_line_that_is_too_long_fails() -> None:
    for data, requests, failure in [(b"1234\n12345\n1\n", [b"1234"], 413), (b"12345", [], 413), (b"1234", [], None)]:
        conversation = Lines(limit=4).conversation(PEER)
        conversation.receive(data)
        assert (list(conversation.requests), conversation.failure) == (requests, failure)
        conversation.receive(b"\nmore\n")
        assert (len(conversation.requests) == len(requests)) == bool(failure)
    assert Lines().refusal(413) == b""


@drawn(100)
@given(st.text(alphabet="ab\r\n", max_size=60), st.lists(st.integers(0, 60), max_size=8))
def test_splits_make_no_difference(text: str, cuts: list[int]) -> None:
    data = text.encode()
    outcomes = []
    for chunks in (pieces(data, cuts), [data]):
        conversation = Lines(limit=5).conversation(PEER)
        framer = Lines(limit=5).framer()
        for chunk in chunks:
            conversation.receive(chunk)
            framer.receive(chunk)
        conversation.ended()
        framer.ended()
        raw = take_all(framer)
        assert framer.failure == conversation.failure
        worker = Lines(limit=5).conversation(PEER)
        for line in raw:
            worker.receive(line)
        assert worker.requests == conversation.requests
        outcomes.append((list(conversation.requests), conversation.failure, raw))
    assert outcomes[0] == outcomes[1]


def test_raw_passes_chunks_on() -> None:
    conversation = Raw().conversation(PEER)
    framer = Raw().framer()
    for half in (conversation, framer):
        half.receive(b"one")
        half.receive(b"")
        half.receive(b"two")
        half.ended()
        assert not half.pending
        assert half.failure is None
    assert list(conversation.requests) == [b"one", b"two"]
    assert [framer.take(), framer.take(), framer.take()] == [b"one", b"two", None]
    assert not Raw.marks_requests
    assert Raw().refusal(503) == b""
