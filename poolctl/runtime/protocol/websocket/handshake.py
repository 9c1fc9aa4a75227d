"""The request that asks for a WebSocket: whether it may become one, and what is agreed on (RFC 6455, 4.2; RFC 7692, 7).

Fields are read here, whatever their number of lines, and given to wsproto in one form each. What breaks the grammar is
refused (RFC 6455, 4.2.1 and 9.1); an offer of compression that is well formed and cannot be accepted is declined, so
that the next of the list has its turn, or the connection goes on without (RFC 7692, 7.1).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

Headers = list[tuple[bytes, bytes]]

VERSION = b"13"
DEFLATE = "permessage-deflate"
WINDOW = 9  # bits of the smallest that zlib compresses with
_KEY = re.compile(rb"[A-Za-z0-9+/]{22}==")  # 16 bytes in base64
_TOKEN = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
_WORD = re.compile(rf"[ \t]*({_TOKEN})[ \t]*")
_PARAMETER = re.compile(
    rf';[ \t]*({_TOKEN})(?:[ \t]*=[ \t]*(?:({_TOKEN})|"((?:\\?[!#$%&\'*+.^_`|~0-9A-Za-z-])+)"))?[ \t]*'
)
_BITS = re.compile(r"[89]|1[0-5]")  # without leading zeros (RFC 7692, 7.1.2)

Offer = tuple[str, list[tuple[str, str | None]]]  # of an extension: its name, its parameters and their values


class BadHandshake(Exception):
    """The request cannot become a WebSocket. ``status``: what to answer."""

    def __init__(self, status: int) -> None:
        super().__init__(status)
        self.status = status


def subprotocols_of(headers: Headers) -> list[str]:
    """Those that the client can speak, the one that it likes best first. Raises BadHandshake."""
    found = []
    for member in _members(headers, b"sec-websocket-protocol"):
        word = _WORD.fullmatch(member)
        if word is None:
            raise BadHandshake(400)
        found.append(word[1])
    return found


def upgrade_of(headers: Headers, subprotocols: list[str]) -> Headers:
    """The handshake in the form that wsproto reads. Raises BadHandshake."""
    versions = _values(headers, b"sec-websocket-version")
    if versions != [VERSION]:
        raise BadHandshake(426 if versions else 400)
    keys = _values(headers, b"sec-websocket-key")
    if len(keys) != 1 or _KEY.fullmatch(keys[0]) is None:
        raise BadHandshake(400)
    made = [
        (b"host", b"localhost"),
        (b"connection", b"upgrade"),
        (b"upgrade", b"websocket"),
        (b"sec-websocket-version", VERSION),
        (b"sec-websocket-key", keys[0]),
    ]
    if subprotocols:
        made.append((b"sec-websocket-protocol", ", ".join(subprotocols).encode("ascii")))
    offer = deflate_of(list(_offers(headers)))
    if offer:
        made.append((b"sec-websocket-extensions", offer.encode("ascii")))
    return made


def deflate_of(offers: Iterable[Offer]) -> str:
    """The first offer of permessage-deflate that can be accepted, in the shortest form; empty where there is none."""
    for name, parameters in offers:
        if name == DEFLATE and (asked := _acceptable(parameters)) is not None:
            return "; ".join((DEFLATE, *asked))
    return ""


def _acceptable(parameters: list[tuple[str, str | None]]) -> list[str] | None:
    """The parameters as they are agreed on; None where the offer has to be declined (RFC 7692, 7.1)."""
    if len({name for name, _ in parameters}) != len(parameters):
        return None
    asked = []
    for name, value in parameters:
        if name in ("server_no_context_takeover", "client_no_context_takeover"):
            if value is not None:
                return None
            asked.append(name)
        elif name == "server_max_window_bits":
            if value is None or _BITS.fullmatch(value) is None or int(value) < WINDOW:
                return None
            asked.append(f"{name}={value}")
        elif name == "client_max_window_bits":
            if value is not None and _BITS.fullmatch(value) is None:
                return None
            # What it will not exceed by itself need not be agreed on, and we can read any (7.1.2.2).
            if value is None or int(value) >= WINDOW:
                asked.append(name if value is None else f"{name}={value}")
        else:
            return None
    return asked


def _offers(headers: Headers) -> Iterator[Offer]:
    """The extensions that are offered, the one that is liked best first. Raises BadHandshake."""
    for member in _members(headers, b"sec-websocket-extensions"):
        name = _WORD.match(member)
        if name is None:
            raise BadHandshake(400)
        parameters: list[tuple[str, str | None]] = []
        position = name.end()
        while found := _PARAMETER.match(member, position):
            quoted = found[3]
            parameters.append((found[1], found[2] if quoted is None else quoted.replace("\\", "")))
            position = found.end()
        if position != len(member):
            raise BadHandshake(400)
        yield name[1], parameters


def _values(headers: Headers, wanted: bytes) -> list[bytes]:
    return [value for name, value in headers if name.lower() == wanted]


def _members(headers: Headers, wanted: bytes) -> list[str]:
    """The members of a list that may have several lines. No comma stands in quotes here: a value is a token in either
    form. Empty ones do not count (RFC 9110, 5.6.1)."""
    joined = b",".join(_values(headers, wanted)).decode("latin-1")
    return [member for member in joined.split(",") if member.strip(" \t")]
