from __future__ import annotations

import pytest

from poolctl.config.address import Address, parse_address
from poolctl.config.invalid_value import InvalidValue


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("tcp://0.0.0.0:8000", Address("tcp", host="0.0.0.0", port=8000)),
        ("tcp://localhost:0", Address("tcp", host="localhost", port=0)),
        ("tcp://[::1]:80", Address("tcp", host="::1", port=80)),
        ("unix:///run/shop.sock", Address("unix", path="/run/shop.sock")),
        ("fd://3", Address("fd", fd=3)),
        ("systemd", Address("systemd")),
        ("systemd://web", Address("systemd", name="web")),
        ("systemd://shop.socket", Address("systemd", name="shop.socket")),
    ],
)
def test_forms(text: str, address: Address) -> None:
    assert parse_address(text) == address
    assert str(address) == text


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("shop", "use tcp://HOST:PORT, unix:///PATH, systemd or fd://NUMBER"),
        ("http://shop", "write tcp://shop:80"),
        ("tcp://:80", "write tcp://0.0.0.0:80"),
        ("tcp://a", "not of the form tcp://HOST:PORT"),
        ("tcp://::1:80", "put an IPv6 address in brackets"),
        ("tcp://[x]:80", '"x" is not an IPv6 address'),
        ("tcp://a:65536", "port 65536 is out of range"),
        ("unix://shop.sock", "absolute path"),
        ("unix:///run/", "does not give the absolute path of a file"),
        ("unix:///" + "a" * 107, "more than 107 bytes"),
        ("fd://2", "3 or higher"),
        ("fd://x", "3 or higher"),
        ("systemd://", "does not give the name of a socket"),
        ("systemd://a:b", "does not give the name of a socket"),
        ("systemd:web", "write systemd://web"),
        ("Systemd", "write systemd"),
        ("socket-activation", "write systemd for the sockets that systemd passes"),
        (3, "expected an address of the form"),
    ],
)
def test_invalid_addresses(text: object, reason: str) -> None:
    with pytest.raises(InvalidValue) as raised:
        parse_address(text)
    assert reason in f"{raised.value}: {raised.value.help}"


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("8000", "tcp://127.0.0.1:8000"),
        (8000, "tcp://127.0.0.1:8000"),
        (":8000", "tcp://0.0.0.0:8000"),
        ("*:8000", "tcp://0.0.0.0:8000"),
        ("localhost:8000", "tcp://localhost:8000"),
        ("[::1]:80", "tcp://[::1]:80"),
        ("http://a:80", "tcp://a:80"),
        ("http://a:80/", "tcp://a:80"),
        ("/run/shop.sock", "unix:///run/shop.sock"),
        ("unix:/run/shop.sock", "unix:///run/shop.sock"),
    ],
)
def test_a_suggested_address_is_valid(text: object, meant: str) -> None:
    with pytest.raises(InvalidValue) as raised:
        parse_address(text)
    assert meant in raised.value.help
    assert str(parse_address(meant)) == meant


def test_only_an_address_with_one_endpoint_is_fixed() -> None:
    assert not parse_address("tcp://127.0.0.1:0").fixed
    assert all(parse_address(text).fixed for text in ("tcp://127.0.0.1:1", "unix:///a", "fd://3"))
