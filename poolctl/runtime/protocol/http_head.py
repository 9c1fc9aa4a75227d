"""The head of an HTTP/1 request: request line and headers, parsed by httptools, judged here.

Both halves of a connection, the conversation and the framer, come to their verdict by this one class, so that they cannot
disagree on where a request ends. A head is always given whole, from its first byte to the empty line: what the parser
keeps inside is bounded, and how the bytes were split on their way makes no difference.
"""

from __future__ import annotations

from httptools import HttpParserError, HttpParserUpgrade, HttpRequestParser

from poolctl.runtime.protocol.http_request import HttpRequest

PLAIN, HOST, CONNECTION, LENGTH, ENCODING, EXPECT = range(6)
WATCHED = {
    b"host": HOST,
    b"connection": CONNECTION,
    b"content-length": LENGTH,
    b"transfer-encoding": ENCODING,
    b"expect": EXPECT,
}
MEMO = 512  # header names remembered, in the spelling of the clients
# Methods that the parser knows from protocols that look like HTTP (RFC 2326, Icecast), and the one that asks for a tunnel.
FOREIGN = frozenset(
    "CONNECT SOURCE DESCRIBE ANNOUNCE SETUP PLAY PAUSE TEARDOWN GET_PARAMETER SET_PARAMETER REDIRECT RECORD FLUSH".split()
)

_kinds: dict[bytes, int] = {}  # a memo, the same whoever fills it; never past MEMO
_methods: dict[bytes, str] = {}  # likewise; the parser knows some forty


def kind_of(name: bytes) -> int:
    """Which of the watched headers a name is, whatever its case; PLAIN for all others."""
    kind = WATCHED.get(name.lower(), PLAIN)
    if len(_kinds) < MEMO and len(name) <= 64:
        _kinds[name] = kind
    return kind


class _Fields:
    """What the parser calls. Knows neither the parser nor the connection, so that they make no reference cycle."""

    __slots__ = ("headers", "target", "watched")

    def __init__(self) -> None:
        self.target: bytes | None = None
        self.headers: list[tuple[bytes, bytes]] = []
        self.watched: list[tuple[int, bytes]] = []

    def on_url(self, target: bytes) -> None:
        self.target = target

    def on_header(self, name: bytes, value: bytes) -> None:
        self.headers.append((name, value))
        kind = _kinds.get(name)
        if kind is None:
            kind = kind_of(name)
        if kind:
            self.watched.append((kind, value))


class HeadParser:
    """Parses the heads of one connection, one after the other.

    After ``parse`` gave a request: ``length`` bytes of body follow (0 for none), or chunks when ``chunked``; ``expects``
    says that the client waits for 100 Continue before it sends them.
    """

    __slots__ = ("_body", "_fields", "_headers", "_parser", "_target", "chunked", "expects", "length")

    def __init__(self, target: int, headers: int, body: int) -> None:
        self._target = target
        self._headers = headers
        self._body = body
        self._fields = _Fields()
        self._parser = HttpRequestParser(self._fields)
        self.length = 0
        self.chunked = False
        self.expects = False

    def parse(self, head: bytes) -> HttpRequest | int:
        """The request of a whole head, without blank lines before it; or the status that refuses it."""
        fields = self._fields
        fields.headers = headers = []
        fields.watched = watched = []
        parser = self._parser
        try:
            parser.feed_data(head)
        except HttpParserUpgrade:
            self._renew()  # served as if the client had not asked (RFC 9110, 7.8); its body is not the parser's to skip
        except HttpParserError:
            return 400
        # The parser also takes RTSP, Icecast, HTTP/2.0 and HTTP/0.9, so the version is read from the bytes.
        line = head.find(b"\r\n") - 9
        if head.startswith(b" HTTP/1.1", line):
            version = "1.1"
        elif head.startswith(b" HTTP/1.0", line):
            version = "1.0"
        else:
            return 505
        target = fields.target
        assert target is not None
        if len(target) > self._target:
            return 414
        if len(headers) > self._headers:
            return 431
        word = parser.get_method()
        method = _methods.get(word)
        if method is None:
            method = _methods[word] = word.decode("ascii")
        if method in FOREIGN:
            return 501
        request = HttpRequest(method, target, version, headers)
        if version == "1.1" and len(watched) == 1 and watched[0][0] == HOST:
            self.length = 0
            self.chunked = False
            return request
        return self._judge(request, watched)

    def _renew(self) -> None:
        """A parser at the start of a request, as after a body that the old one was not fed."""
        self._parser = HttpRequestParser(self._fields)

    def _judge(self, request: HttpRequest, watched: list[tuple[int, bytes]]) -> HttpRequest | int:
        """The rules that cross headers (RFC 9112, 3.2, 6.1 and 9.3; RFC 9110, 10.1.1)."""
        kinds = [kind for kind, _ in watched]
        newest = request.version == "1.1"
        if kinds.count(HOST) > 1 or (newest and HOST not in kinds):
            return 400
        request.keep_alive = _keeps(newest, watched)
        status = self._measure(newest, watched)
        if status:
            return status
        self.expects = False
        for kind, value in watched:
            if kind == EXPECT and newest:
                if value.strip().lower() != b"100-continue":
                    return 417
                self.expects = True
        if self.chunked or self.length:
            self._renew()
        return request

    def _measure(self, newest: bool, watched: list[tuple[int, bytes]]) -> int:
        """Sets how much body follows; a status where that is not certain, or too much."""
        self.length = 0
        self.chunked = False
        for kind, value in watched:
            if kind == LENGTH:
                # The parser has refused signs, lists, duplicates, overflow and a Transfer-Encoding beside it.
                self.length = int(value)
            elif kind == ENCODING:
                if not newest:
                    return 400  # RFC 9112, 6.1: framing by a version that has no such header is faulty
                if self.chunked or value.strip().lower() != b"chunked":
                    return 501
                self.chunked = True
        return 413 if self.length > self._body else 0


def _keeps(newest: bool, watched: list[tuple[int, bytes]]) -> bool:
    tokens = {token.strip().lower() for kind, value in watched if kind == CONNECTION for token in value.split(b",")}
    if b"close" in tokens:
        return False
    return newest or b"keep-alive" in tokens
