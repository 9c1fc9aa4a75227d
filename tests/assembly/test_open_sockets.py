"""The sockets that a configuration, or another process, passes to the next one."""

from __future__ import annotations

import contextlib
import json
import os
import socket
from collections.abc import Iterator

import pytest

from poolctl.assembly.open_sockets import OpenSocket, OpenSockets
from poolctl.config.address import Address, parse_address
from poolctl.errors import PoolctlError
from poolctl.runtime.listen.activation import Passed

WEB, ADMIN = parse_address("tcp://127.0.0.1:8000"), parse_address("tcp://127.0.0.1:8001")


@pytest.fixture
def three() -> Iterator[list[socket.socket]]:
    with contextlib.ExitStack() as stack:
        yield [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(3)]


def test_an_address_takes_its_own_once(three: list[socket.socket]) -> None:
    opened = OpenSockets([OpenSocket.of(WEB, three[:1], grouped=False), OpenSocket.of(WEB, three[1:2], grouped=False)])
    assert opened.take(ADMIN, grouped=False) is None
    assert [opened.take(WEB, grouped=False) for _ in range(3)] == [three[:1], three[1:2], None]


def test_what_cannot_change_is_refused(three: list[socket.socket]) -> None:
    with pytest.raises(PoolctlError, match="under reuse-port it is a group"):
        OpenSockets([OpenSocket.of(WEB, three, grouped=True)]).take(WEB, grouped=False)
    unix = Address("unix", path="/run/shop.sock")
    other = Address("unix", path="/run/shop.sock", mode=0o600)
    with pytest.raises(PoolctlError, match="keeps its mode, owner and group"):
        OpenSockets([OpenSocket.of(unix, three[:1], grouped=False)]).take(other, grouped=False)


def test_what_nobody_takes_is_closed(three: list[socket.socket]) -> None:
    opened = OpenSockets([OpenSocket.of(WEB, three[:2], grouped=True), OpenSocket.of(ADMIN, three[2:], grouped=False)])
    opened.close_all_but(three[:1])
    assert [sock.fileno() >= 0 for sock in three] == [True, False, False]


def test_another_process_gets_all_of_it(three: list[socket.socket]) -> None:
    unix = Address("unix", path="/run/shop.sock", mode=0o600, owner="shop")
    opened = [OpenSocket.of(WEB, three[:2], grouped=True), OpenSocket.of(unix, three[2:], grouped=False)]
    content, fds = OpenSockets(opened, [Passed(77, "web")]).bequest()
    assert fds == {77, *(sock.fileno() for sock in three)}
    copies = {sock.fileno(): os.dup(sock.fileno()) for sock in three}
    content = json.loads(json.dumps(content))
    for each in content["listen"]:
        each["fds"] = [copies[fd] for fd in each["fds"]]
    received = OpenSockets.received(content)
    assert received.passed == [Passed(77, "web")]
    for address, grouped, sockets in ((WEB, True, three[:2]), (unix, False, three[2:])):
        taken = received.take(address, grouped=grouped)
        assert taken is not None
        assert [sock.getsockname() for sock in taken] == [sock.getsockname() for sock in sockets]
    received.close_all_but([])
