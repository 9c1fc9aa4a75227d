"""Echo, lines, frames and stream."""

from __future__ import annotations

import functools
import socket
import struct
import sys
import threading
import types
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from harness.machine import PATIENCE
from serving import ALONE, PEER, Sent

from poolctl.assembly.registry import part_class
from poolctl.errors import AppError, ClientGone
from poolctl.runtime.app.echo import Echo
from poolctl.runtime.app.functions.frames import FramesApp
from poolctl.runtime.app.functions.lines import LinesApp
from poolctl.runtime.app.functions.stream import Stream, StreamApp
from poolctl.runtime.protocol.frames import Frame, Frames


@pytest.fixture
def module(monkeypatch: pytest.MonkeyPatch) -> types.ModuleType:
    """A user's module, importable as pc_user."""
    made = types.ModuleType("pc_user")
    monkeypatch.setitem(sys.modules, "pc_user", made)
    return made


@pytest.fixture
def connection_pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    """A connection over TCP: the server's end and the client's."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        client = socket.create_connection(listener.getsockname(), timeout=PATIENCE)
        server, _ = listener.accept()
    with client, server:
        yield server, client


def test_echo() -> None:
    out = Sent()
    app = Echo()
    app.load(ALONE)
    assert app.serve(b"\0same\n", out)
    assert out.sends == [b"\0same\n"]


@pytest.mark.parametrize(
    ("answer", "sends"),
    [(b"a", [b"a\n"]), (b"a\n", [b"a\n"]), ("\u00e9", [b"\xc3\xa9\n"]), (None, []), (b"", [b"\n"])],
)
def test_results_of_a_lines_function(module: Any, answer: Any, sends: list[bytes]) -> None:
    seen = []
    module.answer = lambda line: seen.append(line) or answer
    app = LinesApp("pc_user:answer")
    app.load(ALONE)
    out = Sent()
    assert app.serve(b"line", out)
    assert (seen, out.sends) == ([b"line"], sends)


def test_a_lines_function_that_returns_another_type(module: Any) -> None:
    module.answer = len
    app = LinesApp("pc_user:answer")
    app.load(ALONE)
    with pytest.raises(TypeError, match="pc_user:answer returned a int"):
        app.serve(b"line", Sent())


@pytest.mark.parametrize(
    ("answer", "sends"), [(b"a", [b"\0\x01a"]), (b"", [b"\0\0"]), (None, []), (b"a" * 300, [b"\x01\x2c" + b"a" * 300])]
)
def test_results_of_a_frames_function(module: Any, answer: Any, sends: list[bytes]) -> None:
    seen = []
    module.answer = lambda frame: seen.append(frame) or answer
    app = FramesApp("pc_user:answer")
    app.load(ALONE)
    out = Sent()
    assert app.serve(Frame(b"frame", Frames(size=2)), out)
    assert (seen, out.sends) == ([b"frame"], sends)


@pytest.mark.parametrize(("answer", "error"), [("a", TypeError), (3, TypeError), (bytes(256), ValueError)])
def test_a_frames_function_whose_result_cannot_be_a_frame(module: Any, answer: Any, error: type[Exception]) -> None:
    module.answer = lambda frame: answer
    app = FramesApp("pc_user:answer")
    app.load(ALONE)
    with pytest.raises(error):
        app.serve(Frame(b"", Frames(size=1)), Sent())


class Answers:
    """Callable objects are functions too. The object is async; the class itself is called without awaiting."""

    def __init__(self, request: object = None) -> None:
        """Nothing."""

    async def __call__(self, request: object) -> None:
        """Nothing."""


async def awaited(request: object) -> None:
    """Nothing."""


@pytest.mark.parametrize("function", [awaited, Answers(), functools.partial(awaited)])
@pytest.mark.parametrize("word", ["lines", "frames", "stream"])
def test_an_async_function_needs_an_async_app(module: Any, word: str, function: Any) -> None:
    module.answer = function
    part_class("app", f"async-{word}")("pc_user:answer").load(ALONE)
    with pytest.raises(
        AppError, match=rf"is async, but the app {word} .*write 'app: \{{async-{word}: pc_user:answer\}}'"
    ):
        part_class("app", word)("pc_user:answer").load(ALONE)
    for plain in (len, Answers):
        module.answer = plain
        part_class("app", word)("pc_user:answer").load(ALONE)
        with pytest.raises(
            AppError, match=rf"is not async, but the app async-.* write 'app: \{{{word}: pc_user:answer\}}'"
        ):
            part_class("app", f"async-{word}")("pc_user:answer").load(ALONE)


@pytest.mark.parametrize("timeout", [None, 0.0, 5.0])
def test_a_stream_reads_earlier_and_later_bytes(connection_pair: Any, timeout: float | None) -> None:
    server, client = connection_pair
    server.settimeout(timeout)
    stream = Stream(server, b"one\ntw", 10, 10, PEER)
    client.sendall(b"o\nthree12345rest of it")
    client.shutdown(socket.SHUT_WR)
    assert stream.readline() == b"one\n"
    assert stream.readline() == b"two\n"
    assert stream.read(5) == b"three"
    assert stream.readexactly(5) == b"12345"
    assert stream.read(0) == b""
    assert stream.read() == b"rest of it"
    assert (stream.read(), stream.read(1), stream.readline()) == (b"", b"", b"")
    with pytest.raises(EOFError, match="0 of 1"):
        stream.readexactly(1)


def test_a_stream_is_iterated_by_lines(connection_pair: Any) -> None:
    server, client = connection_pair
    client.sendall(b"a\n\nlast")
    client.shutdown(socket.SHUT_WR)
    assert list(Stream(server, b"", 10, 10, PEER)) == [b"a\n", b"\n", b"last"]


def test_a_line_has_a_limit(connection_pair: Any) -> None:
    server, _ = connection_pair
    assert Stream(server, b"1234\n", 10, 10, PEER).readline(5) == b"1234\n"
    for received in (b"12345\n", b"123456"):
        with pytest.raises(ValueError, match="more than 5 bytes"):
            Stream(server, received, 10, 10, PEER).readline(5)


def test_a_silent_client_times_out(connection_pair: Any) -> None:
    server, _ = connection_pair
    with pytest.raises(TimeoutError, match=r"sent nothing for 0\.05 s"):
        Stream(server, b"", 0.05, 10, PEER).read(1)


def test_a_client_that_does_not_read_times_out(connection_pair: Any) -> None:
    server, _ = connection_pair
    with pytest.raises(TimeoutError, match="read nothing"):
        Stream(server, b"", 10, 0.05, PEER).write(b"x" * 50_000_000)


def test_a_large_write_arrives_whole(connection_pair: Any) -> None:
    server, client = connection_pair
    data = bytes(range(256)) * 20_000
    writer = threading.Thread(target=Stream(server, b"", 10, 10, PEER).write, args=(data,))
    writer.start()
    received = bytearray()
    while len(received) < len(data):
        part = client.recv(1 << 20)
        assert part
        received += part
    writer.join(PATIENCE)
    assert received == data


@pytest.mark.parametrize("act", [lambda stream: stream.read(1), lambda stream: stream.write(b"x")])
def test_a_reset_is_client_gone(connection_pair: Any, act: Callable[[Stream], Any]) -> None:
    server, client = connection_pair
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    client.close()
    stream = Stream(server, b"", 10, 10, PEER)
    with pytest.raises(ClientGone):
        act(stream)


def test_a_stream_knows_its_peer(connection_pair: Any) -> None:
    server, _ = connection_pair
    assert Stream(server, b"", 10, 10, PEER).peer == PEER


def test_a_stream_app_runs_the_function(module: Any, connection_pair: Any) -> None:
    def upper(stream: Stream) -> None:
        for line in stream:
            stream.write(line.upper())

    module.upper = upper
    server, client = connection_pair
    app = StreamApp("pc_user:upper")
    app.load(ALONE)
    assert app.owns_connection
    client.sendall(b"b\n")
    client.shutdown(socket.SHUT_WR)
    app.converse(server, b"a", 10, 10, PEER)
    server.close()
    assert client.recv(100) == b"AB\n"


def test_a_timeout_ends_the_conversation_and_an_error_passes_through(module: Any, connection_pair: Any) -> None:
    server, _ = connection_pair
    module.wait = lambda stream: stream.read()
    module.fail = lambda stream: {}["mine"]
    for name in ("wait", "fail"):
        app = StreamApp(f"pc_user:{name}")
        app.load(ALONE)
        if name == "wait":
            app.converse(server, b"", 0.05, 0.05, PEER)
        else:
            with pytest.raises(KeyError, match="mine"):
                app.converse(server, b"", 0.05, 0.05, PEER)
