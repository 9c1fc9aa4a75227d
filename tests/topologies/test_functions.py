"""Frames under every ownership, and functions that are awaited: real servers, shared by the tests of this module."""

from __future__ import annotations

import os
import re
import select
import signal
import socket
import struct
from itertools import product
from pathlib import Path
from typing import Any

import pytest
from harness.client import Client
from harness.forms import half, short
from harness.server import Serve, Server, wait_until

QUICK = {"head": "1s", "idle": "1s", "write": "1s", "drain": "10s"}
ONE = {"kind": "process", "size": 1}
OWNED: dict[str, dict[str, Any]] = {
    "reuse-port": {"pool": ONE, "ownership": "reuse-port"},
    "accept-front": {"pool": ONE, "ownership": "half-sync/half-async"},
    "accept-worker": {"pool": ONE, "ownership": {"use": "half-sync/half-async", "accept": "worker"}},
    "leader-processes": {"pool": ONE, "ownership": "leader/followers"},
    "leader-threads": {"pool": {"kind": "thread", "size": 1}, "ownership": "leader/followers"},
}
TWO = {
    **{name: model | {"pool": model["pool"] | {"size": 2}} for name, model in OWNED.items()},
    "reactive-processes": {"pool": {"kind": "process", "size": 2}, "ownership": "half-sync/half-reactive"},
    "reactive-threads": {"pool": {"kind": "thread", "size": 2}, "ownership": "half-sync/half-reactive"},
}


@pytest.fixture(scope="module")
def serve_functions(serve_once: Serve) -> Serve:
    """The server of a topology, of which the module needs one."""
    return lambda environment=None, **topology: serve_once(topology, environment=environment, tracebacks=True)


def framed(data: bytes, size: int = 4) -> bytes:
    return len(data).to_bytes(size, "big") + data


def drained(client: Client) -> bytes:
    """All until the end, which may be a reset."""
    received = bytearray()
    try:
        while piece := client.line():
            received += piece
    except ConnectionResetError:
        received += b""
    return bytes(received)


# Frames


@pytest.mark.parametrize("model", short([*TWO, "awaited"], half([*TWO, "awaited"], 1)))
def test_frames_are_answered_by_frames(serve_functions: Serve, model: str) -> None:
    app = {"async-frames": "messages:slow_frame"} if model == "awaited" else {"frames": "messages:frame"}
    server = serve_functions(app=app, **TWO.get(model, OWNED["reuse-port"]))
    large = bytes(range(256)) * 4096  # the limit
    sent = b"".join(map(framed, [b"one", b"", b"nothing", large, b"bytes 300000", b"two"]))
    with Client(server.port) as client:
        client.send(sent[:5])
        client.send(sent[5:] + b"\0\0\0\x09left")
        client.sock.shutdown(socket.SHUT_WR)
        assert drained(client) == b"".join(map(framed, [b"ONE", b"", large.upper(), b"x" * 300000, b"TWO"]))


@pytest.mark.parametrize("model", ["reuse-port", "reactive-processes", "awaited"])
def test_what_is_no_frame_ends_the_connection(serve_functions: Serve, model: str) -> None:
    """Too long a frame, too large an answer, an exception: after the answers to what came before."""
    app = {"async-frames": "messages:slow_frame"} if model == "awaited" else {"frames": "messages:frame"}
    server = serve_functions(
        app=app, protocol={"use": "frames", "size": 1, "limit": 20}, **TWO.get(model, OWNED["reuse-port"])
    )
    for wrong in (b"\x15" + b"a" * 21, framed(b"bytes 256", 1), framed(b"raise", 1)):
        with Client(server.port) as client:
            client.send(framed(b"one", 1))
            assert client.sock.recv(4) == framed(b"ONE", 1)
            client.send(wrong + framed(b"two", 1))
            assert client.at_end()
    server.wait_for_log("256 bytes are too many for a frame whose prefix has size 1")
    with Client(server.port) as client:
        client.send(framed(b"a" * 20, 1))
        assert client.sock.recv(21) == framed(b"A" * 20, 1)


# Lines that are awaited


@pytest.fixture
def lines(serve_functions: Serve) -> Server:
    return serve_functions(app={"async-lines": "messages:line"}, timeouts=QUICK, **OWNED["reuse-port"])


POLLERS = [*product(OWNED, ["epoll"]), ("leader-threads", "selectors")]


@pytest.mark.parametrize(("model", "poller"), short(POLLERS, half(POLLERS, 1)))
def test_lines_are_answered_in_order(serve_functions: Serve, model: str, poller: str) -> None:
    environment = {"POOLCTL_POLLER": poller}
    server = serve_functions(app={"async-lines": "messages:line"}, environment=environment, **OWNED[model])
    with Client(server.port) as client:
        client.send(b"sleep 0.05\r\none\ntwo\nnothing\nsleep 0.01\n")
        assert [client.line() for _ in range(4)] == [b"SLEEP 0.05\n", b"ONE\n", b"TWO\n", b"SLEEP 0.01\n"]
        client.send(b"three\nsleep 0.05\nlast")
        client.sock.shutdown(socket.SHUT_WR)
        assert drained(client) == b"THREE\nSLEEP 0.05\nLAST\n"


def test_one_that_waits_makes_nobody_wait(lines: Server) -> None:
    with Client(lines.port) as one, Client(lines.port) as other:
        one.send(b"wait\nafter\n")
        lines.wait_for_log("waits")
        other.send(b"go\n")
        assert other.line() == b"GO\n"
        assert (one.line(), one.line()) == (b"WAIT\n", b"AFTER\n")


@pytest.mark.parametrize("wrong", [b"raise\n", b"cancel\n", b"x" * 65537])
def test_what_goes_wrong_ends_one_connection(lines: Server, wrong: bytes) -> None:
    with Client(lines.port) as client, Client(lines.port) as other:
        client.send(b"sleep 0.01\n" + wrong + b"never\n")
        assert drained(client) == b"SLEEP 0.01\n"
        other.send(b"still here\n")
        assert other.line() == b"STILL HERE\n"


@pytest.mark.parametrize("family", [socket.AF_INET, socket.AF_UNIX])
def test_what_a_client_sent_before_it_left_is_served(
    serve_functions: Serve, tmp_path: Path, family: socket.AddressFamily
) -> None:
    """More than is read ahead; the end of a unix socket is told of before its last bytes are read."""
    path = tmp_path / "lines.sock"
    listen = ["tcp://127.0.0.1:0", f"unix://{path}"]
    server = serve_functions(app={"async-lines": "messages:line"}, listen=listen, **OWNED["accept-front"])
    with socket.socket(family) as sender:
        sender.connect(("127.0.0.1", server.port) if family == socket.AF_INET else str(path))
        sender.sendall(b"note\n" * 40000)
    with Client(server.port) as client:

        def noted() -> bool:
            client.send(b"noted\n")
            return client.line() == b"40000\n"

        wait_until(noted, "all notes")


def test_a_client_that_reads_late_gets_everything(lines: Server) -> None:
    """And the function is not asked for more than it takes."""
    before = len(re.findall("^bytes$", lines.log, re.M))
    with Client(lines.port) as client:
        client.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
        client.send(b"bytes 1000000\n" * 20 + b"end\n" + b"#" * 60000 + b"\n")
        lines.wait_for_log("(?m)^bytes$", before + 1)
        received = drained_until(client, b"#\n")
        asked = len(re.findall("^bytes$", lines.log, re.M)) - before
    assert received == (b"x" * 1000000 + b"\n") * 20 + b"END\n" + b"#" * 60000 + b"\n"
    assert asked == 20


def drained_until(client: Client, end: bytes) -> bytes:
    received = bytearray()
    while not received.endswith(end):
        piece = client.sock.recv(1 << 20)
        assert piece
        received += piece
    return bytes(received)


def test_a_client_that_does_not_read_is_cut(lines: Server) -> None:
    before = len(re.findall("^bytes$", lines.log, re.M))
    with Client(lines.port) as client:
        client.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
        client.send(b"bytes 1000000\n" * 100)
        with Client(lines.port) as other:  # whose idle time begins when the other's time to write does
            other.send(b"bytes 10\n")
            assert (other.line(), other.line()) == (b"xxxxxxxxxx\n", b"")
        assert len(drained(client)) < 50_000_000
    assert len(re.findall("^bytes$", lines.log, re.M)) - before < 50


def test_a_function_may_take_longer_than_any_timeout(lines: Server) -> None:
    with Client(lines.port) as busy, Client(lines.port) as begun, Client(lines.port) as silent:
        busy.send(b"sleep 1.8\n")
        begun.send(b"half a li")
        assert begun.at_end()
        assert silent.at_end()
        assert busy.line() == b"SLEEP 1.8\n"


def test_a_stop_answers_what_has_come(serve: Serve) -> None:
    server = serve({"app": {"async-lines": "messages:line"}, **OWNED["accept-front"]})
    with Client(server.port) as client, Client(server.port) as idle:
        idle.send(b"one\n")
        assert idle.line() == b"ONE\n"
        client.send(b"sleep 0.5\nnext\n")
        server.wait_for_log("sleeps 0.5")
        server.signal()
        assert drained(client) == b"SLEEP 0.5\nNEXT\n"
        assert idle.at_end()
        assert server.wait() == 0


@pytest.mark.parametrize(
    ("app", "sent"),
    [
        ({"async-lines": "messages:line"}, b"sleep 0.1\n"),
        ({"asgi": "messages:page"}, b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"),
    ],
    ids=["lines", "asgi"],
)
def test_a_request_that_comes_with_the_stop_is_answered(serve: Serve, app: dict[str, str], sent: bytes) -> None:
    """The loop asks its idle connections who can leave, and one is not idle any more."""
    server = serve({"app": app, **OWNED["reuse-port"]})
    (worker,) = server.pids("worker")
    with Client(server.port) as client:
        client.send(sent)
        first = client.line()
        os.kill(worker, signal.SIGSTOP)
        server.signal()
        server.wait_for_log("draining")
        select.select([], [], [], 0.05)  # nobody says when the mold has told the workers
        client.send(sent)
        os.kill(worker, signal.SIGCONT)
        assert (first + drained(client)).lower().count(b"sleep 0.1\n") == 2
    assert server.wait() == 0


# Streams that are awaited


@pytest.fixture
def streams(serve_functions: Serve) -> Server:
    return serve_functions(
        app={"async-stream": "messages:stream", "greets": True}, timeouts=QUICK, **OWNED["reuse-port"]
    )


def greeted(client: Client) -> None:
    assert client.line() == b"hello %d\n" % client.sock.getsockname()[1]


@pytest.mark.parametrize("model", short(OWNED, half(OWNED)))
def test_a_stream_begins_with_the_first_bytes(serve_functions: Serve, model: str) -> None:
    server = serve_functions(app={"async-stream": "messages:stream"}, **OWNED[model])
    with Client(server.port) as silent, Client(server.port) as client:
        silent.sock.setblocking(False)
        client.send(b"upper one\nupper tw")
        greeted(client)
        client.send(b"o\nsum 4\n\1\2\3\4rest\n" + b"x" * 200000)
        client.sock.shutdown(socket.SHUT_WR)
        assert drained(client) == b"ONE\nTWO\n10\n200000\n"
        with pytest.raises(BlockingIOError):
            silent.sock.recv(1)


@pytest.mark.parametrize("poller", ["epoll", "selectors"])
@pytest.mark.parametrize("app", [{"async-stream": "messages:stream"}, {"stream": "messages:greeting"}])
def test_a_stream_may_greet(serve_functions: Serve, app: dict[str, str], poller: str) -> None:
    server = serve_functions(
        app=app | {"greets": True}, environment={"POOLCTL_POLLER": poller}, **OWNED["accept-front"]
    )
    with Client(server.port) as client:
        greeted(client)
        client.send(b"upper one\n")
        assert client.line().endswith(b"ONE\n")


@pytest.mark.parametrize("app", [{"async-stream": "messages:stream"}, {"stream": "messages:greeting"}])
def test_the_peer_is_whom_the_door_says(serve_functions: Serve, app: dict[str, str]) -> None:
    listen = {"at": "tcp://127.0.0.1:0", "proxy_protocol": "127.0.0.1"}
    server = serve_functions(app=app | {"greets": True}, listen=listen, **OWNED["reuse-port"])
    with Client(server.port) as client:
        client.send(b"PROXY TCP4 192.0.2.7 192.0.2.8 4711 80\r\n")
        assert client.line() == b"hello 4711\n"


def test_streams_write_to_each_other(streams: Server) -> None:
    with Client(streams.port) as one, Client(streams.port) as other:
        greeted(one)
        greeted(other)
        one.send(b"tell news\n")
        assert (one.line(), other.line()) == (b"news\n", b"news\n")


def test_each_write_goes_out_whole(streams: Server) -> None:
    with Client(streams.port) as client:
        client.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
        greeted(client)
        client.send(b"bytes 3000000\n")
        client.sock.shutdown(socket.SHUT_WR)
        assert drained(client) == b"A" * 3000000 + b"B" * 3000000 + b"C" * 3000000


def test_a_stream_whose_function_has_ended_is_of_no_use(streams: Server) -> None:
    with Client(streams.port) as one, Client(streams.port) as other:
        failures = streams.log.count("ValueError: on purpose")
        one.send(b"keep it\n")
        greeted(one)
        assert one.at_end()
        streams.wait_for_log("ValueError: on purpose", failures + 1)  # not while another test counts tracebacks
        other.send(b"use\n")
        greeted(other)
        assert [other.line() for _ in range(3)] == [b"ClientGone\n"] * 3


def test_one_task_reads_at_a_time(streams: Server) -> None:
    with Client(streams.port) as client:
        client.send(b"two\n")
        greeted(client)
        assert client.line() == b"another task is reading from this stream already\n"
        client.send(b"the first has it\n")
        assert client.line() == b"the first has it\n"


def test_waits_for_a_client_end(streams: Server) -> None:
    """A wait of the function's own, one for a silent client, one for a client that does not read."""
    failed = streams.log.count("Traceback")
    with Client(streams.port) as silent, Client(streams.port) as deaf:
        deaf.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
        deaf.send(b"bytes 30000000\n")
        silent.send(b"patience\n")
        greeted(silent)
        assert (silent.line(), silent.line()) == (b"TimeoutError\n", b"")
        assert len(drained(deaf)) < 90_000_000
    assert streams.log.count("Traceback") == failed


def test_a_reset_ends_a_conversation(streams: Server) -> None:
    ended = len(re.findall("a conversation ended: the client has left", streams.log))
    client = Client(streams.port)
    greeted(client)
    client.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    client.close()
    streams.wait_for_log("a conversation ended: the client has left", ended + 1)


def test_a_stop_lets_conversations_end(serve: Serve) -> None:
    server = serve({"app": {"async-stream": "messages:stream"}, **OWNED["leader-processes"]})
    with Client(server.port) as client:
        client.send(b"upper one\n")
        greeted(client)
        server.signal()
        server.wait_for_log("draining")
        client.send(b"upper two\n")
        assert [client.line(), client.line()] == [b"ONE\n", b"TWO\n"]
        client.sock.shutdown(socket.SHUT_WR)
        assert client.at_end()
        assert server.wait() == 0


def test_a_conversation_that_begins_with_the_stop_costs_nothing_while_it_waits(serve: Serve) -> None:
    server = serve({"app": {"async-stream": "messages:stream"}, **OWNED["reuse-port"]})
    (worker,) = server.pids("worker")
    with Client(server.port) as client:
        with Client(server.port) as later:  # whose answer says that the first was accepted
            later.send(b"upper one\n")
            greeted(later)
        os.kill(worker, signal.SIGSTOP)
        server.signal()
        server.wait_for_log("draining")
        select.select([], [], [], 0.05)  # nobody says when the mold has told the workers
        client.send(b"upper one\n")
        os.kill(worker, signal.SIGCONT)
        greeted(client)
        assert client.line() == b"ONE\n"
        before = processor_time(worker)
        select.select([], [], [], 0.3)
        assert processor_time(worker) - before < 0.05
    assert server.wait() == 0


def processor_time(pid: int) -> float:
    """Seconds that a process has computed."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
