"""HTTP/1: requests from a grammar, pipelined; after some that are valid come some that are not."""

from __future__ import annotations

import re
from random import Random

from fuzz.sequence import Answers, Close, End, Enter, Half, Pause, Reset, Send, Sequence, Step, ending, mutated, pieces

METHODS = ("GET", "GET", "GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH")
ODD_METHODS = (
    *(b"LIST", b"FOO", b"VERSION-CONTROL", b"CONNECT", b"TRACE", b"PRI", b"M-SEARCH", b"SOURCE", b"get"),
    *(b"G\x00T", b"", b"A" * 300, b"\xc3\xa9", b"!#$%&'*+-.^_`|~"),
)
ODD_TARGETS = (
    b"*",
    b"http://a/",
    b"http://a:99999/",
    b"http://[::1]/",
    b"http://",
    b"/%zz",
    b"/%00",
    b"/\xff\xfe",
    b"//",
    b"/../../etc/passwd",
    b"/a#b",
    b"a:80",
    b"/?%",
    b"/" + b"a" * 9000,
    b"/%2e%2e/%2e%2e/",
    b"/..%2f",
    b"/;/?;",
    b"/early",
    b"/large",
    b"/raise",
    b"/slow",
    b"/index.html",
    b"/sub",
    b"/sub/",
    b"/link",
    b"/big.bin",
    b"/sleep?seconds=nan",
    b"/bytes?count=1e3",
    b"/bytes?count=inf",
    b"/chunks?count=3",
    b"HTTP://USER@a/",
    b'/"<>\\^`{|}',
    b"/ ",
    b"/a b",
    b"",
    b"https://a/b?c",
)
ODD_VERSIONS = (
    b"HTTP/1.0",
    b"HTTP/0.9",
    b"HTTP/1.2",
    b"HTTP/2.0",
    b"HTTP/3",
    b"HTTP/1.1 ",
    b"http/1.1",
    b"HTTP/11",
    b"",
    b"HTTP/1.",
    b"HTCPCP/1.0",
)
ODD_HEADERS = (
    b"Content-Length: 5",
    b"Content-Length: -1",
    b"Content-Length: 99999999999999999999",
    b"Content-Length: 1, 1",
    b"Content-Length:",
    b"Content-Length: 0x10",
    b"Content-Length: 3\r\nContent-Length: 4",
    b"Transfer-Encoding: chunked",
    b"Transfer-Encoding: gzip, chunked",
    b"Transfer-Encoding: chunked, identity",
    b"Transfer-Encoding: xchunked",
    b"Transfer-Encoding:\tchunked",
    b"Transfer-Encoding : chunked",
    b"Expect: 100-continue",
    b"Expect: 200-ok",
    b"Expect: 100-continue, 100-continue",
    b"Expect:",
    b"Upgrade: h2c",
    b"Upgrade: foo, websocket",
    b"Upgrade: websocket",
    b"Connection: Upgrade",
    b"Connection: close, keep-alive",
    b"Connection: keep-alive",
    b"Connection: close",
    b"Connection: \xff",
    b"Connection: upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__",
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
    b"Sec-WebSocket-Version: 13",
    b"Sec-WebSocket-Version: x",
    b"Host: b",
    b"Host:",
    b"Host: a:b:c",
    b"Host: [::1",
    b"X: " + b"y" * 40_000,
    b"\r\n".join(b"X-%d: y" % number for number in range(150)),
    b" folded: yes",
    b"X: a\r\n folded",
    b"X\0: y",
    b"X: \0",
    b"X: \xff\xfe",
    b": empty",
    b"No colon",
    b"X-Y : z",
    b"Cookie: " + b"a=b; " * 500,
    b"Cookie: =; ;;=\xff",
    b"Authorization: Basic !!!",
    b"Authorization: Basic " + b"A" * 3000,
    b"Range: bytes=0-0,1-1,2-2,-1",
    b"Range: bytes=-",
    b"Range: bytes=9999999999999999999999-",
    b"Range: x=1",
    b"Range: bytes=" + b",".join(b"%d-%d" % (n, n + 1) for n in range(300)),
    b"If-Modified-Since: Thu, 99 Foo 0000 99:99:99 GMT",
    b"If-None-Match: *",
    b'If-None-Match: W/"\xff", "',
    b'If-Match: "',
    b'If-Range: "x"\r\nRange: bytes=0-3',
    b"If-Unmodified-Since: Sat, 31 Dec 9999999 23:59:59 GMT",
    b"If-Modified-Since: Mon, 01 Jan 0001 00:00:00 GMT",
    b"If-Modified-Since: Fri, 31 Dec 9999 23:59:60 GMT",
    b"Accept-Encoding: gzip;q=x, br;q=-1, *;q=1e9",
    b"Accept-Encoding: ;;;,,,=",
    b"X-Forwarded-For: \xff, 1.2.3.4.5, ::::",
    b"X-Forwarded-For: 10.0.0.1:99999, unknown",
    b'Forwarded: for="[::";by=',
    b"X-Forwarded-Proto: \x01",
    b"Content-Type: \xff/\xfe; boundary=",
    b"TE: trailers",
    b"Trailer: Content-Length",
    b"Keep-Alive: timeout=-1",
    b"Mcp-Session-Id: " + b"z" * 5000,
    b"Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits=x",
)
ODD_CHUNKS = (
    b"0x5\r\nhello\r\n",
    b" 5\r\nhello\r\n",
    b"5 \r\nhello\r\n",
    b'5;a="b\r\nhello\r\n',
    b"5;\r\nhello\r\n",
    b"5 ; a = b\r\nhello\r\n",
    b"ffffffffffffffff\r\nx",
    b"fffffffffffffffff\r\nx",
    b"-1\r\nx\r\n",
    b"5\nhello\n",
    b"5\r\nhello",
    b"5\r\nhelloX\r\n",
    b"\r\n",
    b"g\r\n",
    b"5;" + b"x" * 20_000 + b"\r\nhello\r\n",
    b"00000000000000000000005\r\nhello\r\n",
    b"0\r\nTrailer: x\r\n\r\n",
    b"0\r\nContent-Length: 3\r\n\r\n",
    b"0\r\n" + b"X: y\r\n" * 200 + b"\r\n",
    b"0\r\n bad\r\n\r\n",
    b"0;\xff\r\n\r\n",
    b"7fffffff\r\nabc",
    b"5\r\nhello\r\n0\r\n\r\n",
)
GREETINGS = (
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    b"\x16\x03\x01\x00\xa5\x01\x00\x00\xa1\x03\x03",
    b"PROXY TCP4 1.2.3.4 5.6.7.8 1 2\r\n",
    b"SSH-2.0-x\r\n",
    b"\0" * 100,
    b"\r\n\r\n\r\n",
    b"\n\n\n",
    b"HTTP/1.1 200 OK\r\n\r\n",
    b"EHLO a\r\n",
    b"\xef\xbb\xbf",
    b"GET / HTTP/1.1\n\n",
    b"GET /\r\n",
    b"GET  /  HTTP/1.1\r\n\r\n",
)


def chunked(random: Random, body: bytes) -> bytes:
    """A body in chunks of any size, some with an extension, some with a trailer."""
    found, at = b"", 0
    while at < len(body):
        size = random.choice((1, 2, 7, 100, 5000))
        piece = body[at : at + size]
        extension = random.choice((b"", b"", b";a", b";a=b", b';a="b c"'))
        found += b"%x%s\r\n%s\r\n" % (len(piece), extension, piece)
        at += size
    return found + b"0\r\n" + random.choice((b"", b"", b"X-Trailer: yes\r\n")) + b"\r\n"


def valid(random: Random, number: int) -> tuple[bytes, tuple[str, str, int]]:
    """A request that is answered, and what is heard of it: method, token and size of its body."""
    method, token = random.choice(METHODS), f"{random.randrange(1 << 30):x}n{number}"
    head = [f"{method} /t/{token} HTTP/1.1".encode(), b"Host: localhost"]
    body = b""
    if method in ("POST", "PUT", "PATCH", "DELETE"):
        body = b"b" * random.choice((0, 1, 5, 300, 5000, 70_000))
        if random.random() < 0.15:
            head.append(b"Expect: 100-continue")
    if random.random() < 0.4:
        head += [b"User-Agent: fuzz/%d" % random.randrange(100), b"Accept: */*", b"Cookie: a=%d" % random.randrange(9)]
    size = len(body)
    if body and random.random() < 0.5:
        head.append(b"Transfer-Encoding: chunked")
        body = chunked(random, body)
    elif method in ("POST", "PUT", "PATCH") or body:
        head.append(b"Content-Length: %d" % size)
    random.shuffle(rest := head[1:])
    return b"\r\n".join([head[0], *rest, b"", body]), (method, token, size)


def odd(random: Random) -> bytes:
    """A request, or what could be taken for one, with something that need not be there."""
    kind = random.random()
    if kind < 0.1:
        return random.choice(GREETINGS)
    if kind < 0.2:
        return random.randbytes(random.choice((1, 10, 100, 3000)))
    if kind < 0.4:
        return mutated(random, valid(random, 99)[0])
    if kind < 0.55:
        head = b"POST /t/c HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
        return head + b"".join(random.choices(ODD_CHUNKS, k=random.randint(1, 3)))
    method = random.choice(ODD_METHODS) if random.random() < 0.3 else random.choice(METHODS).encode()
    target = random.choice(ODD_TARGETS) if random.random() < 0.5 else b"/t/odd"
    version = random.choice(ODD_VERSIONS) if random.random() < 0.3 else b"HTTP/1.1"
    headers = random.sample(ODD_HEADERS, random.choice((0, 1, 1, 2, 3, 6)))
    if random.random() < 0.9:
        headers.append(b"Host: a")
    random.shuffle(headers)
    end = random.choice((b"\r\n",) * 8 + (b"\n", b"\r"))
    return end.join([b"%s %s %s" % (method, target, version), *headers, b"", b""]) + random.choice(
        (b"", b"", b"hello", b"x" * 9000)
    )


def make(random: Random) -> Sequence:
    """One connection."""
    asked = [valid(random, number) for number in range(random.choice((0, 1, 1, 2, 3, 8)))]
    data = b"".join(each for each, _ in asked)
    steps: list[Step] = [Enter()]
    kind = random.random()
    if kind < 0.1:  # nothing wrong, and the sending side closes before the answers have come
        return Sequence(
            "http1", [*steps, *pieces(random, data), Half(), Answers(len(asked)), End()], [heard for _, heard in asked]
        )
    if kind < 0.16:
        large = b"GET /large HTTP/1.1\r\nHost: a\r\n\r\n" * random.choice((1, 3, 40))
        return Sequence(
            "http1",
            [*steps, Send(data + large), Pause(0.003), random.choice((Close(), Reset(), Half())), Close()],
            deaf=True,
        )
    if kind < 0.22 and data:  # leaves in the middle of what was fine
        cut = data[: random.randrange(len(data))]
        return Sequence("http1", [*steps, *pieces(random, cut), *ending(random)])
    data += b"".join(odd(random) for _ in range(random.choice((0, 1, 1, 1, 2))))
    steps += pieces(random, data)
    if random.random() < 0.6:
        return Sequence("http1", [*steps, Answers(len(asked)), *ending(random)], [heard for _, heard in asked])
    return Sequence("http1", [*steps, *ending(random)])


HEAD = re.compile(rb"HTTP/1\.1 (\d{3}) [^\r\n]*\r\n((?:[^\r\n]+\r\n)*)\r\n")
SERVED = (200, 204, 404, 405)  # apps that do not say what they heard: the demo, static, cgi


def answered(asked: list[tuple[str, str, int]], data: bytes) -> int:
    """How many of what was asked are answered. Raises ValueError for an answer that is not right."""
    at = count = 0
    while count < len(asked):
        head = HEAD.match(data, at)
        if head is None:
            if b"\r\n\r\n" in data[at:]:
                raise ValueError(f"no head of an answer: {data[at : at + 200]!r}")
            return count
        at, status = head.end(), int(head[1])
        if status < 200:
            continue
        method, token, size = asked[count]
        fields = {
            name.lower(): value.strip() for name, _, value in (line.partition(b":") for line in head[2].split(b"\r\n"))
        }
        if status not in SERVED or (b"x-heard" in fields and fields[b"x-heard"] != f"{method} {token} {size}".encode()):
            raise ValueError(f"{method} {token} {size} was answered by {head[0]!r}")
        end = at if method == "HEAD" or status == 204 else body_end(data, at, fields)
        if end < 0:
            return count
        at = end
        count += 1
    return count


def body_end(data: bytes, at: int, fields: dict[bytes, bytes]) -> int:
    """Where the body ends; -1 while it is not complete."""
    if b"content-length" in fields:
        end = at + int(fields[b"content-length"])
        return end if end <= len(data) else -1
    while True:
        line = data.find(b"\r\n", at)
        if line < 0:
            return -1
        size = int(data[at:line], 16)
        at = line + 2 + size + 2
        if at > len(data):
            return -1
        if size == 0:
            return at


def correct(number: int) -> Sequence:
    """What a plain client does: a request, and a second one that is the last."""
    asked = [("GET", f"correct{number}", 0), ("POST", f"correct{number}", 3)]
    data = (
        f"GET /t/correct{number} HTTP/1.1\r\nHost: a\r\n\r\n"
        f"POST /t/correct{number} HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: 3\r\n\r\nabc"
    ).encode()
    return Sequence("http1", [Enter(), Send(data), Answers(2), End()], asked, name="a correct client of HTTP/1")
