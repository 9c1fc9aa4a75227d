"""Turning the target of a request into the names of a path."""

from __future__ import annotations

import re
from urllib.parse import unquote_to_bytes

PUBLIC = b".well-known"  # the one name with a leading dot that is meant to be public (RFC 8615)
_ORIGIN = re.compile(rb"[^:/?]+://[^/?]*")
_HEX = frozenset(b"0123456789abcdefABCDEF")


def origin(target: bytes) -> bytes:
    """Return the path and query of a target in origin form or absolute form (RFC 9112, 3.2)."""
    if target[:1] == b"/":
        return target
    found = _ORIGIN.match(target)
    rest = target[found.end() :] if found else b""
    return rest if rest[:1] == b"/" else b"/" + rest  # an empty path is / (RFC 9110, 4.2.3)


def decoded(name: bytes) -> bytes:
    """Return one name of a path, percent-decoded once. Raises ValueError if it is malformed (RFC 3986, 2.1)."""
    if b"%" not in name:
        return name
    for part in name.split(b"%")[1:]:
        if len(part) < 2 or not _HEX.issuperset(part[:2]):
            raise ValueError("a percent sign without two hexadecimal digits")
    return unquote_to_bytes(name)


def may_be_served(name: bytes, hidden: bool) -> bool:
    """Return whether a name of a path may name a file or folder: not ``.`` or ``..``, without separators of any
    system, and without a leading dot unless ``hidden`` is true."""
    if not name or name in (b".", b"..") or b"/" in name or b"\\" in name or b"\0" in name:
        return False
    return hidden or name[:1] != b"." or name == PUBLIC
