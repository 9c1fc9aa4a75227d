"""MyPart finds the same records, however the bytes are split."""

import pytest
from poolctl.plugin import Peer
from my_part import MyPart

PEER = Peer("127.0.0.1", "4711", "127.0.0.1", "80")


@pytest.mark.parametrize("size", [1, 2, 3, 100])
def test_splits_make_no_difference(size: int) -> None:
    data = b"one\0\0three\0rest"
    conversation, framer = MyPart().conversation(PEER), MyPart().framer()
    for start in range(0, len(data), size):
        conversation.receive(data[start : start + size])
        framer.receive(data[start : start + size])
    assert list(conversation.requests) == [b"one", b"", b"three"]
    assert [framer.take() for _ in range(4)] == [b"one\0", b"\0", b"three\0", None]
    assert conversation.pending


def test_a_long_record_is_refused() -> None:
    conversation = MyPart(limit=4).conversation(PEER)
    conversation.receive(b"12345")
    assert conversation.failure == 413
