"""The client that trusted proxies name."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from poolctl.runtime.protocol import Provisions
from poolctl.runtime.protocol.http.forwarded import HOPS, Forwarded
from poolctl.runtime.protocol.http.protocol import Http
from poolctl.runtime.task import Peer

PROXY = Peer("10.0.0.1", "40000", "10.0.0.9", "8000")
TRUST = ("10.0.0.0/8", "2001:db8::/32")


def seen(
    headers: str, header: str = "x-forwarded", peer: Peer = PROXY, trust: tuple[str, ...] = TRUST
) -> tuple[str, ...]:
    """Return address, port, scheme, server's port and Host of a request with these headers."""
    http = Http()
    http.provision(Provisions(forwarded=Forwarded(trust, header)))
    conversation = http.conversation(peer)
    conversation.receive(f"GET / HTTP/1.1\r\nHost: shop\r\n{headers}\r\n".encode())
    request = conversation.requests.popleft()
    found = request.conversation
    hosts = [value.decode() for name, value in request.headers if name.lower() == b"host"]
    assert len(hosts) == 1
    return found.peer.client_host, found.peer.client_port, found.scheme, found.peer.server_port, hosts[0]


OWN = ("10.0.0.1", "40000", "http", "8000", "shop")

CUSTOMARY = {
    "nothing said": ("", OWN),
    "the client": ("X-Forwarded-For: 192.0.2.7\r\n", ("192.0.2.7", "", "http", "8000", "shop")),
    "a forged beginning": ("X-Forwarded-For: 127.0.0.1, 192.0.2.7\r\n", ("192.0.2.7", "", "http", "8000", "shop")),
    "a forged trusted one": ("X-Forwarded-For: 10.0.0.5, 192.0.2.7\r\n", ("192.0.2.7", "", "http", "8000", "shop")),
    "past a trusted hop": ("X-Forwarded-For: 192.0.2.7, 10.1.1.1\r\n", ("192.0.2.7", "", "http", "8000", "shop")),
    "in two lines": (
        "X-Forwarded-For: 192.0.2.7\r\nX-Forwarded-For: 10.1.1.1\r\n",
        ("192.0.2.7", "", "http", "8000", "shop"),
    ),
    "all are trusted": ("X-Forwarded-For: 10.0.0.3, 10.0.0.2\r\n", ("10.0.0.3", "", "http", "8000", "shop")),
    "a port": ("X-Forwarded-For: 192.0.2.7:4711\r\n", ("192.0.2.7", "4711", "http", "8000", "shop")),
    "IPv6": ("X-Forwarded-For: 2001:DB9::1\r\n", ("2001:db9::1", "", "http", "8000", "shop")),
    "IPv6 with a port": ("X-Forwarded-For: [2001:db9::1]:80\r\n", ("2001:db9::1", "80", "http", "8000", "shop")),
    "the scheme": ("X-Forwarded-Proto: HTTPS\r\n", ("10.0.0.1", "40000", "https", "443", "shop")),
    "the host": ("X-Forwarded-Host: a.example:8443\r\n", ("10.0.0.1", "40000", "http", "8443", "a.example:8443")),
    "all three": (
        "X-Forwarded-For: 192.0.2.7\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Host: a.example\r\n",
        ("192.0.2.7", "", "https", "443", "a.example"),
    ),
    "one scheme for two proxies": (
        "X-Forwarded-For: 192.0.2.7, 10.1.1.1\r\nX-Forwarded-Proto: https\r\n",
        ("192.0.2.7", "", "https", "443", "shop"),
    ),
    "the scheme that the outer proxy saw": (
        "X-Forwarded-For: 192.0.2.7, 10.1.1.1\r\nX-Forwarded-Proto: https, http\r\n",
        ("192.0.2.7", "", "https", "443", "shop"),
    ),
    "a forged scheme before the proxy's": (
        "X-Forwarded-For: 192.0.2.7\r\nX-Forwarded-Proto: https, http\r\n",
        ("192.0.2.7", "", "http", "80", "shop"),
    ),
    "empty ones do not count": ("X-Forwarded-For: , 192.0.2.7,\r\n", ("192.0.2.7", "", "http", "8000", "shop")),
    "no address": ("X-Forwarded-For: nonsense\r\n", OWN),
    "an octet too large": ("X-Forwarded-For: 192.0.2.256\r\n", OWN),
    "a port too large": ("X-Forwarded-For: 192.0.2.7:65536\r\n", OWN),
    "nonsense to the left of the client": (
        "X-Forwarded-For: nonsense, 192.0.2.7\r\n",
        ("192.0.2.7", "", "http", "8000", "shop"),
    ),
    "nonsense to the left of a proxy": ("X-Forwarded-For: nonsense, 10.1.1.1\r\n", OWN),
    "an unknown scheme spoils all": ("X-Forwarded-For: 192.0.2.7\r\nX-Forwarded-Proto: gopher\r\n", OWN),
    "a bad host spoils all": ("X-Forwarded-For: 192.0.2.7\r\nX-Forwarded-Host: a b\r\n", OWN),
    "the other header": ("Forwarded: for=192.0.2.7\r\n", OWN),
}

STANDARD = {
    "nothing said": ("", OWN),
    "the client": ("Forwarded: for=192.0.2.7\r\n", ("192.0.2.7", "", "http", "8000", "shop")),
    "all": (
        'Forwarded: For="192.0.2.7:4711";proto=https;host="a.example:8443";by=10.0.0.1\r\n',
        ("192.0.2.7", "4711", "https", "8443", "a.example:8443"),
    ),
    "IPv6": ('Forwarded: for="[2001:db9::1]:47"\r\n', ("2001:db9::1", "47", "http", "8000", "shop")),
    "past a trusted hop": (
        "Forwarded: for=192.0.2.7;proto=https, for=10.1.1.1;proto=http\r\n",
        ("192.0.2.7", "", "https", "443", "shop"),
    ),
    "a forged beginning": (
        "Forwarded: for=127.0.0.1;proto=https\r\nForwarded: for=192.0.2.7\r\n",
        ("192.0.2.7", "", "http", "8000", "shop"),
    ),
    "a comma in quotes": (
        'Forwarded: for=192.0.2.7;ext="a, for=10.0.0.7"\r\n',
        ("192.0.2.7", "", "http", "8000", "shop"),
    ),
    "an escaped quote": ('Forwarded: ext="\\", ";for=192.0.2.7\r\n', ("192.0.2.7", "", "http", "8000", "shop")),
    "unknown": ("Forwarded: for=unknown\r\n", OWN),
    "a hidden name": ("Forwarded: for=_secret\r\n", OWN),
    "the same twice": ("Forwarded: for=192.0.2.7;for=192.0.2.8\r\n", OWN),
    "an open quote": ('Forwarded: for="192.0.2.7\r\n', OWN),
    "no pair": ("Forwarded: 192.0.2.7\r\n", OWN),
    "the other header": ("X-Forwarded-For: 192.0.2.7\r\n", OWN),
}


@pytest.mark.parametrize("name", CUSTOMARY)
def test_x_forwarded(name: str) -> None:
    headers, expected = CUSTOMARY[name]
    assert seen(headers) == expected


@pytest.mark.parametrize("name", STANDARD)
def test_forwarded(name: str) -> None:
    headers, expected = STANDARD[name]
    assert seen(headers, "forwarded") == expected


def test_headers_from_an_untrusted_peer_are_ignored() -> None:
    peer = PROXY._replace(client_host="192.0.2.1")
    assert seen("X-Forwarded-For: 192.0.2.7\r\n", peer=peer) == ("192.0.2.1", *OWN[1:])


def test_a_connection_from_an_untrusted_peer_has_no_origins() -> None:
    assert Forwarded(TRUST, "forwarded").origins(PROXY) is not None
    assert Forwarded(TRUST, "forwarded").origins(PROXY._replace(client_host="192.0.2.1")) is None


def test_unix_sockets_are_trusted_only_by_the_word_unix() -> None:
    peer = Peer("", "", "/run/shop.sock", "")
    said = "X-Forwarded-For: 192.0.2.7\r\nX-Forwarded-Proto: https\r\n"
    assert seen(said, peer=peer, trust=("unix",)) == ("192.0.2.7", "", "https", "443", "shop")
    assert seen(said, peer=peer, trust=("0.0.0.0/0",)) == ("", "", "http", "", "shop")


def test_an_ipv4_address_on_a_dual_stack_socket() -> None:
    peer = PROXY._replace(client_host="::ffff:10.0.0.1")
    assert seen("X-Forwarded-For: 192.0.2.7\r\n", peer=peer)[0] == "192.0.2.7"


def test_too_many_hops_are_ignored() -> None:
    trusted = ", ".join(["10.0.0.2"] * HOPS)
    assert seen(f"X-Forwarded-For: 192.0.2.7, {trusted}\r\n") == OWN
    assert seen(f"X-Forwarded-For: 192.0.2.7, {trusted[10:]}\r\n")[0] == "192.0.2.7"


def test_each_request_of_a_connection_has_its_own_client() -> None:
    http = Http()
    http.provision(Provisions(forwarded=Forwarded(TRUST, "x-forwarded")))
    conversation = http.conversation(PROXY)
    for said, address in (
        ("192.0.2.7", "192.0.2.7"),
        ("192.0.2.8", "192.0.2.8"),
        ("no", "10.0.0.1"),
        ("192.0.2.7",) * 2,
    ):
        head = f"POST / HTTP/1.1\r\nHost: shop\r\nContent-Length: 2\r\nX-Forwarded-For: {said}\r\n\r\nab"
        conversation.receive(head.encode())
        request = conversation.requests.popleft()
        assert (request.conversation.peer.client_host, request.body.read()) == (address, b"ab")


@given(st.binary(max_size=200), st.sampled_from([b"Forwarded", b"X-Forwarded-For", b"X-Forwarded-Host"]))
def test_no_header_value_raises(value: bytes, name: bytes) -> None:
    for header in ("forwarded", "x-forwarded"):
        forwarded = Forwarded(("0.0.0.0/0", "::/0"), header)
        conversation = Http().conversation(PROXY)
        origin = forwarded.origin(conversation, [(b"Host", b"shop"), (name, value)])
        assert origin is None or origin.peer.server_port.isdecimal()
