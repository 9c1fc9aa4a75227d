"""The parts of a response's head: status lines, header lines, the date. Each is checked once and remembered.

A status or header that could end its line early (CR, LF, NUL) raises where the app passes it, so that an attacker
cannot make an app send a second response (RFC 9112, 11.1).
"""

from __future__ import annotations

from collections.abc import Sequence
from email.utils import formatdate
from http import HTTPStatus
from time import time
from typing import Final, NamedTuple

MEMO_ENTRIES: Final = 1024  # entries of each memo; a full one is emptied, and what is in use soon returns
MEMO_LINE_BYTES: Final = 256  # bytes of a header that is remembered

ORDINARY: Final = 0
HAS_LENGTH: Final = 1
HAS_DATE: Final = 2
HAS_SERVER: Final = 4
HAS_CLOSE: Final = 8
HAS_SERVER_OR_DATE: Final = HAS_SERVER | HAS_DATE
_KINDS: Final = {"content-length": HAS_LENGTH, "date": HAS_DATE, "server": HAS_SERVER}
# RFC 9110, 7.6.1; an app must not send them (PEP 3333, "Other HTTP Features").
HOP_BY_HOP: Final = frozenset(
    (
        "connection",
        "keep-alive",
        "proxy-authenticate",
        "proxy-authorization",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    )
)
# Those that are dropped when an app that passes bytes sends them. Proxy-Authenticate is meant for the client.
DROPPED: Final = HOP_BY_HOP - {"proxy-authenticate", "proxy-authorization"}
NONE: Final[frozenset[str]] = frozenset()
_TOKEN_CHARACTERS: Final = frozenset("!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ")


class Line(NamedTuple):
    """An encoded header line, including its end, and its kind."""

    encoded: bytes
    kind: int
    length: int  # of a Content-Length, else -1


class Status(NamedTuple):
    """An encoded status line, including its end."""

    encoded: bytes
    code: int
    bodiless: bool  # 204 and 304 have no body, whatever the app writes


# Memos, which save checking and encoding a header or status again.
known_lines: Final[dict[tuple[str, str] | tuple[bytes, bytes], Line]] = {}
known_statuses: Final[dict[str, Status]] = {}


def encode_header(header: tuple[str, str], refused: frozenset[str] = HOP_BY_HOP) -> Line:
    """Encode, remember and return one header. ``refused``: names that may not be sent, in lower case. Raises TypeError
    or ValueError for an invalid header."""
    try:
        name, value = header
    except (TypeError, ValueError):
        raise TypeError(f"a response header must be a tuple (name, value), not {header!r}") from None
    if not isinstance(name, str) or not isinstance(value, str):
        raise TypeError(f"a response header's name and value must be str, not {header!r}")
    if not name or not _TOKEN_CHARACTERS.issuperset(name):
        raise ValueError(f"invalid name of a response header: {name!r}")
    lowered = name.lower()
    if lowered in refused:
        raise ValueError(f"the response header {name!r} is hop-by-hop, so only the server may set it; remove it")
    bare = value.strip(" \t")  # white space around a value is not part of it (RFC 9110, 5.5)
    encoded = f"{name}: {_text(bare, f'the value of the response header {name!r}')}\r\n".encode("latin-1")
    kind = _KINDS.get(lowered, ORDINARY)
    line = Line(encoded, kind, _length(bare) if kind == HAS_LENGTH else -1)
    if len(encoded) <= MEMO_LINE_BYTES and bare == value:
        if len(known_lines) >= MEMO_ENTRIES:
            known_lines.clear()
        known_lines[name, value] = line
    return line


def encode_raw(header: Sequence[bytes]) -> Line:
    """Encode, remember and return one header of an app that passes bytes. Those in DROPPED are not sent, but
    ``Connection: close`` is honored. Raises TypeError or ValueError for an invalid header."""
    try:
        name, value = header
        text = name.decode("latin-1"), value.decode("latin-1")
    except (TypeError, ValueError, AttributeError):
        raise TypeError(f"a response header must be a pair of bytes (name, value), not {header!r}") from None
    lowered = text[0].lower()
    if lowered in DROPPED:
        close = lowered == "connection" and text[1].lower() == "close"
        return Line(b"", HAS_CLOSE if close else ORDINARY, -1)
    line = encode_header(text, NONE)
    if text in known_lines:  # short enough to be remembered, so also by its bytes
        known_lines[name, value] = line
    return line


def status_line(status: str) -> Status:
    """Encode, remember and return a status such as "200 OK". Raises TypeError or ValueError for an invalid one."""
    known = known_statuses.get(status)
    if known is not None:
        return known
    if not isinstance(status, str):
        raise TypeError(f"a response status must be a str such as '200 OK', not {status!r}")
    code = status[:3]
    if not (code.isascii() and code.isdigit() and 200 <= int(code) <= 999 and status[3:4] in ("", " ")):
        raise ValueError(f"a response status must be a number from 200 to 999, a space and a phrase, not {status!r}")
    encoded = f"HTTP/1.1 {_text(status, 'the response status')}{'' if status[3:] else ' '}\r\n".encode("latin-1")
    known = Status(encoded, int(code), code in ("204", "304"))
    if len(known_statuses) >= MEMO_ENTRIES:
        known_statuses.clear()
    known_statuses[status] = known
    return known


STATUS_TEXTS: Final = {status.value: f"{status.value} {status.phrase}" for status in HTTPStatus}


def status_text(code: int) -> str:
    """Return the status for a code, such as "200 OK". Raises TypeError or ValueError if it is not a number."""
    text = STATUS_TEXTS.get(code)
    return text if text is not None else f"{code:d} "


def _length(value: str) -> int:
    if not (value.isascii() and value.isdigit()):
        raise ValueError(f"Content-Length must be a number of bytes, not {value!r}")
    return int(value)


def _text(value: str, what: str) -> str:
    if "\r" in value or "\n" in value or "\0" in value:
        raise ValueError(f"{what} contains a line end or a NUL: {value!r}")
    try:
        value.encode("latin-1")
    except UnicodeEncodeError:
        raise ValueError(f"{what} contains a character outside latin-1: {value!r}") from None
    return value


class _HttpDate:
    """The Server and Date lines of the current second. Threads may encode them twice, but never wrongly."""

    __slots__ = ("lines", "second")

    def __init__(self) -> None:
        self.second = 0
        self.lines = b""

    def renew(self, second: int) -> bytes:
        lines = f"Server: poolctl\r\nDate: {formatdate(second, usegmt=True)}\r\n".encode("ascii")
        self.lines = lines
        self.second = second
        return lines


_clock: Final = _HttpDate()


def server_and_date() -> bytes:
    """Return the current header lines Server and Date, encoded once a second (RFC 9110, 6.6.1)."""
    second = int(time())
    return _clock.lines if _clock.second == second else _clock.renew(second)


def server_or_date(kinds: int) -> bytes:
    """Return the lines Server and Date, without those that the app has set (``kinds``)."""
    server, date, _ = server_and_date().split(b"\r\n")
    return (b"" if kinds & HAS_SERVER else server + b"\r\n") + (b"" if kinds & HAS_DATE else date + b"\r\n")
