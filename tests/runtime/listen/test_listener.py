"""Listening sockets, real ones: what is opened, what their connections are told, and what is refused and why."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, suppress
from pathlib import Path
from select import select

import pytest
from harness.machine import PATIENCE
from harness.ports import quiet_port

from poolctl.config.address import Address
from poolctl.errors import PoolctlError
from poolctl.runtime.listen.door import Door
from poolctl.runtime.listen.listener import Listener, open_group, open_listener, resize_group, shut
from poolctl.runtime.protocol.lines import Lines
from poolctl.runtime.system import bpf
from poolctl.runtime.system.bpf import random_of
from poolctl.runtime.task import Peer

DOOR = Door(Lines())
LOOPBACK = Address("tcp", host="127.0.0.1")

Listen = Callable[..., Listener]


def has_ipv6() -> bool:
    try:
        with socket.socket(socket.AF_INET6) as sock:
            sock.bind(("::1", 0))
    except OSError:
        return False
    return True


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


@pytest.fixture
def listen(stack: ExitStack) -> Listen:
    def opened(address: Address, backlog: int = 8) -> Listener:
        return Listener(stack.enter_context(open_listener(address, backlog)), DOOR)

    return opened


def connect(stack: ExitStack, listener: Listener) -> socket.socket:
    client = stack.enter_context(socket.socket(listener.family))
    client.settimeout(PATIENCE)
    client.connect(listener.sock.getsockname())
    return client


def accept(stack: ExitStack, listener: Listener) -> tuple[socket.socket, tuple[str, ...]]:
    """The server's end of the next connection, and its peer; waits until there is one."""
    assert select([listener.fd], [], [], 5)[0]
    fd, peer = listener.accept()
    return stack.enter_context(socket.socket(fileno=fd)), tuple(peer)


def test_a_free_port_and_what_it_is_called(listen: Listen) -> None:
    listener = listen(LOOPBACK)
    port = listener.sock.getsockname()[1]
    assert port > 0
    assert str(listener) == f"tcp://127.0.0.1:{port}"
    assert (listener.server_host, listener.server_port) == ("127.0.0.1", str(port))
    assert listener.fd == listener.sock.fileno()


def test_accept_does_not_wait_for_a_client(listen: Listen) -> None:
    with pytest.raises(BlockingIOError):
        listen(LOOPBACK).accept()


def test_a_connection_is_a_bare_descriptor_that_does_not_block(stack: ExitStack, listen: Listen) -> None:
    listener = listen(LOOPBACK)
    client = connect(stack, listener)
    server, peer = accept(stack, listener)
    host, port = client.getsockname()
    assert peer == Peer(host, str(port), listener.server_host, listener.server_port)
    assert not os.get_blocking(server.fileno())
    assert not os.get_inheritable(server.fileno())
    assert server.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
    client.sendall(b"hello")
    assert select([server], [], [], 5)[0]
    assert os.read(server.fileno(), 10) == b"hello"


def test_connections_come_in_their_order(stack: ExitStack, listen: Listen) -> None:
    listener = listen(LOOPBACK)
    ports = [str(connect(stack, listener).getsockname()[1]) for _ in range(5)]
    assert [accept(stack, listener)[1][1] for _ in ports] == ports


@pytest.mark.skipif(not has_ipv6(), reason="this machine has no IPv6 loopback")
def test_ipv6(stack: ExitStack, listen: Listen) -> None:
    listener = listen(Address("tcp", host="::1"))
    client = connect(stack, listener)
    port = listener.sock.getsockname()[1]
    assert str(listener) == f"tcp://[::1]:{port}"
    assert accept(stack, listener)[1] == Peer("::1", str(client.getsockname()[1]), "::1", str(port))


def test_a_unix_socket_has_a_path_and_no_ports(stack: ExitStack, listen: Listen, tmp_path: Path) -> None:
    path = str(tmp_path / "shop.sock")
    listener = listen(Address("unix", path=path))
    connect(stack, listener)
    assert str(listener) == f"unix://{path}"
    server, peer = accept(stack, listener)
    assert peer == Peer("", "", path, "")
    assert not os.get_blocking(server.fileno())


def test_the_backlog_bounds_the_clients_that_wait(stack: ExitStack, listen: Listen, tmp_path: Path) -> None:
    """Seen on a unix socket, where the kernel keeps one more than it was told and refuses the next at once."""
    listener = listen(Address("unix", path=str(tmp_path / "shop.sock")), backlog=3)
    clients = [stack.enter_context(socket.socket(socket.AF_UNIX)) for _ in range(5)]
    for client in clients:
        client.setblocking(False)
    for client in clients[:4]:
        client.connect(listener.server_host)
    with pytest.raises(BlockingIOError):
        clients[4].connect(listener.server_host)


def test_an_address_in_use_names_it_and_a_fix(listen: Listen) -> None:
    port = listen(LOOPBACK).sock.getsockname()[1]
    with pytest.raises(PoolctlError, match=f"cannot listen on tcp://127.0.0.1:{port}: .* in use. .*stop it"):
        open_listener(Address("tcp", host="127.0.0.1", port=port), 8)


def test_an_address_of_another_machine(listen: Listen) -> None:
    with pytest.raises(PoolctlError, match=r"cannot listen on tcp://192\.0\.2\.1:0: .*Check the address"):
        open_listener(Address("tcp", host="192.0.2.1"), 8)


def test_a_port_is_free_again_while_old_connections_linger(stack: ExitStack) -> None:
    port = quiet_port()
    with closing(open_listener(Address("tcp", host="127.0.0.1", port=port), 8)) as first:
        listener = Listener(first, DOOR)
        client = connect(stack, listener)
        server, _ = accept(stack, listener)
    server.close()  # closes first, so its end stays behind in TIME_WAIT
    assert client.recv(1) == b""
    client.close()
    with closing(open_listener(Address("tcp", host="127.0.0.1", port=port), 8)) as again:
        assert again.getsockname()[1] == port


def test_a_stale_socket_file_is_replaced(stack: ExitStack, listen: Listen, tmp_path: Path) -> None:
    path = str(tmp_path / "shop.sock")
    open_listener(Address("unix", path=path), 8).close()
    assert os.path.exists(path)
    listener = listen(Address("unix", path=path))
    connect(stack, listener)
    assert accept(stack, listener)[1][2] == path


def still_there(path: str, inode: int) -> bool:
    return os.stat(path).st_ino == inode


@pytest.mark.parametrize("backlog", [8, 0], ids=["idle", "with a full queue"])
def test_a_living_server_keeps_its_socket_file(stack: ExitStack, listen: Listen, tmp_path: Path, backlog: int) -> None:
    path = str(tmp_path / "shop.sock")
    listener = listen(Address("unix", path=path), backlog)
    inode = os.stat(path).st_ino
    connect(stack, listener)
    with pytest.raises(PoolctlError, match=r"shop\.sock: .* in use"):
        open_listener(Address("unix", path=path), 8)
    assert still_there(path, inode)


@pytest.mark.parametrize("kind", [socket.SOCK_DGRAM, socket.SOCK_SEQPACKET])
def test_a_socket_of_another_kind_keeps_its_file(stack: ExitStack, tmp_path: Path, kind: int) -> None:
    path = str(tmp_path / "log.sock")
    other = stack.enter_context(socket.socket(socket.AF_UNIX, kind))
    other.bind(path)
    inode = os.stat(path).st_ino
    with pytest.raises(PoolctlError, match="in use"):
        open_listener(Address("unix", path=path), 8)
    assert still_there(path, inode)


def test_a_file_that_is_no_socket_is_never_removed(tmp_path: Path) -> None:
    path = tmp_path / "precious"
    path.write_text("data")
    with pytest.raises(PoolctlError, match=r"precious: File exists\. That file is not a socket"):
        open_listener(Address("unix", path=str(path)), 8)
    assert path.read_text() == "data"


def test_a_folder_that_is_missing(tmp_path: Path) -> None:
    with pytest.raises(PoolctlError, match=r"unix://.*/none/shop\.sock: No such file or directory"):
        open_listener(Address("unix", path=str(tmp_path / "none" / "shop.sock")), 8)


def test_a_folder_that_may_not_be_written(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    user = os.geteuid()
    if user == 0:
        os.seteuid(65534)  # nobody: root may write everywhere
    try:
        with pytest.raises(PoolctlError, match=r"shop\.sock: Permission denied\. Let this user write to its folder"):
            open_listener(Address("unix", path=str(tmp_path / "shop.sock")), 8)
    finally:
        os.seteuid(user)
        tmp_path.chmod(0o700)


def test_a_passed_descriptor_has_to_listen(stack: ExitStack) -> None:
    sock = stack.enter_context(socket.socket())
    with pytest.raises(PoolctlError, match=r"cannot listen on fd://\d+: it is not a listening socket"):
        open_listener(Address("fd", fd=sock.fileno()), 8)
    assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN) == 0  # and it is still open


def test_a_passed_descriptor_has_to_be_a_socket(stack: ExitStack) -> None:
    reader, writer = os.pipe()
    stack.callback(os.close, reader)
    stack.callback(os.close, writer)
    with pytest.raises(PoolctlError, match=f"cannot listen on fd://{reader}: .*socket"):
        open_listener(Address("fd", fd=reader), 8)


def test_a_group_shares_one_port(stack: ExitStack) -> None:
    group = [stack.enter_context(sock) for sock in open_group(LOOPBACK, 8, 3, [])]
    assert len({sock.getsockname() for sock in group}) == 1
    assert len({sock.fileno() for sock in group}) == 3
    listeners = [Listener(sock, DOOR) for sock in group]
    for _ in range(8):
        connect(stack, listeners[0])
    taken = 0
    while taken < 8:
        ready = select([each.fd for each in listeners], [], [], 5)[0]
        assert ready
        for listener in listeners:
            if listener.fd in ready:
                accept(stack, listener)
                taken += 1


def test_a_group_cannot_be_of_unix_sockets(tmp_path: Path) -> None:
    with pytest.raises(PoolctlError, match="possible for tcp:// only, not for unix://"):
        open_group(Address("unix", path=str(tmp_path / "shop.sock")), 8, 2, [])


def drained(listeners: list[Listener], stack: ExitStack) -> int:
    """Accept everything that is queued; how many there were."""
    count = 0
    while ready := select([each.fd for each in listeners], [], [], 0)[0]:
        for listener in listeners:
            if listener.fd in ready:
                accept(stack, listener)
                count += 1
    return count


@pytest.mark.parametrize("program", [[], random_of(2)], ids=["hash", "program"])
def test_a_group_grows_and_the_new_sockets_get_nobody_before_it_takes_effect(
    stack: ExitStack, program: list[tuple[int, int, int, int]]
) -> None:
    before = [stack.enter_context(sock) for sock in open_group(LOOPBACK, 64, 2, program)]
    address = Address("tcp", host="127.0.0.1", port=before[0].getsockname()[1])
    after, effect = resize_group(before, address, 64, 4, program and random_of(4))
    for sock in after[2:]:
        stack.enter_context(sock)
    assert after[:2] == before
    old, new = [Listener(sock, DOOR) for sock in before], [Listener(sock, DOOR) for sock in after[2:]]
    for _ in range(40):
        connect(stack, old[0])
    assert (drained(new, stack), drained(old, stack)) == (0, 40)
    bpf.attach(after[0], effect)
    for _ in range(60):
        connect(stack, old[0])
    found = drained(new, stack)
    assert 0 < found < 60  # each chance is 1/2: all on one side once in 2 ** 59 runs
    assert drained(old, stack) == 60 - found


@pytest.mark.parametrize("program", [[], random_of(4)], ids=["hash", "program"])
def test_a_group_shrinks_and_those_that_leave_get_nobody_from_then_on(
    stack: ExitStack, program: list[tuple[int, int, int, int]]
) -> None:
    before = [stack.enter_context(sock) for sock in open_group(LOOPBACK, 64, 4, program)]
    address = Address("tcp", host="127.0.0.1", port=before[0].getsockname()[1])
    after, effect = resize_group(before, address, 64, 2, program and random_of(2))
    assert after == before[:2]
    staying, leaving = [Listener(sock, DOOR) for sock in after], [Listener(sock, DOOR) for sock in before[2:]]
    bpf.attach(after[0], effect)
    for _ in range(40):
        connect(stack, staying[0])
    assert (drained(leaving, stack), drained(staying, stack)) == (0, 40)
    for listener in leaving:
        assert shut(listener.sock)
    for _ in range(40):
        connect(stack, staying[0])
    assert drained(staying, stack) == 40


def test_no_client_is_lost_while_a_group_grows_and_shrinks(stack: ExitStack) -> None:
    """Clients that connect all the time, and workers that accept from their own sockets: as a server does it, old
    sockets are shut when nobody waits there."""
    group = open_group(LOOPBACK, 64, 2, [])
    address = Address("tcp", host="127.0.0.1", port=group[0].getsockname()[1])
    over, failed, answered = threading.Event(), [], []

    def client() -> None:
        while not over.is_set():
            try:
                with socket.create_connection(("127.0.0.1", address.port), PATIENCE) as sock:
                    assert sock.recv(1) == b"x"
                answered.append(1)
            except (OSError, AssertionError) as error:
                failed.append(repr(error))

    def serve(sockets: list[socket.socket]) -> None:
        """Answer who waits."""
        for sock in select(sockets, [], [], 0.001)[0]:
            with suppress(BlockingIOError), sock.accept()[0] as accepted:
                accepted.send(b"x")

    for sock in group:
        sock.setblocking(False)
    clients = [threading.Thread(target=client) for _ in range(4)]
    for thread in clients:
        thread.start()
    for size in (4, 3, 6, 1, 2, 5, 2) * 3:
        leaving = group[size:]
        group, effect = resize_group(group, address, 64, size, [])
        for sock in group:
            sock.setblocking(False)
        bpf.attach(group[0], effect)
        seen = len(answered)
        while leaving or len(answered) < seen + 20:
            serve([*group, *leaving])
            for sock in [each for each in leaving if shut(each)]:
                leaving.remove(sock)
                sock.close()
    over.set()
    while any(thread.is_alive() for thread in clients):
        serve(group)
    for sock in group:
        sock.close()
    assert failed == []
