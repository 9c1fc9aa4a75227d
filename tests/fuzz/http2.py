"""HTTP/2: frames from a grammar; after streams that are answered come frames that should not come, or not so."""

from __future__ import annotations

from random import Random

from hpack import Encoder
from hyperframe.frame import (
    AltSvcFrame,
    ContinuationFrame,
    DataFrame,
    ExtensionFrame,
    Frame,
    GoAwayFrame,
    HeadersFrame,
    PingFrame,
    PriorityFrame,
    PushPromiseFrame,
    RstStreamFrame,
    SettingsFrame,
    WindowUpdateFrame,
)

from fuzz.sequence import Answers, End, Enter, Half, Pause, Send, Sequence, Step, ending, mutated, pieces

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
PATHS = (
    b"/t/odd",
    b"/t/odd",
    b"/large",
    b"/early",
    b"/slow",
    b"/raise",
    b"x",
    b"",
    b"/%zz",
    b"*",
    b"/" + b"p" * 9000,
    b"/\xff",
)
ODD_FIELDS = (
    (b"connection", b"close"),
    (b"transfer-encoding", b"chunked"),
    (b"te", b"gzip"),
    (b"Upper", b"x"),
    (b":path", b"/again"),
    (b":bad", b"x"),
    (b"content-length", b"5"),
    (b"content-length", b"x"),
    (b"content-length", b"-1"),
    (b"", b"empty"),
    (b"a b", b"x"),
    (b"x", b"a\r\nb"),
    (b"x", b"\0"),
    (b"x", b" space "),
    (b"x", b"y" * 20_000),
    (b"cookie", b"a=b"),
    (b"cookie", b"c=d"),
    (b"host", b"other"),
    (b"expect", b"100-continue"),
    (b"upgrade", b"websocket"),
    (b"x", b"\xff\xfe"),
    (b":protocol", b"websocket"),
    (b"range", b"bytes=0-0"),
    (b"proxy-connection", b"x"),
)
SETTINGS = (1, 2, 3, 4, 5, 6, 8, 99)
VALUES = (0, 1, 2, 100, 16384, 65535, 65536, (1 << 24) - 1, 1 << 24, (1 << 31) - 1, 1 << 31, (1 << 32) - 1)
CODES = (0, 1, 2, 3, 7, 8, 11, 13, 99, (1 << 32) - 1)


class Wire:
    """One connection's frames, as bytes. Streams are numbered as they are begun."""

    def __init__(self, random: Random) -> None:
        self.random = random
        self.encoder = Encoder()
        self.next = 1

    def stream(self) -> int:
        """The number of a new stream, or at times of another."""
        if self.random.random() < 0.85:
            self.next += 2
            return self.next - 2
        return self.random.choice((0, 1, 2, 3, max(1, self.next - 2), self.next + 100, (1 << 31) - 1))

    def some(self) -> int:
        """The number of a stream that may exist."""
        return self.random.choice((max(1, self.next - 2), max(1, self.next - 2), 1, 3, 0, 2, self.next, self.next + 2))

    def request(self, path: bytes, method: bytes = b"GET", more: tuple[tuple[bytes, bytes], ...] = ()) -> bytes:
        """A block of headers."""
        fields = [(b":method", method), (b":scheme", b"http"), (b":path", path), (b":authority", b"a"), *more]
        return self.encoder.encode(fields, huffman=self.random.random() < 0.5)

    def headers(self, number: int, block: bytes, *flags: str) -> bytes:
        """A HEADERS frame, at times with padding or priority."""
        frame = HeadersFrame(1, block, flags=flags)
        if self.random.random() < 0.15:
            frame.flags.add("PADDED")
            frame.pad_length = self.random.choice((0, 1, 200))
        if self.random.random() < 0.1:
            frame.flags.add("PRIORITY")
            frame.depends_on = self.random.choice((0, number, 3, 1001))
            frame.stream_weight = self.random.randrange(256)
        return moved(frame, number)


def moved(frame: Frame, number: int) -> bytes:
    """The bytes of a frame, on any stream: hyperframe makes none for streams where it may not be."""
    data = frame.serialize()
    return data[:5] + number.to_bytes(4, "big") + data[9:]


def get(number: int, path: bytes, encoder: Encoder, body: bytes = b"") -> bytes:
    """A request as an ordinary client sends it."""
    method = b"POST" if body else b"GET"
    block = encoder.encode([(b":method", method), (b":scheme", b"http"), (b":path", path), (b":authority", b"a")])
    head = HeadersFrame(number, block, flags=["END_HEADERS"] if body else ["END_HEADERS", "END_STREAM"]).serialize()
    return head + DataFrame(number, body, flags=["END_STREAM"]).serialize() if body else head


def frame(wire: Wire) -> bytes:
    """One frame, or a few that belong together; most of them wrong, or at the wrong time."""
    return wire.random.choice(FRAMES)(wire)


def begin(wire: Wire) -> bytes:
    random = wire.random
    more = tuple(random.sample(ODD_FIELDS, random.choice((0, 0, 1, 2))))
    method = random.choice((b"GET", b"GET", b"POST", b"HEAD", b"CONNECT", b"FOO", b"", b"\xff"))
    flags = [flag for flag in ("END_HEADERS", "END_STREAM") if random.random() < 0.8]
    return wire.headers(wire.stream(), wire.request(random.choice(PATHS), method, more), *flags)


def begin_and_reset(wire: Wire) -> bytes:
    """A stream that is gone when it is looked at, by one way or another."""
    number = wire.next
    wire.next += 2
    flags = ["END_HEADERS", "END_STREAM"] if wire.random.random() < 0.7 else ["END_HEADERS"]
    head = wire.headers(number, wire.request(b"/t/odd"), *flags)
    return head + wire.random.choice(
        (
            RstStreamFrame(number, wire.random.choice(CODES)).serialize(),
            GoAwayFrame(0, number, 0).serialize(),
            WindowUpdateFrame(number, (1 << 31) - 1).serialize(),
            WindowUpdateFrame(0, (1 << 31) - 1).serialize(),
            DataFrame(number, b"late").serialize(),
            b"\0\0\4\3\0" + number.to_bytes(4, "big") + b"\0\0\0\0" + head[:9],
        )
    )


def data(wire: Wire) -> bytes:
    random = wire.random
    made = DataFrame(1, b"d" * random.choice((0, 0, 1, 100, 16384, 16385)))
    if random.random() < 0.3:
        made.flags.add("PADDED")
        made.pad_length = random.choice((0, 1, 255))
    if random.random() < 0.3:
        made.flags.add("END_STREAM")
    return moved(made, wire.some())


def upload(wire: Wire) -> bytes:
    """A body in frames, some of them empty, with trailers at times."""
    number, random = wire.next, wire.random
    wire.next += 2
    found = wire.headers(number, wire.request(b"/t/odd", b"POST"), "END_HEADERS")
    for _ in range(random.randint(0, 6)):
        found += DataFrame(number, b"u" * random.choice((0, 0, 1, 3000))).serialize()
    if random.random() < 0.5:
        return found + DataFrame(number, b"", flags=["END_STREAM"]).serialize()
    trailer = random.choice(((b"x-trailer", b"y"), (b":path", b"/"), (b"content-length", b"9")))
    flags = ["END_HEADERS"] + ["END_STREAM"] * (random.random() < 0.8)
    return found + HeadersFrame(number, wire.encoder.encode([trailer]), flags=flags).serialize()


def rst(wire: Wire) -> bytes:
    return moved(RstStreamFrame(1, wire.random.choice(CODES)), wire.some())


def goaway(wire: Wire) -> bytes:
    return GoAwayFrame(
        0, wire.random.choice((0, 1, 99, (1 << 31) - 1)), wire.random.choice(CODES), b"x" * wire.random.choice((0, 9))
    ).serialize()


def window(wire: Wire) -> bytes:
    made = WindowUpdateFrame(wire.some(), wire.random.choice((1, 65535, (1 << 31) - 1)))
    if wire.random.random() < 0.15:
        return made.serialize()[:-4] + b"\0\0\0\0"
    return made.serialize() * wire.random.choice((1, 1, 2))


def settings(wire: Wire) -> bytes:
    random = wire.random
    if random.random() < 0.2:
        return SettingsFrame(0, flags=["ACK"]).serialize()
    pairs = {random.choice(SETTINGS): random.choice(VALUES) for _ in range(random.randint(0, 4))}
    return SettingsFrame(0, pairs).serialize() * random.choice((1, 1, 1, 30))


def ping(wire: Wire) -> bytes:
    flags = ["ACK"] if wire.random.random() < 0.2 else []
    return PingFrame(0, b"pingpong", flags=flags).serialize() * wire.random.choice((1, 1, 300))


def priority(wire: Wire) -> bytes:
    number = wire.some()
    return moved(
        PriorityFrame(1, depends_on=wire.random.choice((0, number, 5, 7)), stream_weight=3, exclusive=True), number
    )


def continuation(wire: Wire) -> bytes:
    """Headers in many pieces, which end, or do not, or are interrupted."""
    random, number = wire.random, wire.next
    wire.next += 2
    block = wire.request(b"/t/odd", more=((b"x", b"y" * 300),))
    found = HeadersFrame(number, block[:10], flags=["END_STREAM"]).serialize()
    for _ in range(random.choice((0, 1, 5, 200))):
        found += ContinuationFrame(number, b"").serialize()
    if random.random() < 0.3:
        found += random.choice((ping, window, data))(wire)
    flags = ["END_HEADERS"] if random.random() < 0.7 else []
    return found + ContinuationFrame(number, block[10:], flags=flags).serialize()


def bad_hpack(wire: Wire) -> bytes:
    random, number = wire.random, wire.next
    wire.next += 2
    block = random.choice(
        (
            b"\xff" * 20,
            b"\x80",
            b"\x3f\xff\xff\xff\xff\x0f",
            b"\x40\x7f\xff\xff\xff\xff\xff\x0f",
            b"\x00",
            b"\xbe",
            random.randbytes(30),
        )
    )
    return HeadersFrame(number, block, flags=["END_HEADERS", "END_STREAM"]).serialize()


def bomb(wire: Wire) -> bytes:
    """A field in the table, and thousands of references to it."""
    number = wire.next
    wire.next += 2
    block = wire.encoder.encode([(b"x-bomb", b"b" * 3000)]) + b"\xbe" * wire.random.choice((10, 4000))
    return HeadersFrame(number, block, flags=["END_HEADERS", "END_STREAM"]).serialize()


def odd_kind(wire: Wire) -> bytes:
    random = wire.random
    number = wire.some()
    size, kind, flags = random.choice((0, 1, 5, 8, 16384, 16385)), random.randrange(12), random.randrange(256)
    payload = random.randbytes(size)
    length = random.choice((size, size, size, size + 1, 0, (1 << 24) - 1))
    return length.to_bytes(3, "big") + bytes([kind, flags]) + number.to_bytes(4, "big") + payload


def unknown(wire: Wire) -> bytes:
    return wire.random.choice(
        (
            AltSvcFrame(0, b"a", b"b").serialize(),
            PushPromiseFrame(max(1, wire.next - 2), 2, wire.request(b"/"), flags=["END_HEADERS"]).serialize(),
            ExtensionFrame(0xEE, wire.some(), flag_byte=7, body=b"x" * 50).serialize(),
            moved(SettingsFrame(0), 3),
            moved(PingFrame(0, b"12345678"), 1),
        )
    )


FRAMES = (
    begin,
    begin,
    begin,
    begin_and_reset,
    begin_and_reset,
    data,
    data,
    upload,
    upload,
    rst,
    goaway,
    window,
    settings,
    ping,
    priority,
    continuation,
    bad_hpack,
    bomb,
    odd_kind,
    unknown,
)


def make(random: Random) -> Sequence:
    """One connection."""
    wire = Wire(random)
    steps: list[Step] = [Enter(("h2",))]
    start = PREFACE + SettingsFrame(0, {3: 100} if random.random() < 0.5 else {}).serialize()
    if random.random() < 0.08:
        start = mutated(random, start)
        return Sequence("http2", [*steps, *pieces(random, start), *ending(random)])
    asked = []
    for _ in range(random.choice((0, 0, 1, 2, 5))):
        start += get(wire.next, b"/t/a%d" % wire.next, wire.encoder, b"b" * random.choice((0, 0, 3, 5000)))
        asked.append(wire.next)
        wire.next += 2
    steps += pieces(random, start)
    if asked:
        steps += random.choice(([Half(), Answers(len(asked)), End()], *([[Answers(len(asked))]] * 7)))
        if len(steps) > 2 and isinstance(steps[-1], End):
            return Sequence("http2", steps, asked)
    frames = [frame(wire) for _ in range(random.choice((1, 1, 2, 3, 5, 10, 30)))]
    if random.random() < 0.1:
        random.shuffle(frames)
    rest = b"".join(frames)
    if random.random() < 0.15:
        rest = mutated(random, rest)
    deaf = not asked and random.random() < 0.15
    return Sequence("http2", [*steps, *pieces(random, rest), *ending(random)], asked, deaf=deaf)


def frames(data: bytes) -> list[tuple[int, int, int, bytes]]:
    """(type, flags, stream, payload) of each whole frame."""
    at, found = 0, []
    while at + 9 <= len(data):
        end = at + 9 + int.from_bytes(data[at : at + 3], "big")
        if end > len(data):
            break
        found.append(
            (data[at + 3], data[at + 4], int.from_bytes(data[at + 5 : at + 9], "big") & 0x7FFFFFFF, data[at + 9 : end])
        )
        at = end
    return found


def answered(asked: list[int], data: bytes) -> int:
    """How many streams have ended, with what they should. Raises ValueError where one was reset."""
    done = set()
    for kind, flags, number, _ in frames(data):
        if kind == 3 and number in asked and number not in done:
            raise ValueError(f"stream {number} was reset")
        if kind in (0, 1) and flags & 1 and number in asked:
            done.add(number)
    return len(done)


def correct(number: int) -> Sequence:
    """What a plain client does."""
    encoder = Encoder()
    data = PREFACE + SettingsFrame(0).serialize() + get(1, b"/t/c", encoder) + get(3, b"/t/d", encoder, b"abc")
    steps: list[Step] = [Enter(("h2",)), Send(data), Answers(2), *ending(Random(number))]
    return Sequence("http2", steps, [1, 3], name="a correct client of HTTP/2")


CRASH = (  # 61 bytes: a stream that is begun and reset in one segment
    PREFACE + b"\0\0\0\4\0\0\0\0\0" + b"\0\0\6\1\5\0\0\0\1\x82\x86\x84\x41\1x" + b"\0\0\4\3\0\0\0\0\1\0\0\0\10"
)


def known() -> list[Sequence]:
    """What was once found."""
    request = PREFACE + SettingsFrame(0).serialize() + get(1, b"/t/k", Encoder(), b"b" * 500)
    late = [Enter(("h2",)), Send(request[:-100]), Pause(0.01), Send(request[-100:]), Half(), Answers(1), End()]
    return [
        Sequence("http2", [Enter(("h2",)), Send(CRASH), Pause(0.002), *ending(Random(0))], name="61 bytes"),
        Sequence("http2", list(late), [1], name="a body whose end comes with that of the client"),
    ]
