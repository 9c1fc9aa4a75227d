"""From the target of a request to the names of a path."""

from __future__ import annotations

import re
from urllib.parse import unquote_to_bytes

PUBLIC = b".well-known"  # the one name with a dot that is meant for everybody (RFC 8615)
_ABSOLUTE = re.compile(rb"[^:/?]+://[^/?]*")
_HEX = frozenset(b"0123456789abcdefABCDEF")


def origin(target: bytes) -> bytes:
    """The path and query of a target, in origin form or absolute form (RFC 9112, 3.2)."""
    if target[:1] == b"/":
        return target
    found = _ABSOLUTE.match(target)
    rest = target[found.end() :] if found else b""
    return rest if rest[:1] == b"/" else b"/" + rest  # an empty path is / (RFC 9110, 4.2.3)


def decoded(name: bytes) -> bytes:
    """One name of a path, its %XX undone once. Raises ValueError for a malformed one (RFC 3986, 2.1)."""
    if b"%" not in name:
        return name
    for part in name.split(b"%")[1:]:
        if len(part) < 2 or not _HEX.issuperset(part[:2]):
            raise ValueError("a percent sign without two hexadecimal digits")
    return unquote_to_bytes(name)


def speakable(name: bytes, hidden: bool) -> bool:
    """Whether a name of a path may name a file: no step elsewhere, nothing that any system takes for a separator, and
    nothing with a dot in front, unless ``hidden``."""
    if not name or name in (b".", b"..") or b"/" in name or b"\\" in name or b"\0" in name:
        return False
    return hidden or name[:1] != b"." or name == PUBLIC
