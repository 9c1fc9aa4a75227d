"""Commands, however they are split, and replies, with the bytes of the specification."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from poolctl_resp import Error, Resp, encoded

from poolctl.plugin import Peer

PEER = Peer("127.0.0.1", "4711", "127.0.0.1", "80")
WORDS = st.lists(st.lists(st.binary(max_size=20), min_size=1, max_size=4), max_size=5)


@given(WORDS, st.lists(st.integers(1, 40), max_size=20))
def test_splits_make_no_difference(commands: list[list[bytes]], sizes: list[int]) -> None:
    data = b"".join(encoded(words) for words in commands)
    conversation, framer = Resp().conversation(PEER), Resp().framer()
    for size in [*sizes, len(data)]:
        piece, data = data[:size], data[size:]
        conversation.receive(piece)
        framer.receive(piece)
    assert list(conversation.requests) == commands
    assert [framer.take() for _ in commands] == [encoded(words) for words in commands]
    assert not conversation.pending


@pytest.mark.parametrize("half", ["conversation", "framer"])
def test_many_small_words_in_pieces_cost_no_more_than_in_one(half: str) -> None:
    data = encoded([b"RPUSH", *[b"x"] * 40_000])
    reader = Resp().conversation(PEER) if half == "conversation" else Resp().framer()
    for start in range(0, len(data), 100):  # parsing from the beginning each time would exceed the test's timeout
        reader.receive(data[start : start + 100])
    assert not reader.pending
    assert not reader.failure


def test_commands_may_be_typed() -> None:
    conversation = Resp().conversation(PEER)
    framer = Resp().framer()
    for reader in (conversation, framer):
        reader.receive(b"\r\nPING\r\n  \r\n*0\r\nSET  a 1\n")
    assert list(conversation.requests) == [[b"PING"], [b"SET", b"a", b"1"]]
    assert [framer.take(), framer.take(), framer.take()] == [b"PING\r\n", b"SET  a 1\n", None]


@pytest.mark.parametrize(
    "data",
    [
        b"*1\r\n:1\r\n",
        b"*x\r\n",
        b"*1\r\n$-1\r\n",
        b"*1\r\n$2\r\nabc\r\n",
        b"*9999999999\r\n",
        b"x" * 70,
        b"POST / HTTP/1.1\r\n",
    ],
)
def test_invalid_bytes_are_refused_after_the_commands_before_them(data: bytes) -> None:
    conversation = Resp(limit=64).conversation(PEER)
    conversation.receive(b"PING\r\n" + data)
    assert conversation.failure
    assert list(conversation.requests) == [[b"PING"]]


@pytest.mark.parametrize("size", [7, 1000])
def test_a_too_large_command_is_refused_however_it_is_split(size: int) -> None:
    conversation = Resp(limit=64).conversation(PEER)
    data = encoded([b"SET", b"k" * 40, b"v" * 40])
    for start in range(0, len(data), size):
        conversation.receive(data[start : start + size])
    assert conversation.failure == 413
    assert not conversation.requests


def test_a_command_without_words_is_ignored() -> None:
    conversation = Resp().conversation(PEER)
    conversation.receive(b"*-1\r\n*0\r\n" + encoded([b"PING"]))
    assert list(conversation.requests) == [[b"PING"]]


@given(st.binary(max_size=200))
def test_arbitrary_bytes_raise_nothing(data: bytes) -> None:
    Resp(limit=64).conversation(PEER).receive(data)


def test_values_are_encoded_as_specified() -> None:
    value = ["OK", 3, b"a\r\nb", None, Error("ERR no\r\n"), {b"k": [True]}]
    assert encoded(value) == (b"*6\r\n+OK\r\n:3\r\n$4\r\na\r\nb\r\n$-1\r\n-ERR no  \r\n*2\r\n$1\r\nk\r\n*1\r\n:1\r\n")
    with pytest.raises(TypeError, match="RESP cannot encode a float"):
        encoded(0.5)
