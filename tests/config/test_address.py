from __future__ import annotations

import re

import pytest

from poolctl.config.address import Address, parse_address


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("tcp://0.0.0.0:8000", Address("tcp", host="0.0.0.0", port=8000)),
        ("tcp://localhost:0", Address("tcp", host="localhost", port=0)),
        ("tcp://[::1]:80", Address("tcp", host="::1", port=80)),
        ("unix:///run/shop.sock", Address("unix", path="/run/shop.sock")),
        ("fd://3", Address("fd", fd=3)),
    ],
)
def test_forms(text: str, address: Address) -> None:
    assert parse_address(text) == address
    assert str(address) == text


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("8000", "the forms are tcp://HOST:PORT, unix:///PATH or fd://NUMBER"),
        ("http://a:80", "the forms are"),
        ("tcp://:80", "tcp://0.0.0.0:PORT"),
        ("tcp://a", "not of the form tcp://HOST:PORT"),
        ("tcp://::1:80", "an IPv6 address stands in brackets"),
        ("tcp://[x]:80", "no IPv6 address in its brackets"),
        ("tcp://a:65536", "the highest is 65535"),
        ("unix://shop.sock", "absolute path"),
        ("unix:///run/", "has to name a file"),
        ("unix:///" + "a" * 107, "more than 107 bytes"),
        ("fd://2", "3 or higher"),
        ("fd://x", "3 or higher"),
        (3, "an address is a text"),
    ],
)
def test_what_is_no_address(text: object, reason: str) -> None:
    with pytest.raises(ValueError, match=re.escape(reason)):
        parse_address(text)


def test_only_an_address_that_names_one_place_is_fixed() -> None:
    assert not parse_address("tcp://127.0.0.1:0").fixed
    assert all(parse_address(text).fixed for text in ("tcp://127.0.0.1:1", "unix:///a", "fd://3"))
