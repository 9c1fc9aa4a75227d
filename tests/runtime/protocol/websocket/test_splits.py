"""How the bytes of a WebSocket are split makes no difference to its messages and frames."""

from __future__ import annotations

import struct

from harness.forms import drawn
from hypothesis import given
from hypothesis import strategies as st

from poolctl.runtime.protocol.http.protocol import Http
from poolctl.runtime.protocol.websocket.conversation import WebSocketConversation
from poolctl.runtime.task import Peer

PEER = Peer("127.0.0.1", "1", "127.0.0.1", "80")
HEAD = (
    b"GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)


def frame(opcode: int, payload: bytes, *, fin: bool = True) -> bytes:
    size = bytes([0x80 | len(payload)]) if len(payload) < 126 else b"\xfe" + struct.pack("!H", len(payload))
    return bytes([fin << 7 | opcode]) + size + b"\0\0\0\0" + payload


def parts(message: str | bytes, cuts: list[int]) -> bytes:
    """Return a message in fragments, with a ping after each."""
    data = message.encode() if isinstance(message, str) else message
    places = sorted({min(cut, len(data)) for cut in cuts})
    pieces = [data[start:end] for start, end in zip([0, *places], [*places, len(data)], strict=True)]
    opcodes = [1 if isinstance(message, str) else 2, *[0] * len(places)]
    return b"".join(
        frame(opcode, piece, fin=number == len(places)) + frame(9, b"%d" % number)
        for number, (opcode, piece) in enumerate(zip(opcodes, pieces, strict=True))
    )


WHOLE = st.lists(
    st.tuples(st.one_of(st.text(max_size=200), st.binary(max_size=300)), st.lists(st.integers(0, 300), max_size=3)),
    max_size=5,
)


def outcome(data: bytes, cuts: list[int], *, accept_at: int) -> tuple[list[str | bytes], bytes, object]:
    conversation = Http().streaming(PEER)
    places = sorted({min(cut, len(data)) for cut in cuts})
    pieces = [data[start:end] for start, end in zip([0, *places], [*places, len(data)], strict=True)]
    socket: WebSocketConversation | None = None
    for number, piece in enumerate(pieces):
        if socket is None:
            conversation.receive(piece)
            if isinstance(conversation.successor, WebSocketConversation):
                socket = conversation.successor
        else:
            socket.receive(piece)
        if socket is not None and number >= accept_at and not socket.accepted:
            socket.accept(None, ())
    assert socket is not None
    if not socket.accepted:
        socket.accept(None, ())
    return list(socket.messages), bytes(socket.out), socket.closed


@drawn(75)
@given(WHOLE, st.binary(max_size=20), st.lists(st.integers(0, 3000), max_size=12), st.integers(0, 5))
def test_splits_make_no_difference(
    messages: list[tuple[str | bytes, list[int]]], noise: bytes, cuts: list[int], accept_at: int
) -> None:
    data = HEAD + b"".join(parts(message, places) for message, places in messages)
    expected = outcome(data, [], accept_at=0)
    assert expected[0] == [message for message, _ in messages]
    assert outcome(data, cuts, accept_at=accept_at) == expected
    broken = data + noise
    assert outcome(broken, cuts, accept_at=accept_at) == outcome(broken, [], accept_at=0)
