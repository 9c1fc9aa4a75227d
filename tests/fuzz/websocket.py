"""WebSockets: handshakes, then frames; after messages that are echoed come frames that break the rules."""

from __future__ import annotations

import zlib
from random import Random

from fuzz.sequence import Answers, End, Enter, Half, Pause, Send, Sequence, Step, ending, mutated, pieces

EXTENSIONS = (
    "permessage-deflate",
    "permessage-deflate; client_max_window_bits",
    "permessage-deflate; server_no_context_takeover; client_no_context_takeover",
    "permessage-deflate; client_max_window_bits=x",
    "permessage-deflate; client_max_window_bits=99",
    "permessage-deflate; server_max_window_bits",
    "permessage-deflate; server_max_window_bits=8",
    "permessage-deflate; server_max_window_bits=7",
    "permessage-deflate; client_max_window_bits=0",
    "permessage-deflate; client_max_window_bits=-1",
    "permessage-deflate; unknown",
    "permessage-deflate; unknown=1; client_max_window_bits=10",
    "permessage-deflate; client_max_window_bits=10; client_max_window_bits=11",
    'permessage-deflate; client_max_window_bits="12"',
    "permessage-deflate;",
    "permessage-deflate; ;",
    "permessage-deflate=1",
    "x-webkit-deflate-frame",
    ", ,",
    ";",
    "permessage-deflate; server_no_context_takeover=1",
    "permessage-deflate; server_max_window_bits=9999999999999999999999",
    "permessage-deflate; client_max_window_bits=\u0661",
    "permessage-deflate, permessage-deflate",
    "permessage-deflate; client_max_window_bits=",
    "permessage-deflate; client_max_window_bits=1e1",
    "permessage-bzip2; level=9",
    "a" * 4000,
)
HEADERS = (
    "Sec-WebSocket-Protocol: chat, superchat",
    "Sec-WebSocket-Protocol:",
    "Sec-WebSocket-Protocol: ,,",
    "Sec-WebSocket-Protocol: a b",
    "Sec-WebSocket-Protocol: \xff",
    "Sec-WebSocket-Protocol: a, a",
    "Origin: null",
    "Sec-WebSocket-Key: x",
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
    "Sec-WebSocket-Version: 8",
    "Sec-WebSocket-Version: 13",
    "Sec-WebSocket-Accept: x",
    "Content-Length: 5",
    "Transfer-Encoding: chunked",
    "Connection: close",
    "Expect: 100-continue",
    "Upgrade: foo",
    "Sec-WebSocket-Extensions: foo",
    "Cookie: a=b",
    "Sec-WebSocket-Foo: bar",
)
TEXT, BINARY, CLOSE, PING, PONG = 1, 2, 8, 9, 10
BAD_UTF8 = (b"\xff", b"\xc3", b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"ok\x80", b"\xc0\xaf", b"\xf0\x9f\x98")


def frame(code: int, payload: bytes, *, last: bool = True, rsv: int = 0, mask: bytes | None = b"mask") -> bytes:
    """A frame. ``rsv``: three bits; ``mask``: None for none, as no client may send it."""
    size = len(payload)
    first = bytes([last << 7 | rsv << 4 | code])
    bit = 128 if mask is not None else 0
    if size < 126:
        head = first + bytes([bit | size])
    elif size < 65536:
        head = first + bytes([bit | 126]) + size.to_bytes(2, "big")
    else:
        head = first + bytes([bit | 127]) + size.to_bytes(8, "big")
    if mask is None:
        return head + payload
    whole = int.from_bytes((mask * (size // 4 + 1))[:size], "big") ^ int.from_bytes(payload, "big")
    return head + mask + whole.to_bytes(size, "big")


def handshake(path: str = "/", *lines: str) -> bytes:
    """A request that asks for a WebSocket, and does it right."""
    head = [
        f"GET {path} HTTP/1.1",
        "Host: a",
        "Upgrade: websocket",
        "Connection: Upgrade",
        "Sec-WebSocket-Version: 13",
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
    ]
    return "\r\n".join([*head, *lines, "", ""]).encode("utf-8")


def odd_handshake(random: Random) -> bytes:
    """One that does not."""
    kind = random.random()
    path = random.choice(("/", "/", "/deny", "/leave", "/%00", "*"))
    if kind < 0.4:
        return handshake(
            path,
            f"Sec-WebSocket-Extensions: {random.choice(EXTENSIONS)}",
            *random.sample(HEADERS, random.choice((0, 0, 1))),
        )
    if kind < 0.7:
        return handshake(path, *random.sample(HEADERS, random.choice((1, 2))))
    lines = handshake(path).split(b"\r\n")
    if kind < 0.85:
        del lines[random.randrange(1, 6)]
        return b"\r\n".join(lines)
    return mutated(random, handshake(path))


def deflated(random: Random, payload: bytes) -> bytes:
    """What permessage-deflate makes of it, right or not."""
    made = zlib.compressobj(9, zlib.DEFLATED, -random.choice((9, 15)))
    whole = made.compress(payload) + made.flush(zlib.Z_SYNC_FLUSH)
    return random.choice(
        (whole[:-4], whole[:-4], whole, mutated(random, whole), random.randbytes(40), b"", whole[:3], payload)
    )


def odd(random: Random, *, compressed: bool) -> bytes:
    """A frame or a few."""
    kind = random.randrange(16)
    mask = random.randbytes(4)
    payload = random.choice((b"", b"hello", b"x" * 125, b"x" * 126, b"y" * 70_000, "\u00e4\u20ac".encode()))
    if kind == 0:
        return frame(random.choice((TEXT, BINARY)), payload, mask=None)
    if kind == 1:
        return frame(random.choice((3, 4, 7, 11, 15)), b"x", mask=mask)
    if kind == 2:
        return frame(TEXT, payload, rsv=random.choice((1, 2, 4, 7)), mask=mask)
    if kind == 3:
        return frame(TEXT, random.choice(BAD_UTF8), mask=mask)
    if kind == 4:  # UTF-8 that is cut by fragments, rightly or not
        return frame(TEXT, b"\xe2\x82", last=False, mask=mask) + frame(
            0, random.choice((b"\xac", b"x", b"")), mask=mask
        )
    if kind == 5:
        return b"".join(
            frame(0 if n else BINARY, b"p", last=n == 20, mask=mask) + frame(PING, b"%d" % n, mask=mask)
            for n in range(21)
        )
    if kind == 6:
        return frame(0, b"nothing to continue", mask=mask)
    if kind == 7:
        return frame(TEXT, b"a", last=False, mask=mask) + frame(TEXT, b"b", mask=mask)
    if kind == 8:
        return frame(random.choice((CLOSE, PING, PONG)), b"x" * random.choice((126, 200)), mask=mask)
    if kind == 9:
        return frame(random.choice((CLOSE, PING)), b"", last=False, mask=mask)
    if kind == 10:
        code = random.choice((0, 999, 1000, 1001, 1004, 1005, 1006, 1015, 1016, 2999, 3000, 4999, 5000, 65535))
        return frame(CLOSE, code.to_bytes(2, "big") + random.choice((b"", b"bye", b"\xff", b"r" * 123)), mask=mask)
    if kind == 11:
        return frame(CLOSE, random.choice((b"", b"\x03")), mask=mask) + frame(TEXT, b"after", mask=mask)
    if kind == 12:
        return frame(random.choice((PING, PONG)), b"p", mask=mask) * random.choice((1, 50))
    if kind == 13:
        size = random.choice((1 << 20, (1 << 63) - 1, 1 << 63, (1 << 64) - 1, 16 * 1024 * 1024 + 1))
        return bytes([128 | BINARY, 128 | 127]) + size.to_bytes(8, "big") + mask + b"x" * 50
    if kind == 14:  # lengths that have a shorter form
        return (
            bytes([128 | TEXT, 128 | 126, 0, 5]) + mask + b"hello"
            if random.random() < 0.5
            else bytes([129, 255]) + bytes(7) + b"\5" + mask + b"hello"
        )
    if compressed:
        return frame(
            random.choice((TEXT, BINARY)),
            deflated(random, random.choice((payload, b"\0" * 1_000_000))),
            rsv=4,
            mask=mask,
        )
    return random.randbytes(random.choice((1, 20, 300)))


def make(random: Random) -> Sequence:
    """One connection."""
    steps: list[Step] = [Enter()]
    if random.random() < 0.35:
        data = odd_handshake(random) + frame(TEXT, b"early") * random.choice((0, 1))
        return Sequence("websocket", [*steps, *pieces(random, data), Pause(0.001), *ending(random)])
    compressed = random.random() < 0.4
    lines = [f"Sec-WebSocket-Extensions: {random.choice(EXTENSIONS[:3])}"] if compressed else []
    data = handshake(random.choice(("/", "/", "/", "/leave")), *lines)
    asked = [random.choice((b"", b"hello", b"m" * 126, b"n" * 3000)) for _ in range(random.choice((0, 1, 1, 3)))]
    if b"/leave" in data or compressed:
        asked = []
    for message in asked:
        data += frame(TEXT, message, mask=random.randbytes(4))
    steps += pieces(random, data)
    if asked:
        steps.append(Answers(len(asked)))
    rest = b"".join(odd(random, compressed=compressed) for _ in range(random.choice((0, 1, 1, 2, 4))))
    if random.random() < 0.1:
        rest = mutated(random, rest)
    if random.random() < 0.1:
        rest += frame(BINARY, b"z" * 100_000)[: random.randrange(100_000)]
    return Sequence(
        "websocket", [*steps, *pieces(random, rest), *ending(random)], asked, deaf=not asked and random.random() < 0.1
    )


def answered(asked: list[bytes], data: bytes) -> int:
    """How many messages came back. Raises ValueError where another came."""
    head, _, rest = data.partition(b"\r\n\r\n")
    if not rest:
        return 0
    if not head.startswith(b"HTTP/1.1 101 "):
        raise ValueError(f"the handshake was answered by {head!r}")
    at = count = 0
    while count < len(asked):
        expected = frame(TEXT, asked[count], mask=None)
        found = rest[at : at + len(expected)]
        if found != expected[: len(found)]:
            raise ValueError(f"message {count} was answered by {found[:100]!r}")
        if len(found) < len(expected):
            return count
        at += len(expected)
        count += 1
    return count


def correct(number: int) -> Sequence:
    """What a plain client does."""
    said = [Send(handshake() + frame(TEXT, b"hello %d" % number)), Answers(1), Send(frame(CLOSE, b"\x03\xe8")), End()]
    return Sequence("websocket", [Enter(), *said], [b"hello %d" % number], name="a correct client of WebSockets")


def known() -> list[Sequence]:
    """What was once found."""
    offers = ("client_max_window_bits=x", "server_max_window_bits=x", "unknown")
    return [
        Sequence(
            "websocket",
            [
                Enter(),
                Send(handshake("/", f"Sec-WebSocket-Extensions: permessage-deflate; {offer}")),
                Pause(0.002),
                Half(),
                End(),
            ],
            name=offer,
        )
        for offer in offers
    ]
