"""The system calls of the compiled form do what Python's own do. Compiled here, where there is a C compiler."""

from __future__ import annotations

import importlib.machinery
import importlib.util
import os
import shutil
import signal
import socket
import subprocess
import sysconfig
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from poolctl.runtime.channels.inbox import AT_ONCE, CLOEXEC, MESSAGE_BYTES
from poolctl.runtime.scoreboard import REQUESTS, ROW, SECONDS, SINCE
from poolctl.runtime.system import calls

SOURCE = Path(calls.__file__).with_name("_calls.c")
INCLUDE = Path(sysconfig.get_paths()["include"])


@pytest.fixture(scope="module")
def native(tmp_path_factory: pytest.TempPathFactory) -> Any:
    compiler = shutil.which("cc")
    if compiler is None or not (INCLUDE / "Python.h").exists():
        pytest.skip("needs a C compiler and Python's headers")
    library = tmp_path_factory.mktemp("calls") / "_calls.so"
    words = [compiler, "-shared", "-fPIC", "-Wall", "-Wextra", "-Werror", "-Wno-unused-parameter"]
    subprocess.run([*words, f"-I{INCLUDE}", str(SOURCE), "-o", str(library)], check=True)
    loader = importlib.machinery.ExtensionFileLoader("_calls", str(library))
    spec = importlib.util.spec_from_loader("_calls", loader)
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    loader.exec_module(module)
    return module


@pytest.fixture
def ends() -> Iterator[tuple[socket.socket, socket.socket]]:
    one, other = socket.socketpair()
    one.setblocking(False)
    other.setblocking(False)
    yield one, other
    one.close()
    other.close()


@pytest.fixture
def channel() -> Iterator[tuple[socket.socket, socket.socket]]:
    one, other = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    yield one, other
    one.close()
    other.close()


def raised(call: Any, *args: Any) -> tuple[type, int | None]:
    with pytest.raises(Exception) as found:  # noqa: PT011  # compared with another one
        call(*args)
    return type(found.value), getattr(found.value, "errno", None)


def test_read_and_write(native: Any, ends: tuple[socket.socket, socket.socket]) -> None:
    one, other = ends
    for data in (b"", b"x", bytes(1000), bytearray(b"abc"), memoryview(b"abcdef")[2:]):
        assert native.write(one.fileno(), data) == len(data)
    assert native.read(other.fileno(), 65536) == b"x" + bytes(1000) + b"abccdef"
    one.close()
    assert native.read(other.fileno(), 65536) == b""


def test_a_part_of_what_is_large(native: Any, ends: tuple[socket.socket, socket.socket]) -> None:
    one, other = ends
    count = native.write(one.fileno(), bytes(10_000_000))
    assert 0 < count < 10_000_000
    assert len(native.read(other.fileno(), 65536)) == 65536


def test_errors_are_those_of_python(native: Any, ends: tuple[socket.socket, socket.socket]) -> None:
    one, other = ends
    assert raised(native.read, one.fileno(), 10) == raised(os.read, one.fileno(), 10) == (BlockingIOError, 11)
    assert raised(native.read, 12345, 10) == raised(os.read, 12345, 10)
    assert raised(native.write, 12345, b"x") == raised(os.write, 12345, b"x")
    assert raised(native.close, 12345) == raised(os.close, 12345)
    assert raised(native.write, one.fileno(), "text")[0] is TypeError
    assert raised(native.read, "1", 10)[0] is TypeError
    assert raised(native.close, 2**32 + one.fileno())[0] is raised(os.close, 2**32 + one.fileno())[0] is OverflowError
    assert raised(native.read, one.fileno(), 65537)[0] is ValueError
    assert raised(native.read, one.fileno())[0] is TypeError
    assert raised(native.accept, one.fileno())[0] is OSError
    other.close()
    assert raised(native.write, one.fileno(), b"x") == (BrokenPipeError, 32)


def test_close(native: Any) -> None:
    one, other = os.pipe()
    native.close(one)
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(one)
    os.close(other)


@pytest.mark.parametrize(
    ("family", "address"), [(socket.AF_INET, "127.0.0.1"), (socket.AF_INET, "127.100.20.3"), (socket.AF_INET6, "::1")]
)
def test_accept(native: Any, family: int, address: str) -> None:
    with socket.socket(family, socket.SOCK_STREAM) as listener:
        try:
            listener.bind((address, 0))
        except OSError:
            pytest.skip("there is no IPv6")
        listener.listen()
        listener.setblocking(False)
        assert raised(native.accept, listener.fileno())[0] is BlockingIOError
        with socket.create_connection(listener.getsockname()[:2], source_address=(address, 0)) as client:
            fd, host, port = native.accept(listener.fileno())
            with socket.socket(fileno=fd) as server:
                assert (host, int(port)) == client.getsockname()[:2]
                assert not os.get_blocking(fd)
                assert not os.get_inheritable(fd)
                client.sendall(b"hello")
                server.setblocking(True)
                assert server.recv(10) == b"hello"


def test_accept_from_a_unix_socket(native: Any, tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "s"))
        listener.listen()
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(str(tmp_path / "s"))
            fd, *names = native.accept(listener.fileno())
            os.close(fd)
            assert names == ["", ""]


def test_descriptors_travel(native: Any, channel: tuple[socket.socket, socket.socket]) -> None:
    one, other = channel
    reader, writer = os.pipe()
    native.send(one.fileno(), b"two", reader, writer)
    native.send(one.fileno(), b"one", reader)
    native.send(one.fileno(), b"none")
    found = [native.receive(other.fileno(), AT_ONCE) for _ in range(3)]
    assert [(message, len(fds)) for message, fds in found] == [(b"two", 2), (b"one", 1), (b"none", 0)]
    for fd in (*found[0][1], *found[1][1]):
        assert not os.get_inheritable(fd)
        os.close(fd)
    assert native.receive(other.fileno(), AT_ONCE) is None
    assert raised(native.send, one.fileno(), b"x", 1, 2, 3)[0] is TypeError
    assert raised(native.send, one.fileno(), b"x", 12345) == (OSError, 9)
    one.close()
    assert native.receive(other.fileno(), AT_ONCE) == (b"", [])
    os.close(reader)
    os.close(writer)


def test_the_largest_message_arrives_whole(native: Any, channel: tuple[socket.socket, socket.socket]) -> None:
    one, other = channel
    data = os.urandom(MESSAGE_BYTES)
    native.send(one.fileno(), data)
    assert native.receive(other.fileno(), CLOEXEC) == (data, [])


def test_a_full_channel_is_an_error(native: Any, channel: tuple[socket.socket, socket.socket]) -> None:
    one, _ = channel
    with pytest.raises(BlockingIOError):  # noqa: PT012  # how many fit depends on the kernel
        while True:
            native.send(one.fileno(), bytes(10_000))


def test_other_threads_run_while_one_waits_for_a_message(
    native: Any, channel: tuple[socket.socket, socket.socket]
) -> None:
    one, other = channel
    found: list[Any] = []
    thread = threading.Thread(target=lambda: found.append(native.receive(other.fileno(), CLOEXEC)))
    thread.start()
    one.send(b"here")
    thread.join()
    assert found == [(b"here", [])]


def test_a_signal_handler_runs_while_it_waits(native: Any, channel: tuple[socket.socket, socket.socket]) -> None:
    one, other = channel
    before = signal.signal(signal.SIGALRM, lambda number, frame: one.send(b"from the handler"))
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.05)
        assert native.receive(other.fileno(), CLOEXEC) == (b"from the handler", [])
    finally:
        signal.signal(signal.SIGALRM, before)


def test_what_a_signal_handler_raises_comes_through(native: Any, channel: tuple[socket.socket, socket.socket]) -> None:
    def fails(number: int, frame: object) -> None:
        raise KeyError("raised by the handler")

    before = signal.signal(signal.SIGALRM, fails)
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.05)
        with pytest.raises(KeyError, match="raised by the handler"):
            native.receive(channel[1].fileno(), CLOEXEC)
    finally:
        signal.signal(signal.SIGALRM, before)


def test_the_counts_of_a_request_are_those_of_a_service(native: Any) -> None:
    row = memoryview(bytearray(8 * ROW)).cast("q")
    before = time.monotonic_ns()
    started = native.begin(row)
    assert before <= started == row[SINCE] <= time.monotonic_ns()
    for length, ago in enumerate([0, 1024, 2048, 5000, 9000]):
        began = time.monotonic_ns() - ago - 10**12 * (length == 4)
        ended = native.finish(row, began)
        assert row[SECONDS + (ended - began >> 10).bit_length()] >= 1
        row[SECONDS + (ended - began >> 10).bit_length()] -= 1
    assert (row[SINCE], row[REQUESTS]) == (0, 5)
    row[REQUESTS] = 0
    assert not any(row)


def test_a_row_that_was_released_is_refused(native: Any) -> None:
    row = memoryview(bytearray(8 * ROW)).cast("q")
    short = row[1:]
    assert raised(native.begin, short)[0] is ValueError
    short.release()
    row.release()
    assert raised(native.begin, row)[0] is ValueError
    assert raised(native.finish, row, 1)[0] is ValueError
