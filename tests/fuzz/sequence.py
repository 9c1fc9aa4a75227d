"""What a client does on one connection, as data: printed, it is Python that makes the same sequence again."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from random import Random
from typing import Any, NamedTuple


class Send(NamedTuple):
    """Bytes, through TLS where the door has it."""

    data: bytes


class Raw(NamedTuple):
    """Bytes as they are, whatever the door."""

    data: bytes


class Pause(NamedTuple):
    """Seconds in which nothing is sent."""

    seconds: float


class Enter(NamedTuple):
    """Shake hands where the door has TLS. ``alpn``: the protocols offered."""

    alpn: tuple[str, ...] = ()


class Answers(NamedTuple):
    """Wait until so many of what was asked are answered."""

    count: int


class Half(NamedTuple):
    """Close the sending side."""


class End(NamedTuple):
    """Read until the server closes, which it has to do."""


class Notify(NamedTuple):
    """Say goodbye in TLS (close_notify), where the door has it."""


class Reset(NamedTuple):
    """Leave by a reset (SO_LINGER 0)."""


class Close(NamedTuple):
    """Leave."""


Step = Send | Raw | Pause | Enter | Answers | Half | End | Notify | Reset | Close


@dataclass
class Sequence:
    """One connection. ``asked``: what has to be answered, in the words of its protocol; ``deaf``: never reads."""

    protocol: str
    steps: list[Step]
    asked: list[Any] = field(default_factory=list)
    deaf: bool = False
    name: str = ""

    def shown(self) -> str:
        """As Python, a step a line."""
        steps = "".join(f"    {_short(repr(step))},\n" for step in self.steps)
        rest = f"asked={_short(repr(self.asked))}, deaf={self.deaf}"
        return f"# {self.name}\nSequence({self.protocol!r}, [\n{steps}], {rest})"


RUN = re.compile(r"(\\x..|\\.|[^\\'])\1{15,}")


def _short(text: str) -> str:
    """The same Python, with what is repeated in bytes written once."""
    if 'b"' in text:  # in other quotes than those that are put around the pieces
        return text
    return RUN.sub(lambda found: f"' + b'{found[1]}' * {len(found[0]) // len(found[1])} + b'", text)


def pieces(random: Random, data: bytes) -> Iterator[Step]:
    """The bytes in one segment or in several, cut anywhere."""
    if random.random() < 0.5 or len(data) < 2:
        yield Send(data)
        return
    if len(data) < 60 and random.random() < 0.2:
        cuts = list(range(1, len(data)))
    else:
        cuts = sorted(random.sample(range(1, len(data)), min(len(data) - 1, random.randint(1, 6))))
    for start, end in zip([0, *cuts], [*cuts, len(data)], strict=True):
        yield Send(data[start:end])
        if random.random() < 0.3:
            yield Pause(random.choice((0.0, 0.0005, 0.002)))


def ending(random: Random) -> list[Step]:
    """How a client leaves that has nothing left to say."""
    return random.choice(
        (
            [Close()],
            [Close()],
            [Reset()],
            [Half(), End()],
            [Pause(0.002), Close()],
            [Pause(0.002), Reset()],
            [Notify(), Close()],
            [Notify(), Half(), End()],
        )
    )


def mutated(random: Random, data: bytes) -> bytes:
    """The bytes with a few faults that know nothing of what they mean."""
    found = bytearray(data)
    for _ in range(random.choice((1, 1, 1, 2, 4))):
        if not found:
            break
        at = random.randrange(len(found))
        kind = random.randrange(7)
        if kind == 0:
            found[at] = random.randrange(256)
        elif kind == 1:
            found[at] ^= 1 << random.randrange(8)
        elif kind == 2:
            del found[at : at + random.choice((1, 2, 8, 100))]
        elif kind == 3:
            found[at:at] = random.choice((b"\0", b"\r\n", b"\n", b"\r", b" ", b"\xff", b"\x80", b"\t", b":", b"\x7f"))
        elif kind == 4:
            found[at:at] = random.randbytes(random.choice((1, 3, 9, 200)))
        elif kind == 5:
            found[at:at] = found[at : at + random.choice((2, 9, 80))]
        else:
            del found[at:]
    return bytes(found)
