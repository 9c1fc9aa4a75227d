"""Rules of RFC 9112 for request lines and Host headers that the parser does not enforce, and the status for each."""

from __future__ import annotations

import re
from typing import Final

from poolctl.runtime.protocol.failure import Failure

MEMO_HOSTS: Final = 512  # Host values that are remembered

# uri-host [ ":" port ] (RFC 9110, 7.2); a name may be empty, and its length is bounded by that of the head
_REGISTERED_NAME: Final = rb"(?:[A-Za-z0-9._~!$&'()*+,;=-]|%[0-9A-Fa-f]{2})"
_LITERAL: Final = rb"\[(?:[0-9A-Fa-f:.]*:[0-9A-Fa-f:.]*|[vV][0-9A-Fa-f]+\.[A-Za-z0-9._~!$&'()*+,;=:-]+)\]"
_HOST: Final = re.compile(rb"(?:" + _REGISTERED_NAME + rb"*|" + _LITERAL + rb")(?::[0-9]*)?")
_ABSOLUTE: Final = re.compile(
    rb"[hH][tT][tT][pP][sS]?://((?:" + _REGISTERED_NAME + rb"+|" + _LITERAL + rb")(?::[0-9]*)?)(?:[/?].*)?"
)
# A well-formed request line, with any method and version (RFC 9112, 3).
_LINE: Final = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+) [!-~]+ HTTP/([0-9]\.[0-9])\r\n")
# A valid part of a head: no line ends with LF or CR alone (RFC 9112, 2.2), and the only control character is the tab.
# It may begin or end between the CR and LF of a line end.
_TEXT: Final = rb"[^\x00-\x08\x0a-\x1f\x7f]*"
_SOUND: Final = re.compile(rb"(?:(?<=\r)\n)?" + _TEXT + rb"(?:\r\n" + _TEXT + rb")*\r?")

TOKEN_CHARACTERS: Final = frozenset(b"!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ")
METHOD_BYTES: Final = 64  # bytes of the longest method that is passed to apps
# CONNECT requests a tunnel; PRI is reserved, so that no server serves it (RFC 9113, 11.6).
NOT_SERVED: Final = (b"CONNECT", b"PRI")
# The methods with which several identical requests intend the effect of one (RFC 9110, 9.2.2), up to their end; case
# matters (9.1).
IDEMPOTENT: Final = (b"GET ", b"HEAD ", b"OPTIONS ", b"TRACE ", b"PUT ", b"DELETE ")

good_hosts: Final[set[bytes]] = set()  # at most MEMO_HOSTS; any thread may add. Saves matching _HOST


def known_host(value: bytes) -> bool:
    """Return whether a Host header may have this value (RFC 9112, 3.2)."""
    if _HOST.fullmatch(value) is None:
        return False
    if len(good_hosts) < MEMO_HOSTS and len(value) <= 64:
        good_hosts.add(value)
    return True


def malformed(data: bytes | bytearray, start: int, end: int) -> bool:
    """Return whether ``data[start:end]``, a part of a head, is invalid. The byte before ``start`` matters too."""
    return _SOUND.fullmatch(data, start, end) is None


def own_method(head: bytes) -> bytes:
    """Return the method of a head; empty if the request line is malformed or the method is not passed to apps."""
    line = _LINE.match(head)
    return b"" if line is None or line[1] in NOT_SERVED or len(line[1]) > METHOD_BYTES else line[1]


def idempotent(request: bytes) -> bool:
    """Return whether a request may be repeated if its response is lost. ``request``: its first 8 bytes or more."""
    return request.startswith(IDEMPOTENT)


def refusal_of(head: bytes) -> Failure:
    """Return what is wrong with a head that the parser refused: NOT_SERVED for a well-formed method that is not served
    or too long (RFC 9110, 9.1; RFC 9112, 3), VERSION_NOT_SERVED for such a version (RFC 9110, 15.6.6), otherwise
    MALFORMED."""
    line = _LINE.match(head)
    if line is None or malformed(head, 0, len(head)):
        return Failure.MALFORMED
    if line[2] not in (b"1.1", b"1.0"):
        return Failure.VERSION_NOT_SERVED
    return Failure.NOT_SERVED if line[1] in NOT_SERVED or len(line[1]) > METHOD_BYTES else Failure.MALFORMED


def authority_of(target: bytes) -> bytes | None:
    """Return the host and port of a target in absolute form; None if it has another form or scheme.

    None also for an empty host (RFC 9110, 4.2.1) and for user information (RFC 9110, 4.2.4).
    """
    found = _ABSOLUTE.fullmatch(target)
    return None if found is None else found[1]


def with_host(headers: list[tuple[bytes, bytes]], authority: bytes) -> list[tuple[bytes, bytes]]:
    """Return the headers with the authority of the target as their Host (RFC 9112, 3.2.2)."""
    others = [(name, value) for name, value in headers if name.lower() != b"host"]
    return [(b"Host", authority), *others]
