"""What introduces a client to a worker of another process."""

from __future__ import annotations

import select

import pytest

from poolctl.runtime.channels.parcel import (
    HEAD,
    RECORD,
    TICKET_ACCEPTED,
    TICKET_KEPT,
    TICKET_MISSED,
    introduced,
    introduction,
)
from poolctl.runtime.task import Peer

SERVERS = [("192.0.2.2", "8000"), ("2001:db8::2", "443"), ("/run/shop.sock", "")]


@pytest.mark.parametrize(
    ("peer", "number"),
    [
        (Peer("192.0.2.1", "40000", *SERVERS[0]), 0),
        (Peer("2001:db8::1", "40000", *SERVERS[1], "CN=Ann Lee,O=Café  1"), 1),
        (Peer("", "", *SERVERS[2]), 2),
    ],
)
def test_a_client_is_introduced_as_what_it_is(peer: Peer, number: int) -> None:
    assert introduced(introduction(peer, number), SERVERS) == (peer, number)


def test_a_ticket_comes_back_whole_beside_its_flags() -> None:
    ticket = 2**62 - 1
    for flag in (0, TICKET_KEPT, TICKET_MISSED, TICKET_ACCEPTED):
        (record,) = RECORD.unpack(RECORD.pack(ticket << 2 | flag))
        assert (record >> 2, record & 3) == (ticket, flag)
    assert HEAD.unpack(HEAD.pack(ticket, 7, 65535, 1.5)) == (ticket, 7, 65535, 1.5)


def test_a_record_is_written_in_one_piece() -> None:
    assert RECORD.size <= select.PIPE_BUF
