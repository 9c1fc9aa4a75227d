"""The PROXY protocol, versions 1 and 2: headers that are right, before a correct client; and others."""

from __future__ import annotations

import struct
from random import Random

from fuzz.sequence import End, Enter, Half, Pause, Raw, Sequence, Step, ending, mutated

SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"
FOUR = bytes([192, 0, 2, 7, 198, 51, 100, 1]) + struct.pack("!HH", 4711, 443)
SIX = bytes(15) + b"\1" + bytes(15) + b"\2" + struct.pack("!HH", 4711, 443)
TLVS = (b"", b"\1\0\2h2", b"\3\0\4abcd", b"\4\0\0", b"\x20\0\5\1\0\0\0\0", b"\xff\xff\xff", b"\5\0\x80" + b"u" * 128)
FIRST = (
    b"PROXY TCP4 192.0.2.7 198.51.100.1 4711 443\r\n",
    b"PROXY TCP6 ::1 2001:db8::1 1 65535\r\n",
    b"PROXY UNKNOWN\r\n",
    b"PROXY UNKNOWN ffff:f...f:ffff ffff:f...f:ffff 65535 65535\r\n",
    b"PROXY TCP6 ::ffff:1.2.3.4 :: 0 0\r\n",
)
WRONG = (
    b"PROXY\r\n",
    b"PROXY \r\n",
    b"PROXY TCP4\r\n",
    b"PROXY TCP4 1.2.3.4 5.6.7.8 1\r\n",
    b"PROXY TCP4 1.2.3.4 5.6.7.8 1 2 3\r\n",
    b"PROXY TCP4 ::1 ::1 1 2\r\n",
    b"PROXY TCP4 1.2.3.4 5.6.7.8 -1 2\r\n",
    b"PROXY TCP4 1.2.3.4 5.6.7.8 99999 2\r\n",
    b"PROXY TCP4 1.2.3.4 5.6.7.8 01 2\r\n",
    b"PROXY TCP4  1.2.3.4 5.6.7.8 1 2\r\n",
    b"PROXY TCP6 ::1%lo ::1 1 2\r\n",
    b"PROXY TCP4 1.2.3.4 5.6.7.8 \xb2 2\r\n",
    b"PROXY " + b"x" * 300,
    b"proxy TCP4 1.2.3.4 5.6.7.8 1 2\r\n",
    b"PROXY TCP4 1.2.3.4 5.6.7.8 1 2\n",
    b"\n",
    b"P",
    b"\r",
    SIGNATURE,
    SIGNATURE + b"\x21",
    b"\r\n\r\n\0\r\nQUIX\n",
    b"GET / HTTP/1.1\r\n\r\n",
    b"\x16\x03\x01",
    b"\0",
    b"PROXY UNKNOWN",
    b"PROXYTCP4",
)


def second(command: int, family: int, payload: bytes, size: int | None = None) -> bytes:
    """A header of version 2."""
    return SIGNATURE + struct.pack("!BBH", command, family, len(payload) if size is None else size) + payload


def right(random: Random) -> bytes:
    """A header that has to be understood."""
    tlvs = b"".join(random.choices(TLVS[:5], k=random.choice((0, 0, 1, 3))))
    return random.choice(
        (
            *FIRST,
            second(0x21, 0x11, FOUR + tlvs),
            second(0x21, 0x21, SIX + tlvs),
            second(0x20, 0x00, b""),
            second(0x20, 0x11, FOUR + tlvs),
            second(0x21, 0x00, b""),
            second(0x21, 0x31, b"u" * 216),
            second(0x21, 0x12, FOUR),
            second(0x21, 0x11, FOUR + b"\4\x0b\xb8" + b"n" * 3000),
        )
    )


def wrong(random: Random) -> bytes:
    """One that is none, or is not complete."""
    kind = random.random()
    if kind < 0.4:
        return random.choice(WRONG)
    if kind < 0.6:
        found = right(random)
        return found[: random.randrange(len(found))]
    if kind < 0.75:
        return mutated(random, right(random))
    if kind < 0.9:
        size = random.choice((None, 0, 1, 11, 12, 4080, 4081, 65535))
        return second(
            random.choice((0x21, 0x20, 0x22, 0x2F, 0x11, 0x31, 0xFF)),
            random.randrange(256),
            random.choice((FOUR, SIX, b"", b"xyz", FOUR + TLVS[5])),
            size,
        )
    return random.randbytes(random.choice((1, 20, 5000)))


def make(random: Random, request: Sequence) -> Sequence:
    """One connection. ``request``: what a correct client of the app would do."""
    good = random.random() < 0.5
    data = right(random) if good else wrong(random)
    steps: list[Step] = []
    if random.random() < 0.3:
        cut = random.randrange(len(data) + 1)
        steps += [Raw(data[:cut]), Pause(random.choice((0.0, 0.001))), Raw(data[cut:])]
    else:
        steps += [Raw(data)]
    if good:
        return Sequence(request.protocol, [*steps, *request.steps], request.asked)
    rest: list[Step] = [step for step in request.steps if isinstance(step, Raw)] if random.random() < 0.5 else []
    return Sequence(request.protocol, [*steps, *rest, *random.choice((ending(random), [Half(), End()]))])


HEADER = FIRST[0]
ENTER = Enter()
