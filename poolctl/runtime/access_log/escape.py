"""Escaping data of clients for a log line, so that none of its bytes can end a field or a line."""

from __future__ import annotations

import re
from json.encoder import encode_basestring_ascii

SHOWN_BYTES = 1024  # bytes shown of a value; keeps lines below PIPE_BUF (4096), so pipes do not mix them

_HARMFUL = re.compile(r"[^ !#-\[\]-~]")  # quote, backslash, controls, all that is not ASCII


def _hex(found: re.Match[str]) -> str:
    character = found[0]
    return f"\\{character}" if character in '"\\' else f"\\x{ord(character):02x}"


def in_text(value: bytes) -> str:
    """Return the value escaped as Apache does: ``\\"``, ``\\\\``, and ``\\xhh`` for bytes outside printable ASCII."""
    return _HARMFUL.sub(_hex, _cut(value)) or "-"


def in_json(value: bytes) -> str:
    """Return a JSON string with its quotes, in ASCII (RFC 8259, 7); bytes above 127 are read as latin-1."""
    return encode_basestring_ascii(_cut(value))


def _cut(value: bytes) -> str:
    return value.decode("latin-1") if len(value) <= SHOWN_BYTES else value[:SHOWN_BYTES].decode("latin-1") + "..."
