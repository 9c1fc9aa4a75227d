"""The head of an HTTP/1 request, its request line and headers: parsed by httptools, validated here.

Both halves of a connection, the conversation and the framer, use this class, so that they cannot disagree on where a
request ends. A head is always passed whole, from its first byte to the empty line: this bounds what the parser buffers,
and how the network split the bytes makes no difference.

The file is long because every rule about a head is checked in this one place.
"""

from __future__ import annotations

from typing import Final

from httptools import HttpParserError, HttpParserInvalidMethodError, HttpParserUpgrade, HttpRequestParser
from mypy_extensions import mypyc_attr

from poolctl.runtime.protocol.failure import Failure
from poolctl.runtime.protocol.http.line import (
    authority_of,
    good_hosts,
    known_host,
    malformed,
    own_method,
    refusal_of,
    with_host,
)
from poolctl.runtime.protocol.http.request import HttpRequest, Provenance

PLAIN: Final = 0
HOST: Final = 1
CONNECTION: Final = 2
LENGTH: Final = 3
ENCODING: Final = 4
EXPECT: Final = 5
PROXY: Final = 6
WATCHED: Final = {
    b"host": HOST,
    b"connection": CONNECTION,
    b"content-length": LENGTH,
    b"transfer-encoding": ENCODING,
    b"expect": EXPECT,
    b"proxy-connection": PROXY,
}
INITIALS: Final = frozenset(b"HhCcTtEePp")  # of those names
HEAD_END: Final = b"\r\n\r\n"
SLASH: Final = 0x2F
HASH: Final = 0x23
BLANK: Final = 0x20
REPEATED_BYTES: Final = 4096  # bytes of the longest head that is remembered, for later requests
MEMO_NAMES: Final = 512  # header names that are remembered, as clients spell them
# Methods that the parser accepts only for RTSP, a protocol similar to HTTP; here they are tokens like any other.
FOREIGN: Final = frozenset(
    (
        b"ANNOUNCE",
        b"DESCRIBE",
        b"FLUSH",
        b"GET_PARAMETER",
        b"PAUSE",
        b"PLAY",
        b"RECORD",
        b"REDIRECT",
        b"SETUP",
        b"SET_PARAMETER",
        b"TEARDOWN",
    )
)
CONNECT: Final = b"CONNECT"
KEPT: Final = b"kept"  # in a packed head: whether the connection may be kept
STAND_IN: Final = b"GET"  # fed to the parser in place of a method that it does not know

_kinds: Final[dict[bytes, int]] = {}  # at most MEMO_NAMES; any thread may add. Saves lowering each name

# head, method, target, headers, whether the connection may be kept
Found = tuple[bytes, str, bytes, list[tuple[bytes, bytes]], bool]


def kind_of(name: bytes) -> int:
    """Return which of the WATCHED headers a name is, in any case; PLAIN for all others."""
    kind = WATCHED.get(name.lower(), PLAIN)
    if len(_kinds) < MEMO_NAMES and len(name) <= 64:
        _kinds[name] = kind
    return kind


@mypyc_attr(allow_interpreted_subclasses=True)
class Recent:
    """The last ordinary head of any connection, and its parsed parts: HTTP/1.1 without a body or an upgrade.

    Health checks, and proxies that open a connection for each request, send the same head again and again. Saves
    parsing it.
    """

    __slots__ = ("found",)

    def __init__(self) -> None:
        # replaced as a whole, so that threads need no lock
        self.found: Found = (b"", "", b"", [], False)


class _Fields:
    """The parser's callbacks. Refers to neither the parser nor the connection, which would be a reference cycle."""

    __slots__ = ("headers", "target")

    def __init__(self) -> None:
        self.target = b""
        self.headers: list[tuple[bytes, bytes]] = []

    def on_url(self, target: bytes) -> None:
        self.target = target

    def on_header(self, name: bytes, value: bytes) -> None:
        # The parser keeps trailing white space.
        self.headers.append((name, value.rstrip() if value and value[-1] <= BLANK else value))


class HeadParser:
    """Parses the heads of one connection, one after another.

    After ``check`` accepted a head, ``request`` returns its request, and these attributes describe it:

    ``length``      bytes of the body that follows; 0 for none
    ``chunked``     whether a chunked body follows
    ``expects``     whether the client waits for 100 Continue before it sends the body; valid only if a body follows
    ``keep_alive``  whether the client may send further requests
    ``upgrade``     whether the client wants to switch to another protocol
    ``last``        the head itself, if it was ordinary: HTTP/1.1, no body, no upgrade; otherwise empty
    ``repeated``    whether the same head was read just before, on this connection or another one
    """

    __slots__ = (
        "_block",
        "_body",
        "_fields",
        "_headers",
        "_method",
        "_parser",
        "_recent",
        "_target",
        "_version",
        "chunked",
        "expects",
        "keep_alive",
        "last",
        "length",
        "repeated",
        "upgrade",
    )

    def __init__(self, target: int, headers: int, body: int, recent: Recent) -> None:
        self._recent = recent
        self._target = target
        self._headers = headers
        self._body = body
        self._fields = _Fields()
        self._parser: HttpRequestParser | None = None  # created when needed
        self._method = ""
        self.last = b""
        self._block = b""  # what follows its first line
        self.repeated = False

    def check(self, head: bytes) -> Failure | None:  # noqa: C901, PLR0915  # the rules of a head, in one pass
        """Read a whole head, without preceding blank lines. Returns None, or what is wrong with it."""
        if head == self.last:
            self.repeated = True
            return None  # the attributes are still set: saves the copy from _recent
        recent = self._recent.found
        if head == recent[0]:
            self._recall(recent)
            self.repeated = True
            return None
        self.repeated = False
        self.last = b""
        line, _, block = head.partition(b"\r\n")  # its arguments cost less than those of find
        end = len(line)
        fields = self._fields
        parser = self._parser or self._renew()
        # Most clients send the same headers with each request of a connection. Saves parsing all but the request line.
        same = self._block == block
        upgrade = False
        own = b""  # the method, if the parser does not know it
        if not same:
            fields.headers = []
            self._block = b""
        try:
            parser.feed_data(line + HEAD_END if same else head)
        except HttpParserUpgrade:
            upgrade = True
            self._renew()  # served as a plain request (RFC 9110, 7.8); the body is not passed to this parser
        except HttpParserError as error:
            if isinstance(error, HttpParserInvalidMethodError) or head.partition(b" ")[0] in FOREIGN:
                own = own_method(head)
            if not own:
                return refusal_of(head)
            try:
                upgrade = self._feed_in_disguise(line[len(own) :] + HEAD_END if same else head[len(own) :])
            except HttpParserError:
                return refusal_of(head)
        # The parser also takes RTSP, Icecast, HTTP/2.0 and HTTP/0.9, so the version is read from the bytes.
        version = line[end - 9 :] if end > 9 else b""
        if version == b" HTTP/1.1":
            self._version = "1.1"
        elif version == b" HTTP/1.0":
            self._version = "1.0"
        else:
            return Failure.MALFORMED if malformed(head, 0, len(head)) else Failure.VERSION_NOT_SERVED
        target = fields.target
        if len(target) > self._target:
            return Failure.TARGET_TOO_LONG
        if len(fields.headers) > self._headers:
            return Failure.HEAD_TOO_LARGE
        word = own or parser.get_method()
        if word == CONNECT:
            return Failure.NOT_SERVED
        method = word.decode("ascii")
        # The parser accepts several spaces as one, and a fragment as a part of the target (RFC 9112, 3 and 3.2).
        if end != len(word) + len(target) + 10 or HASH in target:
            return Failure.MALFORMED
        self._method = method
        if target[0] != SLASH:
            self.upgrade = upgrade
            return self._unusual(target, method, same=same)
        if same and self._version == "1.1":
            self.last = head
            return None
        self._block = b""  # what is found below is not what the block means in HTTP/1.1
        self.length = 0
        self.chunked = False
        status = self._judge(fields.headers)
        if status:
            return status  # the attributes are incomplete: remember nothing
        if same:
            self._renew()  # version 1.0: the parser was not fed the header that keeps the connection
        self.upgrade = upgrade
        usual = self._version == "1.1" and not self.length and not self.chunked and not upgrade
        if usual and len(head) <= REPEATED_BYTES:
            self.last = head
            self._block = block
            self._recent.found = head, method, target, fields.headers, self.keep_alive
        return None

    def _feed_in_disguise(self, rest: bytes) -> bool:
        """Have the parser read a head with a method that it does not know: any token is one (RFC 9110, 9.1).

        ``rest``: the head after its method. Returns whether the client wants an upgrade. Raises HttpParserError.
        """
        try:
            self._renew().feed_data(STAND_IN + rest)
        except HttpParserUpgrade:
            self._renew()
            return True
        return False

    def _unusual(self, target: bytes, method: str, *, same: bool) -> Failure | None:
        """Check a head whose target is not a path but in asterisk form, or in absolute form, whose host overrides the
        header (RFC 9112, 3.2.2 and 3.2.4). Such a head is not remembered. Returns None or what is wrong."""
        authority = authority_of(target)
        if authority is None and (target != b"*" or method != "OPTIONS"):
            return Failure.MALFORMED
        self._block = b""
        self.length = 0
        self.chunked = False
        fields = self._fields
        status = self._judge(fields.headers)
        if authority is not None and not status:
            fields.headers = with_host(fields.headers, authority)
        if same:
            self._renew()  # it was fed only the request line
        return status

    def _recall(self, recent: Found) -> None:
        """Restore a head that was read before. ``recent`` is passed because other threads may replace it."""
        fields = self._fields
        head, self._method, fields.target, fields.headers, self.keep_alive = recent
        self._version = "1.1"
        self.length = 0
        self.chunked = False
        self.upgrade = False
        self.last = head
        self._block = head.partition(b"\r\n")[2]

    @property
    def line(self) -> bytes:
        """The last request line; empty before the first."""
        return (
            b"%b %b HTTP/%b" % (self._method.encode(), self._fields.target, self._version.encode()) * bool(self._method)
        )

    def request(self, conversation: Provenance | None) -> HttpRequest:
        """Return the request whose head was read last."""
        fields = self._fields
        return HttpRequest(self._method, fields.target, self._version, fields.headers, self.keep_alive, conversation)

    def packed(self, line: bytes) -> bytes:
        """Return what was read last, for ``unpack`` in another process of this server: the request line, KEPT or
        nothing, and each name and value, with a line feed between two of them, since none contains one."""
        fields = [line + b"\r", KEPT if self.keep_alive else b""]
        for name, value in self._fields.headers:
            fields.append(name)
            fields.append(value)
        return b"\n".join(fields)

    def unpack(self, packed: bytes) -> None:
        """Take the head of a request without a body that another process has read and checked."""
        found: list[bytes] = packed.split(b"\n")
        method, target, version = found[0].split(b" ")
        fields = self._fields
        self._method = method.decode("ascii")
        fields.target = target
        self._version = "1.1" if version == b"HTTP/1.1\r" else "1.0"
        self.keep_alive = found[1] == KEPT
        fields.headers = [(found[place], found[place + 1]) for place in range(2, len(found), 2)]
        self.last = self._block = b""
        self.length = 0
        self.chunked = self.upgrade = self.repeated = False

    def anew(self) -> HeadParser:
        """Return a new one with the same limits."""
        return HeadParser(self._target, self._headers, self._body, self._recent)

    def _renew(self) -> HttpRequestParser:
        """Replace the parser with a new one, as after a body that the old one was not fed, and return it."""
        self._parser = parser = HttpRequestParser(self._fields)
        # Or it would read no head after one with "Connection: close", which may be that of another client. What
        # follows on the same connection is not fed to it at all.
        parser.set_dangerous_leniencies(lenient_keep_alive=True)
        return parser

    def _judge(self, headers: list[tuple[bytes, bytes]]) -> Failure | None:  # noqa: C901  # one pass over the headers
        """Check the rules across headers (RFC 9112, 3.2, 6.1 and 9.3; RFC 9110, 10.1.1), and return what is wrong."""
        newest = self._version == "1.1"
        hosts = 0
        closes = False
        watched = None
        for name, value in headers:
            if name[0] not in INITIALS:  # no name is empty
                continue
            kind = _kinds.get(name)
            if kind is None:
                kind = kind_of(name)
            if kind:
                if kind == HOST:
                    hosts += 1 if value in good_hosts or known_host(value) else 2
                elif kind == CONNECTION and value == b"close":
                    closes = True
                elif kind == CONNECTION and newest and value == b"keep-alive":
                    continue  # the default of HTTP/1.1, which browsers send nevertheless
                elif watched is None:
                    watched = [(kind, value)]
                else:
                    watched.append((kind, value))
        if hosts != 1 and (hosts or newest):
            return Failure.MALFORMED
        if watched is None:
            self.keep_alive = newest and not closes
            return None
        status = self._check_watched(newest, watched)
        if closes:
            self.keep_alive = False
        return status

    def _check_watched(self, newest: bool, watched: list[tuple[int, bytes]]) -> Failure | None:
        self.keep_alive = _keeps(newest, watched)
        status = self._measure(newest, watched)
        if status:
            return status
        self.expects = False
        for kind, value in watched:
            if kind == EXPECT and newest:
                for member in value.lower().split(b","):
                    if member.strip() == b"100-continue":
                        self.expects = True
                    elif member.strip():  # empty elements are ignored (RFC 9110, 5.6.1)
                        return Failure.EXPECTATION_FAILED
            elif kind == PROXY:
                self._renew()  # meaningless (RFC 9112, C.2.2), but the parser stops after its "close"
        if self.chunked or self.length:
            self._renew()
        return None

    def _measure(self, newest: bool, watched: list[tuple[int, bytes]]) -> Failure | None:
        """Set ``length`` and ``chunked``. Returns what is wrong if the length of the body is unclear or too large."""
        for kind, value in watched:
            if kind == LENGTH:
                # The parser has refused signs, lists, duplicates, overflow, and a Transfer-Encoding besides.
                self.length = int(value)
            elif kind == ENCODING:
                if not newest:
                    return Failure.MALFORMED  # this version has no such header (RFC 9112, 6.1)
                if self.chunked or value.lower() != b"chunked":
                    return Failure.NOT_SERVED if value else Failure.MALFORMED
                self.chunked = True
        return Failure.CONTENT_TOO_LARGE if self.length > self._body else None


def _keeps(newest: bool, watched: list[tuple[int, bytes]]) -> bool:
    """Return whether the connection may be kept (RFC 9112, 9.3)."""
    keep = newest
    for kind, value in watched:
        if kind == CONNECTION and value != b"keep-alive":
            tokens = [token.strip() for token in value.lower().split(b",")]
            if b"close" in tokens:
                return False
            keep = keep or b"keep-alive" in tokens
        elif kind == CONNECTION:
            keep = True
    return keep
