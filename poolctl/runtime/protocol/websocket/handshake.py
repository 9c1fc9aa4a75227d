"""The opening handshake of a WebSocket: whether it is valid, and what is negotiated (RFC 6455, 4.2; RFC 7692, 7).

Header fields are parsed here, even if split over several lines, and passed to wsproto in one normal form. A field that
violates its grammar is refused (RFC 6455, 4.2.1 and 9.1). A well-formed offer of compression that cannot be accepted is
declined: the next offer is tried, or the connection is not compressed (RFC 7692, 7.1).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from poolctl.runtime.protocol.failure import Failure

Headers = list[tuple[bytes, bytes]]

WEBSOCKET_VERSION = b"13"
DEFLATE = "permessage-deflate"
WINDOW_BITS = 9  # bits of the smallest window with which zlib compresses
_KEY = re.compile(rb"[A-Za-z0-9+/]{22}==")  # 16 bytes in base64
_TOKEN = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
_WORD = re.compile(rf"[ \t]*({_TOKEN})[ \t]*")
_PARAMETER = re.compile(
    rf';[ \t]*({_TOKEN})(?:[ \t]*=[ \t]*(?:({_TOKEN})|"((?:\\?[!#$%&\'*+.^_`|~0-9A-Za-z-])+)"))?[ \t]*'
)
_BITS = re.compile(r"[89]|1[0-5]")  # without leading zeros (RFC 7692, 7.1.2)

Offer = tuple[str, list[tuple[str, str | None]]]  # an extension: its name, and its parameters with their values


class BadHandshake(Exception):
    """The request cannot become a WebSocket."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure)
        self.failure = failure


def subprotocols_of(headers: Headers) -> list[str]:
    """Return the subprotocols that the client supports, most preferred first. Raises BadHandshake."""
    found = []
    for member in _members(headers, b"sec-websocket-protocol"):
        word = _WORD.fullmatch(member)
        if word is None:
            raise BadHandshake(Failure.MALFORMED)
        found.append(word[1])
    return found


def upgrade_of(headers: Headers, subprotocols: list[str]) -> Headers:
    """Return the handshake's headers in the form that wsproto expects. Raises BadHandshake."""
    versions = _values(headers, b"sec-websocket-version")
    if versions != [WEBSOCKET_VERSION]:
        raise BadHandshake(Failure.UPGRADE_REQUIRED if versions else Failure.MALFORMED)
    keys = _values(headers, b"sec-websocket-key")
    if len(keys) != 1 or _KEY.fullmatch(keys[0]) is None:
        raise BadHandshake(Failure.MALFORMED)
    found = [
        (b"host", b"localhost"),
        (b"connection", b"upgrade"),
        (b"upgrade", b"websocket"),
        (b"sec-websocket-version", WEBSOCKET_VERSION),
        (b"sec-websocket-key", keys[0]),
    ]
    if subprotocols:
        found.append((b"sec-websocket-protocol", ", ".join(subprotocols).encode("ascii")))
    offer = deflate_of(list(_offers(headers)))
    if offer:
        found.append((b"sec-websocket-extensions", offer.encode("ascii")))
    return found


def deflate_of(offers: Iterable[Offer]) -> str:
    """Return the first acceptable offer of permessage-deflate, in its shortest form; empty if there is none."""
    for name, parameters in offers:
        if name == DEFLATE and (agreed := _acceptable(parameters)) is not None:
            return "; ".join((DEFLATE, *agreed))
    return ""


def _acceptable(parameters: list[tuple[str, str | None]]) -> list[str] | None:
    """Return the agreed parameters of an offer; None if it must be declined (RFC 7692, 7.1)."""
    if len({name for name, _ in parameters}) != len(parameters):
        return None
    agreed = []
    for name, value in parameters:
        if name in ("server_no_context_takeover", "client_no_context_takeover"):
            if value is not None:
                return None
            agreed.append(name)
        elif name == "server_max_window_bits":
            if value is None or _BITS.fullmatch(value) is None or int(value) < WINDOW_BITS:
                return None
            agreed.append(f"{name}={value}")
        elif name == "client_max_window_bits":
            if value is not None and _BITS.fullmatch(value) is None:
                return None
            # A smaller window needs no agreement: the client keeps to it, and we decompress any (7.1.2.2).
            if value is None or int(value) >= WINDOW_BITS:
                agreed.append(name if value is None else f"{name}={value}")
        else:
            return None
    return agreed


def _offers(headers: Headers) -> Iterator[Offer]:
    """Yield the offered extensions, most preferred first. Raises BadHandshake."""
    for member in _members(headers, b"sec-websocket-extensions"):
        name = _WORD.match(member)
        if name is None:
            raise BadHandshake(Failure.MALFORMED)
        parameters: list[tuple[str, str | None]] = []
        position = name.end()
        while found := _PARAMETER.match(member, position):
            quoted = found[3]
            parameters.append((found[1], found[2] if quoted is None else quoted.replace("\\", "")))
            position = found.end()
        if position != len(member):
            raise BadHandshake(Failure.MALFORMED)
        yield name[1], parameters


def _values(headers: Headers, wanted: bytes) -> list[bytes]:
    return [value for name, value in headers if name.lower() == wanted]


def _members(headers: Headers, wanted: bytes) -> list[str]:
    """Return the non-empty elements of a list that may span several lines (RFC 9110, 5.6.1). Quoted values contain no
    commas here, because they must be tokens too."""
    joined = b",".join(_values(headers, wanted)).decode("latin-1")
    return [member for member in joined.split(",") if member.strip(" \t")]
