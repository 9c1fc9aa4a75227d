"""What a handshake negotiates, and why it is refused (RFC 6455, 4.2.1 and 9.1; RFC 7692, 7.1)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from wsproto import ConnectionType, WSConnection
from wsproto.events import AcceptConnection
from wsproto.extensions import PerMessageDeflate

from poolctl.runtime.protocol.websocket.handshake import BadHandshake, subprotocols_of, upgrade_of

KEY = (b"Sec-WebSocket-Key", b"dGhlIHNhbXBsZSBub25jZQ==")
VERSION = (b"Sec-WebSocket-Version", b"13")
DECLINED = None
DEFLATE = "permessage-deflate"

# the offer, and the part of it that is passed to wsproto
OFFERS: dict[str, str | None] = {
    "permessage-deflate": DEFLATE,
    "permessage-deflate; client_max_window_bits": f"{DEFLATE}; client_max_window_bits",
    "permessage-deflate;client_max_window_bits=10": f"{DEFLATE}; client_max_window_bits=10",
    'permessage-deflate; client_max_window_bits="10"': f"{DEFLATE}; client_max_window_bits=10",
    'permessage-deflate; client_max_window_bits="1\\0"': f"{DEFLATE}; client_max_window_bits=10",
    "permessage-deflate ; server_max_window_bits = 15": f"{DEFLATE}; server_max_window_bits=15",
    "permessage-deflate; server_no_context_takeover; client_no_context_takeover": (
        f"{DEFLATE}; server_no_context_takeover; client_no_context_takeover"
    ),
    "permessage-deflate; client_max_window_bits=8": DEFLATE,
    # declined: the connection is not compressed
    "permessage-deflate; client_max_window_bits=x": DECLINED,
    "permessage-deflate; client_max_window_bits=7": DECLINED,
    "permessage-deflate; client_max_window_bits=16": DECLINED,
    "permessage-deflate; client_max_window_bits=010": DECLINED,
    "permessage-deflate; client_max_window_bits=+9": DECLINED,
    "permessage-deflate; client_max_window_bits=10; client_max_window_bits=11": DECLINED,
    "permessage-deflate; client_max_window_bits; client_max_window_bits": DECLINED,
    "permessage-deflate; server_max_window_bits": DECLINED,
    "permessage-deflate; server_max_window_bits=8": DECLINED,
    "permessage-deflate; server_max_window_bits=x": DECLINED,
    "permessage-deflate; server_max_window_bits=16": DECLINED,
    "permessage-deflate; server_no_context_takeover=1": DECLINED,
    'permessage-deflate; client_no_context_takeover="true"': DECLINED,
    "permessage-deflate; foo": DECLINED,
    "permessage-deflate; client_max_window_bits_foo=10": DECLINED,
    "permessage-deflate-foo": DECLINED,
    "x-webkit-deflate-frame": DECLINED,
    "": DECLINED,
    # a later offer in the list
    "permessage-deflate; client_max_window_bits=x, permessage-deflate": DEFLATE,
    "foo; bar=baz, permessage-deflate; foo, permessage-deflate; server_max_window_bits=9, permessage-deflate": (
        f"{DEFLATE}; server_max_window_bits=9"
    ),
    ", permessage-deflate,": DEFLATE,
}
MALFORMED = [
    "permessage-deflate; client_max_window_bits=",
    "permessage-deflate;",
    "permessage-deflate; =10",
    "permessage-deflate client_max_window_bits",
    'permessage-deflate; client_max_window_bits="10',
    'permessage-deflate; foo="a b"',
    "permessage-deflate; foo=a b",
    "; foo",
    "gr\xfc\xdfe",
]


def agreed(*extensions: str) -> str | None:
    headers = upgrade_of(
        [KEY, VERSION, *((b"sec-websocket-Extensions", each.encode("latin-1")) for each in extensions)], []
    )
    found = [value.decode() for name, value in headers if name == b"sec-websocket-extensions"]
    assert len(found) <= 1
    return found[0] if found else None


@pytest.mark.parametrize("offer", OFFERS)
def test_the_first_acceptable_offer_is_accepted(offer: str) -> None:
    assert agreed(offer) == OFFERS[offer]
    assert agreed("foo", offer) == OFFERS[offer]
    assert agreed(*offer.split(",")) == OFFERS[offer]


@pytest.mark.parametrize("offer", MALFORMED)
def test_malformed_offers_are_refused(offer: str) -> None:
    for each in ((offer,), ("permessage-deflate", offer)):
        with pytest.raises(BadHandshake) as refused:
            agreed(*each)
        assert refused.value.failure == 400


@given(st.lists(st.sampled_from([*OFFERS, *MALFORMED, "a", ";", "=", '"', ",", " ", "\t", "\xff"])).map("".join))
def test_wsproto_supports_what_is_agreed(offer: str) -> None:
    try:
        accepted = agreed(offer)
    except BadHandshake:
        return
    wire = WSConnection(ConnectionType.SERVER)
    extensions = [(b"Sec-WebSocket-Extensions", offer.encode("latin-1"))]
    wire.initiate_upgrade_connection(upgrade_of([KEY, VERSION, *extensions], []), "/")
    answer = wire.send(AcceptConnection(extensions=[PerMessageDeflate()]))
    assert (b"permessage-deflate" in answer) == (accepted is not None)


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ([KEY], 400),
        ([VERSION], 400),
        ([KEY, KEY, VERSION], 400),
        ([KEY, (b"Sec-WebSocket-Version", b"8")], 426),
        ([KEY, (b"Sec-WebSocket-Version", b"13, 8")], 426),
        ([KEY, VERSION, (b"sec-websocket-version", b"8")], 426),
        ([(KEY[0], b"dGhlIHNhbXBsZSBub25jZQ"), VERSION], 400),
        ([(KEY[0], b"c2hvcnQ="), VERSION], 400),
        ([(KEY[0], b""), VERSION], 400),
        ([(KEY[0], b"dGhlIHNhbXBsZSBub25jZQ==, dGhlIHNhbXBsZSBub25jZQ=="), VERSION], 400),
    ],
)
def test_an_invalid_handshake_is_refused(headers: list[tuple[bytes, bytes]], status: int) -> None:
    with pytest.raises(BadHandshake) as refused:
        upgrade_of(headers, [])
    assert refused.value.failure == status


def test_subprotocols_may_span_several_lines() -> None:
    name = b"Sec-WebSocket-Protocol"
    assert subprotocols_of([(name, b"a,b ,"), (b"X", b"y"), (name.lower(), b" c")]) == ["a", "b", "c"]
    with pytest.raises(BadHandshake):
        subprotocols_of([(name, b"a b")])
