"""What the parser lets pass in a request line or a Host header and RFC 9112 does not, and which status refuses it."""

from __future__ import annotations

import re

MEMO = 512  # values of Host remembered

# uri-host [ ":" port ] (RFC 9110, 7.2); a name may be empty, and its length is bounded by that of the head
_NAME = rb"(?:[A-Za-z0-9._~!$&'()*+,;=-]|%[0-9A-Fa-f]{2})"
_LITERAL = rb"\[(?:[0-9A-Fa-f:.]*:[0-9A-Fa-f:.]*|[vV][0-9A-Fa-f]+\.[A-Za-z0-9._~!$&'()*+,;=:-]+)\]"
_HOST = re.compile(rb"(?:" + _NAME + rb"*|" + _LITERAL + rb")(?::[0-9]*)?")
_ABSOLUTE = re.compile(rb"[hH][tT][tT][pP][sS]?://((?:" + _NAME + rb"+|" + _LITERAL + rb")(?::[0-9]*)?)(?:[/?].*)?")
# A request line that is well formed, whatever it names (RFC 9112, 3).
_LINE = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+) [!-~]+ HTTP/([0-9]\.[0-9])\r\n")
# A part of a head, as far as it can be one: no line ends in LF or CR alone (RFC 9112, 2.2), no control character but a
# tab. It may begin between the CR and the LF of a line's end, and end there.
_TEXT = rb"[^\x00-\x08\x0a-\x1f\x7f]*"
_SOUND = re.compile(rb"(?:(?<=\r)\n)?" + _TEXT + rb"(?:\r\n" + _TEXT + rb")*\r?")

TOKEN = frozenset(b"!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ")
METHOD = 64  # bytes of the longest method that an app may have
# CONNECT asks for a tunnel; PRI is reserved so that no server ever serves it (RFC 9113, 11.6).
NOT_SERVED = (b"CONNECT", b"PRI")

good_hosts: set[bytes] = set()  # a memo, the same whoever fills it; never past MEMO. Saves the expression


def known_host(value: bytes) -> bool:
    """Whether a Host header may have this value (RFC 9112, 3.2)."""
    if _HOST.fullmatch(value) is None:
        return False
    if len(good_hosts) < MEMO and len(value) <= 64:
        good_hosts.add(value)
    return True


def malformed(data: bytes | bytearray, start: int, end: int) -> bool:
    """Whether ``data[start:end]``, a part of a head, has what no head may have. The byte before ``start`` counts."""
    return _SOUND.fullmatch(data, start, end) is None


def own_method(head: bytes) -> bytes:
    """The method of a request line that is well formed, where an app may have it; otherwise empty."""
    line = _LINE.match(head)
    return b"" if line is None or line[1] in NOT_SERVED or len(line[1]) > METHOD else line[1]


def refusal_of(head: bytes) -> int:
    """The status for a head that the parser refused: 501 for a method and 505 for a version that are well formed and
    not served (RFC 9110, 9.1 and 15.6.6; RFC 9112, 3 for a method that is too long), otherwise 400."""
    line = _LINE.match(head)
    if line is None or malformed(head, 0, len(head)):
        return 400
    if line[2] not in (b"1.1", b"1.0"):
        return 505
    return 501 if line[1] in NOT_SERVED or len(line[1]) > METHOD else 400


def authority_of(target: bytes) -> bytes | None:
    """The host and port of a target in absolute form; None for one that is not in that form or not of HTTP.

    An empty host is refused (RFC 9110, 4.2.1), and so is user information (RFC 9110, 4.2.4).
    """
    found = _ABSOLUTE.fullmatch(target)
    return None if found is None else found[1]


def with_host(headers: list[tuple[bytes, bytes]], authority: bytes) -> list[tuple[bytes, bytes]]:
    """The headers, with the host of the target in the place of what Host says (RFC 9112, 3.2.2)."""
    others = [(name, value) for name, value in headers if name.lower() != b"host"]
    return [(b"Host", authority), *others]
