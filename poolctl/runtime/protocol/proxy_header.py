"""The header of the PROXY protocol, versions 1 and 2, with which a proxy begins a connection to name its client
(https://www.haproxy.org/download/3.0/doc/proxy-protocol.txt)."""

from __future__ import annotations

import ipaddress
import struct
from typing import NamedTuple

SIGNATURE = b"\r\n\r\n\x00\r\nQUIT\n"
FIRST = b"PROXY "
PROXY_LINE_BYTES = 107  # bytes of a version 1 header, including its line end
PROXY_HEADER_BYTES = 4096  # bytes of a version 2 header; the fields that may follow its addresses are skipped
FIXED = struct.Struct("!12sBBH")
FAMILIES = {1: (4, ipaddress.IPv4Address), 2: (16, ipaddress.IPv6Address)}
PORT_PAIR = struct.Struct("!HH")


class ProxyHeader(NamedTuple):
    """A header of ``size`` bytes. ``client`` and ``server`` are (host, port) as text; None if the proxy connected on
    its own behalf, or does not name its client."""

    size: int
    client: tuple[str, str] | None
    server: tuple[str, str] | None


def read_header(data: bytes) -> ProxyHeader | None:
    """Return the header at the start of ``data``; None while it is incomplete. Raises ValueError for anything else."""
    if data[:12] == SIGNATURE[: len(data)]:
        return _second(data)
    if data[:6] == FIRST[: len(data)]:
        return _first(data)
    raise ValueError("the connection begins with something else")


def _first(data: bytes) -> ProxyHeader | None:
    end = data.find(b"\r\n", 0, PROXY_LINE_BYTES)
    if end < 0:
        if len(data) >= PROXY_LINE_BYTES:
            raise ValueError(f"the line does not end within {PROXY_LINE_BYTES} bytes")
        return None
    size = end + 2
    words = data[:end].decode("latin-1").split(" ")
    if words[1] == "UNKNOWN":
        return ProxyHeader(size, None, None)
    if words[1] not in ("TCP4", "TCP6") or len(words) != 6:
        raise ValueError(f"malformed line {data[:end]!r}")
    kind = ipaddress.IPv4Address if words[1] == "TCP4" else ipaddress.IPv6Address
    try:
        client, server = (str(kind(word)) for word in words[2:4])
    except ValueError as error:
        raise ValueError(f"malformed line {data[:end]!r}: {error}") from None
    for port in words[4:]:
        if not (port.isascii() and port.isdigit() and int(port) <= 65535 and str(int(port)) == port):
            raise ValueError(f"invalid port {port!r}")
    return ProxyHeader(size, (client, words[4]), (server, words[5]))


def _second(data: bytes) -> ProxyHeader | None:
    if len(data) < FIXED.size:
        return None
    _, command, family, length = FIXED.unpack_from(data)
    size = FIXED.size + length
    if command >> 4 != 2:
        raise ValueError(f"unknown version {command >> 4}")
    if size > PROXY_HEADER_BYTES:
        raise ValueError(f"longer than {PROXY_HEADER_BYTES} bytes")
    if len(data) < size:
        return None
    if command & 15 == 0:  # LOCAL: the proxy's own connection, such as a health check
        return ProxyHeader(size, None, None)
    if command & 15 != 1:
        raise ValueError(f"unknown command {command & 15}")
    if family & 15 != 1 or family >> 4 not in FAMILIES:  # not TCP: a unix socket, or unspecified
        return ProxyHeader(size, None, None)
    width, kind = FAMILIES[family >> 4]
    if length < 2 * width + PORT_PAIR.size:
        raise ValueError("too short for its addresses")
    start = FIXED.size
    hosts = [str(kind(data[at : at + width])) for at in (start, start + width)]
    ports = PORT_PAIR.unpack_from(data, start + 2 * width)
    return ProxyHeader(size, (hosts[0], str(ports[0])), (hosts[1], str(ports[1])))
