"""Lines, frames and streams."""

from __future__ import annotations

from random import Random

from fuzz.sequence import Answers, Close, End, Enter, Half, Pause, Reset, Send, Sequence, Step, ending, mutated, pieces

LIMIT = 4096  # bytes of a line, and of a frame


def lines(random: Random) -> Sequence:
    """A connection of lines."""
    asked = [
        b"line %d %x" % (n, random.randrange(1 << 30)) * random.choice((1, 1, 50))
        for n in range(random.choice((0, 1, 2, 9)))
    ]
    odd = random.choice(
        (
            b"",
            b"no end",
            b"\0\xff\xfe\n",
            b"\r\r\n",
            b"\n" * 30,
            b"x" * (LIMIT + 9),
            b"x" * 100_000 + b"\n",
            random.randbytes(500),
            b"a\rb\n",
            b"\r\n",
        )
    )
    data = b"".join(each + random.choice((b"\n", b"\r\n")) for each in asked)
    return around(random, "lines", data, odd, asked)


def frames(random: Random) -> Sequence:
    """A connection of frames."""
    asked = [random.randbytes(random.choice((0, 1, 5, 1000))) for _ in range(random.choice((0, 1, 2, 9)))]
    data = b"".join(len(each).to_bytes(4, "big") + each for each in asked)
    size = random.choice((0, 1, LIMIT, LIMIT + 1, 1 << 31, (1 << 32) - 1))
    odd = random.choice((b"", b"\0", b"\0\0\0", size.to_bytes(4, "big") + b"short", bytes(400), random.randbytes(100)))
    return around(random, "frames", data, odd, asked)


def stream(random: Random) -> Sequence:
    """A connection that echoes."""
    data = random.randbytes(random.choice((0, 1, 100, 5000)))
    odd = random.choice((b"", b"", b"\0" * 100_000))
    return around(random, "stream", data, odd, [data])


def around(random: Random, protocol: str, data: bytes, odd: bytes, asked: list[bytes]) -> Sequence:
    """What is answered, then what need not be."""
    steps: list[Step] = [Enter()]
    kind = random.random()
    if kind < 0.15:
        return Sequence(protocol, [*steps, *pieces(random, data), Half(), Answers(len(asked)), End()], asked)
    if kind < 0.25:
        return Sequence(
            protocol,
            [*steps, *pieces(random, mutated(random, data) * 20), Pause(0.001), random.choice((Close(), Reset()))],
            deaf=True,
        )
    wait: list[Step] = [Answers(len(asked))] if random.random() < 0.6 else []
    late: list[Step] = list(pieces(random, odd)) if odd else []
    if random.random() < 0.5:
        return Sequence(protocol, [*steps, *pieces(random, data), *wait, *late, *ending(random)], asked)
    return Sequence(protocol, [*steps, *pieces(random, data + odd), *wait, *ending(random)], asked)


def answered_lines(asked: list[bytes], data: bytes) -> int:
    """How many lines came back."""
    return _begins(b"", [each + b"\n" for each in asked], data)


def answered_frames(asked: list[bytes], data: bytes) -> int:
    """How many frames came back."""
    return _begins(b"", [len(each).to_bytes(4, "big") + each for each in asked], data)


def answered_stream(asked: list[bytes], data: bytes) -> int:
    """1 when all came back."""
    return _begins(b"", asked, data)


def _begins(start: bytes, expected: list[bytes], data: bytes) -> int:
    at = len(start)
    for count, each in enumerate(expected):
        found = data[at : at + len(each)]
        if found != each[: len(found)]:
            raise ValueError(f"number {count}, {each[:100]!r}, was answered by {found[:100]!r}")
        if len(found) < len(each):
            return count
        at += len(each)
    return len(expected)


def correct_lines(number: int) -> Sequence:
    """What a plain client does."""
    return Sequence(
        "lines",
        [Enter(), Send(b"one\ntwo %d\n" % number), Answers(2), Half(), End()],
        [b"one", b"two %d" % number],
        name="a correct client of lines",
    )


def correct_frames(number: int) -> Sequence:
    """What a plain client does."""
    return Sequence(
        "frames",
        [Enter(), Send(b"\0\0\0\3one\0\0\0\0"), Answers(2), Half(), End()],
        [b"one", b""],
        name="a correct client of frames",
    )


def correct_stream(number: int) -> Sequence:
    """What a plain client does."""
    data = b"hello %d" % number
    return Sequence(
        "stream", [Enter(), Send(data), Answers(1), Half(), End()], [data], name="a correct client of a stream"
    )
