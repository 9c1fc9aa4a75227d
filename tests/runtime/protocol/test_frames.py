"""Frames: messages that begin with their length."""

from __future__ import annotations

from typing import Any, BinaryIO

import pytest
from harness.forms import drawn
from http_bytes import PEER, pieces
from hypothesis import given
from hypothesis import strategies as st

from poolctl.runtime.protocol.frames import Frames, FramesFramer

shapes = st.builds(
    Frames, size=st.sampled_from([1, 2, 4, 8]), order=st.sampled_from(["big", "little"]), limit=st.integers(1, 9)
)


def take_all(framer: FramesFramer) -> list[bytes | BinaryIO]:
    found = []
    while (frame := framer.take()) is not None:
        found.append(frame)
    return found


@pytest.mark.parametrize(
    ("options", "sent"),
    [
        ({}, b"\0\0\0\x02ab\0\0\0\0\0\0\0\x01c"),
        ({"size": 1}, b"\x02ab\0\x01c"),
        ({"size": 2, "order": "little"}, b"\x02\0ab\0\0\x01\0c"),
        ({"size": 8}, b"\0\0\0\0\0\0\0\x02ab" + bytes(8) + b"\0\0\0\0\0\0\0\x01c"),
    ],
)
def test_a_frame_is_a_request(options: dict[str, Any], sent: bytes) -> None:
    protocol = Frames(**options)
    conversation = protocol.conversation(PEER)
    conversation.receive(sent)
    assert [frame.data for frame in conversation.requests] == [b"ab", b"", b"c"]
    assert b"".join(frame.protocol.frame(frame.data) for frame in conversation.requests) == sent
    assert not conversation.pending
    framer = protocol.framer()
    framer.receive(sent)
    assert b"".join(take_all(framer)) == sent  # type: ignore[arg-type]


def test_an_incomplete_frame_is_dropped_at_the_end() -> None:
    for half in (Frames(size=1).conversation(PEER), Frames(size=1).framer()):
        half.receive(b"\x03ab")
        assert (half.pending, half.in_body) == (True, True)
        half.ended()
        assert (half.pending, half.in_body, half.failure) == (False, False, None)
    conversation = Frames(size=1).conversation(PEER)
    conversation.receive(b"\x01a\x03ab")
    conversation.ended()
    assert [frame.data for frame in conversation.requests] == [b"a"]


def test_an_incomplete_prefix_is_not_in_a_body() -> None:
    for half in (Frames().conversation(PEER), Frames().framer()):
        half.receive(b"\0\0\0")
        assert (half.pending, half.in_body) == (True, False)
        half.receive(b"\x01")
        assert (half.pending, half.in_body) == (True, True)
        half.receive(b"a\0")
        assert (half.pending, half.in_body) == (True, False)


def test_a_frame_that_is_too_long_fails_before_it_is_received() -> None:
    conversation, framer = Frames(limit=3).conversation(PEER), Frames(limit=3).framer()
    for half in (conversation, framer):
        half.receive(b"\0\0\0\x03abc\0\0\0\x04")
        assert half.failure == 413
        half.receive(b"\0\0\0\x01a")
    assert [frame.data for frame in conversation.requests] == [b"abc"]
    assert take_all(framer) == [b"\0\0\0\x03abc"]
    assert framer.ready
    assert Frames().refusal(413) == b""


@pytest.mark.parametrize("size", [1, 2])
def test_a_response_that_is_too_long_for_the_prefix(size: int) -> None:
    most = 256**size - 1  # type: ignore[operator]
    protocol = Frames(size=size)  # type: ignore[arg-type]
    assert protocol.frame(bytes(most)) == b"\xff" * size + bytes(most)
    with pytest.raises(ValueError, match=f"{most + 1} bytes are too many .* maximum is {most}"):
        protocol.frame(bytes(most + 1))


def test_a_large_frame_is_passed_as_a_file() -> None:
    framer = Frames().framer()
    frames = [Frames().frame(b"a" * count) for count in (65532, 65533, 1024 * 1024)]
    framer.receive(b"".join(frames))
    small, *large = take_all(framer)
    assert small == frames[0]
    assert [file.read() for file in large] == frames[1:]  # type: ignore[union-attr]


@drawn(75)
@given(
    shapes,
    st.lists(st.binary(max_size=10), max_size=6),
    st.lists(st.integers(0, 90), max_size=8),
    st.integers(0, 9),
)
def test_splits_make_no_difference(protocol: Frames, frames: list[bytes], cuts: list[int], missing: int) -> None:
    data = b"".join(protocol.frame(frame) for frame in frames)
    data = data[: len(data) - missing]
    expected = []
    for frame in frames:
        if len(frame) > protocol.limit or sum(protocol.size + len(each) for each in [*expected, frame]) > len(data):
            break
        expected.append(frame)
    failures = set()
    for chunks in (pieces(data, cuts), [data]):
        conversation, framer, worker = protocol.conversation(PEER), protocol.framer(), protocol.conversation(PEER)
        for chunk in chunks:
            conversation.receive(chunk)
            framer.receive(chunk)
        assert (conversation.pending, conversation.in_body) == (framer.pending, framer.in_body)
        conversation.ended()
        framer.ended()
        assert [frame.data for frame in conversation.requests] == expected
        for frame in take_all(framer):
            worker.receive(frame)  # type: ignore[arg-type]
        assert worker.requests == conversation.requests
        failures |= {conversation.failure, framer.failure}
    assert len(failures) == 1
