"""Parsing the header of the PROXY protocol."""

from __future__ import annotations

import socket
import struct

import pytest

from poolctl.runtime.protocol.proxy_header import SIGNATURE, ProxyHeader, read_header


def second(command: int, family: int, payload: bytes) -> bytes:
    return SIGNATURE + struct.pack("!BBH", 0x20 | command, family, len(payload)) + payload


V4 = socket.inet_aton("192.0.2.7") + socket.inet_aton("198.51.100.1") + struct.pack("!HH", 4711, 443)
V6 = socket.inet_pton(socket.AF_INET6, "2001:db8::7") + socket.inet_pton(socket.AF_INET6, "::1") + b"\x00\x50\x01\xbb"
CLIENT, SERVER = ("192.0.2.7", "4711"), ("198.51.100.1", "443")
WHOLE: dict[str, tuple[bytes, tuple[str, str] | None, tuple[str, str] | None]] = {
    "TCP4": (b"PROXY TCP4 192.0.2.7 198.51.100.1 4711 443\r\n", CLIENT, SERVER),
    "TCP6": (b"PROXY TCP6 2001:db8::7 ::1 80 443\r\n", ("2001:db8::7", "80"), ("::1", "443")),
    "UNKNOWN": (b"PROXY UNKNOWN\r\n", None, None),
    "UNKNOWN with addresses": (b"PROXY UNKNOWN ffff:f...f:ffff ffff:f...f:ffff 65535 65535\r\n", None, None),
    "2 IPv4": (second(1, 0x11, V4), CLIENT, SERVER),
    "2 IPv6": (second(1, 0x21, V6), ("2001:db8::7", "80"), ("::1", "443")),
    "2 with fields after the addresses": (second(1, 0x11, V4 + b"\x03\x00\x04abcd"), CLIENT, SERVER),
    "2 LOCAL": (second(0, 0x00, b""), None, None),
    "2 LOCAL with addresses": (second(0, 0x11, V4), None, None),
    "2 unix": (second(1, 0x31, bytes(216)), None, None),
    "2 UDP": (second(1, 0x12, V4), None, None),
    "2 unspecified": (second(1, 0x00, b""), None, None),
}


@pytest.mark.parametrize("name", WHOLE)
@pytest.mark.parametrize("after", [b"", b"GET / HTTP/1.1\r\n", b"\r\n\r\n"])
def test_only_the_header_is_read(name: str, after: bytes) -> None:
    header, client, server = WHOLE[name]
    assert read_header(header + after) == ProxyHeader(len(header), client, server)


@pytest.mark.parametrize("name", WHOLE)
def test_an_incomplete_header_waits_for_more(name: str) -> None:
    header = WHOLE[name][0]
    assert [read_header(header[:size]) for size in range(1, len(header))] == [None] * (len(header) - 1)


WRONG = [
    b"GET / HTTP/1.1\r\n",
    b"G",
    b"PROXZ",
    b"\x16\x03\x01",
    b"PROXY TCP4 192.0.2.7 198.51.100.1 4711\r\n",
    b"PROXY TCP4 192.0.2.7  198.51.100.1 4711 443\r\n",
    b"PROXY TCP4 192.0.2.7 198.51.100.1 4711 443 \r\n",
    b"PROXY TCP4 2001:db8::7 ::1 80 443\r\n",
    b"PROXY TCP6 192.0.2.7 198.51.100.1 4711 443\r\n",
    b"PROXY TCP4 192.0.2.777 198.51.100.1 4711 443\r\n",
    b"PROXY TCP4 192.0.2.7 198.51.100.1 65536 443\r\n",
    b"PROXY TCP4 192.0.2.7 198.51.100.1 +1 443\r\n",
    b"PROXY TCP4 192.0.2.7 198.51.100.1 01 443\r\n",
    b"PROXY TCP4 192.0.2.7 198.51.100.1 \xb2 443\r\n",
    b"PROXY UDP4 192.0.2.7 198.51.100.1 1 443\r\n",
    b"PROXY \r\n",
    b"PROXY UNKNOWN" + b"x" * 107,
    SIGNATURE + b"\x11\x11\x00\x0c" + V4,  # version 1
    SIGNATURE + b"\x22\x11\x00\x0c" + V4,  # unknown command
    second(1, 0x11, V4[:11]),
    second(1, 0x21, V4),
    SIGNATURE + b"\x21\x11\xff\xff",  # too long
]


@pytest.mark.parametrize("data", WRONG)
def test_anything_else_is_refused(data: bytes) -> None:
    with pytest.raises(
        ValueError, match=r"malformed|invalid|unknown|longer than|too short|does not end|something else"
    ):
        read_header(data)
