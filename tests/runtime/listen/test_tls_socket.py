"""The TLS of one client over a descriptor: a real client of ssl, socket pairs with small buffers, no loop."""

from __future__ import annotations

import contextlib
import os
import random
import select
import signal
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import trustme

from poolctl.errors import ClientGone
from poolctl.runtime.buffers.outbound import Sending
from poolctl.runtime.listen.tls import CertificateFiles, server_context
from poolctl.runtime.listen.tls_socket import ENCRYPT_BYTES, ENCRYPTED_BYTES, RECORD_BYTES, TlsSocket

SEND_BUFFER_BYTES = 4096
READ_BYTES = 65536
VERSIONS = {"1.2": ssl.TLSVersion.TLSv1_2, "1.3": ssl.TLSVersion.TLSv1_3}


class Contexts:
    """Those of the server and of its clients, by version."""

    def __init__(self, folder: Path) -> None:
        authority = trustme.CA()
        made = authority.issue_cert("localhost")
        chain, key = str(folder / "server.pem"), str(folder / "server.key")
        made.private_key_pem.write_to_path(key)
        made.cert_chain_pems[0].write_to_path(chain)
        self.server = server_context(CertificateFiles(chain, key), {})
        self.clients = {}
        for version, number in VERSIONS.items():
            self.clients[version] = context = ssl.create_default_context()
            authority.configure_trust(context)
            context.maximum_version = number


@pytest.fixture(scope="module")
def contexts(tmp_path_factory: pytest.TempPathFactory) -> Contexts:
    return Contexts(tmp_path_factory.mktemp("papers"))


class Rig:
    """A client and the server's end of its connection, whose handshake is complete. ``received``: what the client has
    decrypted; ``ended``: it has read the server's close_notify."""

    def __init__(self, contexts: Contexts, version: str = "1.3") -> None:
        self.server, self.client = socket.socketpair()
        for sock in (self.server, self.client):
            sock.setblocking(False)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER_BYTES)
        self.fd = self.server.fileno()
        self.tls = TlsSocket(contexts.server)
        self._in, self.out = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.peer = contexts.clients[version].wrap_bio(self._in, self.out, server_hostname="localhost")
        self.received = b""
        self.ended = False
        self._shake()
        assert self.peer.version() == f"TLSv{version}"

    def _shake(self) -> None:
        complete = False
        while not complete:
            with contextlib.suppress(ssl.SSLWantReadError):  # it waits for the server
                self.peer.do_handshake()
            self.push()
            with contextlib.suppress(BlockingIOError):  # the client's flight is not complete
                complete = self.tls.shake(self.fd)
            self.take()

    def push(self, most: int = 1 << 20) -> None:
        """The client sends what it has encrypted, at most so many bytes."""
        data = self.out.read(most)
        if data:
            self.client.sendall(data)

    def take(self, most: int = 1 << 20) -> None:
        """The client reads at most so many bytes, and decrypts them."""
        try:
            data = self.client.recv(most)
        except BlockingIOError:
            return
        if data:
            self._in.write(data)
        try:
            while plain := self.peer.read(READ_BYTES):
                self.received += plain
            self.ended = True
        except ssl.SSLWantReadError:
            pass  # no complete record
        except ssl.SSLZeroReturnError:
            self.ended = True

    def readable(self) -> bool:
        """Whether a poller reports bytes or an end of file to the server."""
        return bool(select.select([self.fd], [], [], 0)[0])

    def close(self) -> None:
        self.server.close()
        self.client.close()


MakeRig = Callable[..., Rig]


@pytest.fixture
def rig(contexts: Contexts) -> Iterator[MakeRig]:
    made: list[Rig] = []

    def make(version: str = "1.3") -> Rig:
        made.append(Rig(contexts, version))
        return made[-1]

    yield make
    for each in made:
        each.close()


# reading


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("seed", range(5))
def test_bytes_arrive_whole_however_records_are_cut(version: str, seed: int, rig: MakeRig) -> None:
    made, draw = rig(version), random.Random(seed)
    sent = found = b""
    for _ in range(60):
        piece = draw.randbytes(draw.choice((1, 100, 5000, RECORD_BYTES, 40_000)))
        made.peer.write(piece)
        sent += piece
        while made.out.pending:
            made.push(draw.choice((1, 3, 700, 2000)) if made.out.pending < 3000 else 3000)
            while made.readable():
                try:
                    found += made.tls.read(made.fd, READ_BYTES)
                except BlockingIOError:
                    break  # no complete record
    assert found == sent


def test_nothing_to_read_is_said_as_the_kernel_says_it(rig: MakeRig) -> None:
    made = rig()
    with pytest.raises(BlockingIOError):
        made.tls.read(made.fd, READ_BYTES)
    made.peer.write(b"hello")
    made.push(10)
    with pytest.raises(BlockingIOError):
        made.tls.read(made.fd, READ_BYTES)
    made.push()
    assert made.tls.read(made.fd, READ_BYTES) == b"hello"


def test_bytes_that_came_with_the_handshake_are_read_without_an_event(contexts: Contexts) -> None:
    made = Rig.__new__(Rig)
    made.server, made.client = socket.socketpair()
    for sock in (made.server, made.client):
        sock.setblocking(False)
    made.fd, made.tls = made.server.fileno(), TlsSocket(contexts.server)
    made._in, made.out = ssl.MemoryBIO(), ssl.MemoryBIO()
    made.peer = contexts.clients["1.3"].wrap_bio(made._in, made.out, server_hostname="localhost")
    with pytest.raises(ssl.SSLWantReadError):
        made.peer.do_handshake()
    made.push()
    assert not made.tls.shake(made.fd)
    made._in.write(made.client.recv(READ_BYTES))
    made.peer.do_handshake()
    made.peer.write(b"GET")
    made.push()
    assert made.tls.shake(made.fd)
    assert not made.readable()
    assert made.tls.read(made.fd, READ_BYTES) == b"GET"
    made.close()


def test_an_end_of_file_that_came_with_bytes_is_reported_after_them(rig: MakeRig) -> None:
    made = rig()
    made.peer.write(b"last")
    with pytest.raises(ssl.SSLWantReadError):
        made.peer.unwrap()
    made.push()
    assert made.tls.read(made.fd, READ_BYTES) == b"last"
    assert made.readable()  # although the client's socket is open
    assert made.tls.read(made.fd, READ_BYTES) == b""
    assert made.tls.write(made.fd, b"answer") == 6
    made.take()
    assert made.received == b"answer"


def test_an_end_without_close_notify_is_an_end_of_file(rig: MakeRig) -> None:
    made = rig()
    made.client.shutdown(socket.SHUT_WR)
    assert made.tls.read(made.fd, READ_BYTES) == b""
    assert made.tls.read(made.fd, READ_BYTES) == b""


def test_what_violates_the_protocol_raises_and_gets_an_alert(rig: MakeRig) -> None:
    made = rig()
    made.client.send(b"GET / HTTP/1.1\r\n\r\n")
    with pytest.raises(ssl.SSLError):
        made.tls.read(made.fd, READ_BYTES)
    made.server.send(made.tls.end(b"never encrypted"))
    with pytest.raises(ssl.SSLError, match="ALERT"):
        made.take()
    assert made.received == b""


def test_a_full_read_says_that_there_may_be_more(rig: MakeRig) -> None:
    made = rig()
    made.peer.write(b"x" * 3000)
    made.push(1000)
    with pytest.raises(BlockingIOError):
        made.tls.read(made.fd, 1000)
    assert made.tls.full
    with pytest.raises(BlockingIOError):
        made.tls.read(made.fd, 1000)
    assert not made.tls.full
    made.push()
    assert made.tls.read(made.fd, READ_BYTES) == b"x" * 3000
    assert not made.tls.full


@pytest.mark.parametrize("plain", [b"x", b""], ids=["with bytes", "alone"])
def test_answers_of_ssl_that_the_client_does_not_take_are_bounded(plain: bytes, rig: MakeRig) -> None:
    made = rig()
    for _ in range(3):
        if plain:
            made.peer.write(plain)
            made.push()
        else:
            made.client.send(b"\x17\x03\x03")  # the beginning of a record
        made.tls._outgoing.write(b"k" * (ENCRYPTED_BYTES // 2))  # as for requests of new keys
        try:
            made.tls.read(made.fd, READ_BYTES)
        except ConnectionAbortedError:
            return
        except BlockingIOError:
            assert made.tls.came
            made.client.send(b"\x00\x40" + b"x" * 20)
    raise AssertionError("all was kept")


# writing


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("seed", range(8))
def test_a_client_gets_every_byte_once_however_slowly_it_reads(
    version: str, seed: int, rig: MakeRig, tmp_path: Path
) -> None:
    """Bytes and ranges of a file, through the code of every connection."""
    made, draw = rig(version), random.Random(seed)
    content = draw.randbytes(300_000)
    (tmp_path / "file").write_bytes(content)
    file = os.open(tmp_path / "file", os.O_RDONLY)
    sending = Sending()
    sending.fd, sending.tls, sending.write = made.fd, made.tls, made.tls.write
    sent = b""
    for _ in range(80):
        act = draw.random()
        if act < 0.3:
            data = draw.randbytes(draw.choice((1, 1, 2, 100, 3000, RECORD_BYTES, RECORD_BYTES + 1, 200_000)))
            sending.send(data)
            sent += data
        elif act < 0.4:
            offset, count = draw.randrange(200_000), draw.choice((1, 2, 5000, 100_000))
            sending.send_file(file, offset, count)
            sent += content[offset : offset + count]
        else:
            made.take(draw.choice((1, 50, 1000, 10_000)))
            if sending.outbound is not None and draw.random() < 0.7:
                sending.catch_up()
        assert sending.outbound is not None or not made.tls.unsent
    while sending.outbound is not None:
        made.take()
        sending.catch_up()
    made.take()
    assert not made.tls.unsent
    assert made.received == sent
    os.close(file)


def test_a_record_that_waits_is_counted_once_the_client_has_taken_it(rig: MakeRig) -> None:
    made = rig()
    data = b"x" * 10_000
    assert made.tls.write(made.fd, data) == len(data) - 1
    with pytest.raises(BlockingIOError):
        made.tls.write(made.fd, data[-1:])
    while made.tls.unsent:
        made.take()
        try:
            assert made.tls.write(made.fd, data[-1:] + b"y") == 2
        except BlockingIOError:
            continue
    made.take()
    assert made.received == data + b"y"


def test_no_bytes_are_no_record(rig: MakeRig) -> None:
    made = rig()
    made.take()
    assert made.tls.write(made.fd, b"") == 0
    with pytest.raises(BlockingIOError):
        made.client.recv(1)


def test_much_at_once_is_encrypted_in_pieces(rig: MakeRig) -> None:
    made = rig()
    data = bytes(ENCRYPT_BYTES * 3)
    count = made.tls.write(made.fd, data)
    assert count == ENCRYPT_BYTES - 1  # the client was behind after the first
    assert len(made.tls._unsent) < ENCRYPTED_BYTES


def test_the_end_of_a_file_is_the_end_of_its_bytes(rig: MakeRig, tmp_path: Path) -> None:
    made = rig()
    (tmp_path / "file").write_bytes(b"short")
    with (tmp_path / "file").open("rb") as file:
        assert made.tls.pass_range(made.fd, file.fileno(), 0, 100) == 5
        assert made.tls.pass_range(made.fd, file.fileno(), 5, 100) == 0
    made.take()
    assert made.received == b"short"


def test_a_client_that_has_left_is_an_error_of_the_kernel(rig: MakeRig) -> None:
    made = rig()
    made.client.close()
    sending = Sending()
    sending.fd, sending.tls, sending.write = made.fd, made.tls, made.tls.write
    with pytest.raises(ClientGone):
        sending.send(b"hello")


# the end


def test_the_last_words_follow_what_waits(rig: MakeRig) -> None:
    made = rig()
    assert made.tls.write(made.fd, b"x" * 10_000) == 9_999
    words = made.tls.end(b"HTTP/1.1 408 Request Timeout\r\n\r\n")
    made.take()
    made.server.setblocking(True)
    made.server.settimeout(10)
    made.client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 16)
    while words:
        words = words[made.server.send(words[:1000]) :]
        made.take()
    assert made.received == b"x" * 10_000 + b"HTTP/1.1 408 Request Timeout\r\n\r\n"
    assert made.ended


def test_the_end_is_said_once_and_nothing_can_be_written_after_it(rig: MakeRig) -> None:
    made = rig()
    assert made.tls.end()
    assert made.tls.end(b"more") == b""
    with pytest.raises(OSError, match="shutdown"):
        made.tls.write(made.fd, b"more")


# threads


def test_threads_of_an_app_may_send_at_once(rig: MakeRig) -> None:
    """Python's ssl may crash if two threads use one object."""
    made = rig()
    made.client.setblocking(True)
    made.client.settimeout(10)
    made.server.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
    lines = 2000

    def say(letter: bytes) -> None:
        for _ in range(lines):
            data = letter * 50
            while data:
                try:
                    data = data[made.tls.write(made.fd, data) :]
                except BlockingIOError:
                    select.select([], [made.fd], [], 10)

    threads = [threading.Thread(target=say, args=(letter,)) for letter in (b"a", b"b", b"c")]
    for thread in threads:
        thread.start()
    while len(made.received) < 3 * lines * 50:
        made.take()
    for thread in threads:
        thread.join()
    assert len(made.received) == 3 * lines * 50  # in whatever order


# signal handlers of an app


def interrupted(send: Callable[[bytes], object], handler: Callable[[], object]) -> int:
    """Send lines, while a timer calls a handler in the middle of it. Returns how often it did."""
    calls = 0

    def on_alarm(number: int, frame: object) -> None:
        nonlocal calls
        calls += 1
        handler()

    before = signal.signal(signal.SIGALRM, on_alarm)
    try:
        for number in range(3000):
            signal.setitimer(signal.ITIMER_REAL, 0.00001 + (number % 50) * 1e-6)
            send(b"line\n")
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    return calls


def test_a_signal_handler_may_send_in_the_middle_of_a_write(rig: MakeRig) -> None:
    made = rig()
    made.server.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
    sending = Sending()
    sending.fd, sending.tls, sending.write = made.fd, made.tls, made.tls.write

    def send(data: bytes) -> None:
        sending.send(data)
        made.take()
        if sending.outbound is not None:
            sending.catch_up()

    assert interrupted(send, lambda: sending.send(b"tick\n"))
    while sending.outbound is not None:
        made.take()
        sending.catch_up()
    made.take()
    assert made.received.count(b"line\n") == 3000
    assert b"tick\n" in made.received


def test_a_signal_handler_that_raises_in_the_middle_of_a_write_breaks_the_connection(rig: MakeRig) -> None:
    made = rig()

    class Late(Exception):
        pass

    def late() -> None:
        raise Late

    def send(data: bytes) -> None:
        with contextlib.suppress(Late):
            made.tls.write(made.fd, data)
            made.take()

    with contextlib.suppress(ConnectionAbortedError, Late):
        interrupted(send, late)
    made.take()  # the client can read all that was sent: no record is missing or was sent twice
    if made.tls.broken:
        with pytest.raises(ConnectionAbortedError):
            made.tls.write(made.fd, b"more")
