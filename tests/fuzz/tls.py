"""TLS: handshakes that break off or never were, records that are none, and many short connections that are right."""

from __future__ import annotations

import ssl
from functools import cache
from random import Random

from fuzz.sequence import (
    Answers,
    Close,
    End,
    Enter,
    Half,
    Notify,
    Pause,
    Raw,
    Reset,
    Send,
    Sequence,
    Step,
    ending,
    mutated,
)

GARBAGE = (
    b"GET / HTTP/1.1\r\nHost: a\r\n\r\n",
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    b"\x16\x03\x01\xff\xff",
    b"\x16\x03\x01\x00\x00" * 50,
    b"\x15\x03\x03\x00\x02\x01\x00",
    b"\x15\x03\x03\x00\x02\x02\x28",
    b"\x17\x03\x03\x00\x10" + b"x" * 16,
    b"\x14\x03\x03\x00\x01\x01",
    b"\x16\x03\x01\x00\x04\x01\x00\x00\x00",
    b"\x80\x2e\x01\x00\x02",
    b"\x00" * 200,
    b"\xff" * 20_000,
    b"\x18\x03\x02\x00\x03\x01\x40\x00",
    b"\n",
    b"\x16",
    b"\x16\x03\x03\x00\x04\x00\x00\x00\x00",
    b"\x16\x03\x03\x00\x05\x18\x00\x00\x01\x00",
)


@cache
def hello(version: str, alpn: tuple[str, ...]) -> bytes:
    """A ClientHello as OpenSSL makes it."""
    context = ssl.create_default_context()
    context.maximum_version = {"1.2": ssl.TLSVersion.TLSv1_2, "1.3": ssl.TLSVersion.TLSv1_3}[version]
    if alpn:
        context.set_alpn_protocols(list(alpn))
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = context.wrap_bio(incoming, outgoing, server_hostname="localhost")
    try:
        client.do_handshake()
    except ssl.SSLWantReadError:
        return outgoing.read()
    raise AssertionError("a handshake without a server")


def make(random: Random, request: Sequence) -> Sequence:
    """One connection. ``request``: what a correct client of the app would do."""
    kind = random.random()
    first = hello(random.choice(("1.2", "1.3")), random.choice(((), ("http/1.1",), ("h2", "http/1.1"), ("foo",))))
    steps: list[Step]
    if kind < 0.15:
        steps = [Raw(random.choice(GARBAGE))]
    elif kind < 0.25:
        steps = [Raw(first[: random.randrange(len(first))])]
    elif kind < 0.35:
        steps = [Raw(mutated(random, first))]
    elif kind < 0.5:
        cut = random.randrange(1, len(first))
        steps = [
            Raw(first[:cut]),
            Pause(random.choice((0.0, 0.001))),
            Raw(first[cut:] + random.choice((b"", b"", first, random.choice(GARBAGE)))),
        ]
    elif kind < 0.6:  # a handshake and no word
        return Sequence(request.protocol, [Enter(), random.choice((Close(), Reset(), Notify(), Half())), Close()])
    elif kind < 0.75:  # all is right, as often as it comes
        return Sequence(request.protocol, request.steps, request.asked)
    elif kind < 0.9:  # right, then what is no record
        asked = [step for step in request.steps if isinstance(step, Send | Answers)]
        return Sequence(
            request.protocol, [Enter(), *asked, Raw(random.choice(GARBAGE)), *ending(random)], request.asked
        )
    else:  # leaves in the middle of an answer
        asked = [step for step in request.steps if isinstance(step, Send)]
        return Sequence(
            request.protocol,
            [
                Enter(),
                *asked,
                random.choice((Close(), Reset(), Raw(b"\x15\x03\x03\x00\x02\x01\x00"), Notify())),
                Close(),
            ],
        )
    return Sequence(
        request.protocol, [*steps, *random.choice(([Close()], [Reset()], [Half(), End()], [Pause(0.002), Close()]))]
    )
