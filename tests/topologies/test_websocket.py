"""WebSockets over real sockets, with a client of another make, and byte by byte."""

from __future__ import annotations

import json
import os
import re
import socket
import struct
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import pytest
from harness.client import Client, get
from harness.machine import PATIENCE
from harness.server import Serve, Server, wait_until
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect

MODELS: dict[str, dict[str, Any]] = {
    "reuse-port": {"pool": {"size": 1}, "ownership": "reuse-port"},
    "accept-front": {"pool": {"size": 1}, "ownership": "half-sync/half-async"},
    "leader-threads": {"pool": {"kind": "thread", "size": 1}, "ownership": "leader/followers"},
}
UPGRADE = (
    b"GET %b HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: keep-alive, Upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)


def serve_sockets(serve: Serve, model: str = "reuse-port", **more: Any) -> Server:
    tracebacks = more.pop("tracebacks", False)
    return serve({"name": "ws", "app": {"asgi": "sockets:app"}, **MODELS[model], **more}, tracebacks=tracebacks)


def open_(server: Server, path: str = "/", **more: Any) -> ClientConnection:
    return connect(
        f"ws://127.0.0.1:{server.port}{path}", open_timeout=PATIENCE, close_timeout=PATIENCE, max_size=None, **more
    )


@pytest.mark.parametrize("model", MODELS)
def test_messages_come_back_whole(model: str, serve: Serve) -> None:
    server = serve_sockets(serve, model)
    large = os.urandom(3_000_000)
    for compression in ("deflate", None):
        with open_(server, compression=compression) as client:
            offered = client.response.headers.get("Sec-WebSocket-Extensions", "")  # type: ignore[union-attr]
            assert ("permessage-deflate" in offered) == (compression is not None)
            for message in ("grüße", b"bytes", "", b"", large, "ö" * 200_000):
                client.send(message)
                assert client.recv(10) == message
            client.send(iter(["in ", "parts, ", "", "one"]))
            assert client.recv(10) == "in parts, one"
            assert client.ping().wait(PATIENCE)
    server.wait_for_log("disconnected 1000 ''", 2)
    assert get(server.port).body == b"plain"
    assert server.stop() == 0


def test_the_scope_and_what_the_app_answers_the_handshake_with(serve: Serve) -> None:
    server = serve_sockets(serve)
    with open_(server, "/about?a=1&b", subprotocols=["one", "two"]) as client:
        told = json.loads(client.recv(10))
        with pytest.raises(ConnectionClosed) as closed:
            client.recv(10)
    assert (closed.value.rcvd.code, closed.value.rcvd.reason) == (4000, "that was all")  # type: ignore[union-attr]
    assert client.subprotocol == "two"
    assert client.response.headers["X-Shop"] == "open"  # type: ignore[union-attr]
    assert told["type"] == "websocket"
    assert told["scheme"] == "ws"
    assert told["path"] == "/about"
    assert told["query_string"] == "a=1&b"
    assert told["subprotocols"] == ["one", "two"]
    assert "websocket.http.response" in told["extensions"]
    server.wait_for_log("a send after the close is an OSError")


@pytest.mark.parametrize(("path", "status"), [("/deny", 403), ("/page", 418), ("/before", 500), ("/silent", 500)])
def test_who_is_not_accepted_gets_an_answer_of_http(path: str, status: int, serve: Serve) -> None:
    server = serve_sockets(serve, tracebacks=path == "/before")
    with pytest.raises(InvalidStatus) as refused, open_(server, path):
        pass
    assert refused.value.response.status_code == status
    if path == "/page":
        assert refused.value.response.body == b"tea only"


@pytest.mark.parametrize(("path", "code"), [("/after", 1011), ("/leave", 1000)])
def test_an_app_that_ends_closes(path: str, code: int, serve: Serve) -> None:
    server = serve_sockets(serve, tracebacks=path == "/after")
    with open_(server, path) as client, pytest.raises(ConnectionClosed) as closed:
        client.recv(10)
    assert closed.value.rcvd.code == code  # type: ignore[union-attr]


def test_many_at_once(serve: Serve) -> None:
    server = serve_sockets(serve)
    with ExitStack() as stack, ThreadPoolExecutor(8) as pool:
        clients = list(pool.map(lambda _: stack.enter_context(open_(server, compression=None)), range(200)))
        for number, client in enumerate(clients):
            client.send(str(number))
        assert [client.recv(10) for client in clients] == [str(number) for number in range(200)]
        list(pool.map(lambda client: client.close(), clients))
    server.wait_for_log("disconnected 1000", 200)


def test_a_message_that_is_too_large(serve: Serve) -> None:
    server = serve_sockets(serve, protocol={"use": "http", "websocket_message": "100KiB"})
    for compression in (None, "deflate"):
        with open_(server, compression=compression) as client:
            client.send(bytes(100 * 1024))
            assert len(client.recv(10)) == 100 * 1024
            with suppress(ConnectionClosed):  # it may hear of it while it sends
                client.send(iter([bytes(60 * 1024), bytes(60 * 1024)]))
            with pytest.raises(ConnectionClosed) as closed:
                client.recv(10)
        assert closed.value.rcvd.code == 1009  # type: ignore[union-attr]


def test_compression_can_be_turned_off(serve: Serve) -> None:
    server = serve_sockets(serve, protocol={"use": "http", "websocket_deflate": False})
    with open_(server) as client:
        assert "Sec-WebSocket-Extensions" not in client.response.headers  # type: ignore[union-attr]


def test_a_stop_closes_them_all(serve: Serve) -> None:
    server = serve_sockets(serve)
    with ExitStack() as stack:
        clients = [stack.enter_context(open_(server)) for _ in range(5)]
        clients[0].send("last words")
        assert clients[0].recv(10) == "last words"
        server.signal()
        for client in clients:
            with pytest.raises(ConnectionClosed) as closed:
                client.recv(10)
            assert closed.value.rcvd.code == 1012  # type: ignore[union-attr]
    assert server.wait() == 0
    assert "disconnected 1012 'the server is restarted'" in server.log


def test_a_silent_client_is_asked_and_then_given_up(serve: Serve) -> None:
    server = serve_sockets(serve, protocol={"use": "http", "websocket_ping": "500ms"})
    with open_(server) as attentive, raw(server) as mute:
        assert frame(mute) == (9, b"")  # a ping, which it does not answer
        code, _ = frame(mute)
        assert code == 8
        assert mute.recv(10) == b""
        attentive.send("still here")
        assert attentive.recv(10) == "still here"


def test_who_does_not_read_is_cut_off(serve: Serve) -> None:
    server = serve_sockets(serve, timeouts={"write": "1s"})
    with raw(server, b"/flood"):
        server.wait_for_log("the reader was cut")
    assert "sent a hundred" not in server.log


def test_an_app_that_does_not_receive_stops_its_client(serve: Serve) -> None:
    server = serve_sockets(serve)
    (worker,) = server.pids("worker")
    with open_(server, "/deaf", compression=None) as client:
        for _ in range(200):
            client.send(bytes(100_000))
        assert client.recv(20) == "20000000"
    peak = int(re.search(r"VmHWM:\s+(\d+)", Path(f"/proc/{worker}/status").read_text())[1])  # type: ignore[index]
    assert peak < 80 * 1024


# byte by byte


def raw(server: Server, path: bytes = b"/", more: bytes = b"") -> socket.socket:
    """A connection whose handshake is done; ``more`` was sent with it."""
    sock = socket.create_connection(("127.0.0.1", server.port), timeout=PATIENCE)
    sock.sendall(UPGRADE % path + more)
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        head += sock.recv(1)
    assert head.startswith(b"HTTP/1.1 101 "), head
    assert b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo=" in head  # RFC 6455, 1.3
    return sock


def masked(opcode: int, payload: bytes, *, fin: bool = True, mask: bytes = b"\1\2\3\4", rsv: int = 0) -> bytes:
    """A frame of a client's (RFC 6455, 5.2)."""
    size = bytes([0x80 | len(payload)]) if len(payload) < 126 else b"\xfe" + struct.pack("!H", len(payload))
    body = bytes(byte ^ mask[index % 4] for index, byte in enumerate(payload))
    return bytes([fin << 7 | rsv << 4 | opcode]) + size + mask + body


def exactly(sock: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size:
        piece = sock.recv(size - len(data))
        assert piece, "the connection ended"
        data += piece
    return data


def frame(sock: socket.socket) -> tuple[int, bytes]:
    """The opcode and the payload of the server's next frame."""
    first, size = exactly(sock, 2)
    if size == 126:
        (size,) = struct.unpack("!H", exactly(sock, 2))
    return first & 15, exactly(sock, size)


TEXT, BINARY, CONTINUED, CLOSE, PING, PONG = 1, 2, 0, 8, 9, 10
VIOLATIONS: dict[str, tuple[bytes, int]] = {
    "not masked": (b"\x81\x02hi", 1002),
    "reserved bit": (masked(TEXT, b"hi", rsv=1), 1002),
    "reserved opcode": (masked(3, b"hi"), 1002),
    "reserved control opcode": (masked(11, b"hi"), 1002),
    "long ping": (masked(PING, b"x" * 126), 1002),
    "ping in parts": (masked(PING, b"x", fin=False), 1002),
    "nothing to continue": (masked(CONTINUED, b"hi"), 1002),
    "a message in a message": (masked(TEXT, b"a", fin=False) + masked(TEXT, b"b"), 1002),
    "no UTF-8": (masked(TEXT, b"\xc3\x28"), 1007),
    "half a character": (masked(TEXT, b"\xe2\x82"), 1007),
    "close of one byte": (masked(CLOSE, b"x"), 1002),
    "close with a reserved code": (masked(CLOSE, struct.pack("!H", 1005)), 1002),
    "close with bad UTF-8": (masked(CLOSE, struct.pack("!H", 1000) + b"\xff"), 1007),
}


def test_what_breaks_the_rules_closes(serve: Serve) -> None:
    server = serve_sockets(serve)
    for name, (data, code) in VIOLATIONS.items():
        with raw(server) as sock:
            sock.sendall(data + masked(TEXT, b"nobody hears this"))
            opcode, payload = frame(sock)
            assert (opcode, struct.unpack("!H", payload[:2])[0]) == (CLOSE, code), name
            assert ended(sock), name


def ended(sock: socket.socket) -> bool:
    try:
        return sock.recv(100) == b""
    except ConnectionResetError:
        return True


def test_control_frames_between_the_parts_of_a_message(serve: Serve) -> None:
    server = serve_sockets(serve)
    parts = masked(TEXT, b"one ", fin=False) + masked(PING, b"?") + masked(CONTINUED, b"two", fin=True)
    with raw(server, more=parts) as sock:  # all of it has come before it was accepted
        assert frame(sock) == (PONG, b"?")
        assert frame(sock) == (TEXT, b"one two")
        for byte in parts:
            sock.sendall(bytes([byte]))
        assert frame(sock) == (PONG, b"?")
        assert frame(sock) == (TEXT, b"one two")
        sock.sendall(masked(CLOSE, struct.pack("!H", 4001) + b"bye"))
        assert frame(sock) == (CLOSE, struct.pack("!H", 4001) + b"bye")
        assert ended(sock)
    server.wait_for_log("disconnected 4001 'bye'")


def test_a_client_that_vanishes(serve: Serve) -> None:
    server = serve_sockets(serve)
    raw(server).close()
    server.wait_for_log("disconnected 1006 ''")


EXTENSIONS = b"Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits=%b\r\n\r\n"
# what is in the place of which line, and the extensions that are agreed on
ODD: dict[str, tuple[bytes, bytes, str | None]] = {
    "a list": (b"Upgrade: websocket", b"Upgrade: foo, WebSocket", None),
    "two lines": (b"Upgrade: websocket", b"Upgrade: foo\r\nUpgrade: websocket", None),
    "a list of the other header": (b"keep-alive, Upgrade", b"Upgrade , keep-alive", None),
    "two lines of the other header": (b"keep-alive, Upgrade", b"keep-alive\r\nConnection: UPGRADE", None),
    "extension": (b"\r\n\r\n", b"\r\n" + EXTENSIONS % b"12", "permessage-deflate; client_max_window_bits=12"),
    "extension that is declined": (b"\r\n\r\n", b"\r\n" + EXTENSIONS % b"x", None),
    "the next one": (b"\r\n\r\n", b"\r\n" + EXTENSIONS % b"x, permessage-deflate", "permessage-deflate"),
}


def test_headers_of_a_handshake_are_lists(serve: Serve) -> None:
    server = serve_sockets(serve)
    for name, (old, new, agreed) in ODD.items():
        with Client(server.port) as client:
            client.send((UPGRADE % b"/").replace(old, new) + masked(TEXT, b"hi"))
            response = client.answer()
            assert (response.status, response.headers.get("sec-websocket-extensions")) == (101, agreed), name
            compressed = agreed is not None
            assert client._exactly(2)[0] == 0x81 | compressed << 6, name
    assert server.stop() == 0


BAD: dict[str, tuple[bytes, bytes, int]] = {
    "no key": (b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n", b"", 400),
    "old version": (b"Version: 13", b"Version: 8", 426),
    "no version": (b"Sec-WebSocket-Version: 13\r\n", b"", 400),
    "bad key": (b"dGhlIHNhbXBsZSBub25jZQ==", b"a", 400),
    "malformed extension": (b"\r\n\r\n", b"\r\n" + EXTENSIONS % b"", 400),
}


def test_a_bad_handshake_is_refused(serve: Serve) -> None:
    server = serve_sockets(serve)
    for name, (old, new, status) in BAD.items():
        with Client(server.port) as client:
            client.send((UPGRADE % b"/").replace(old, new))
            response = client.answer()
            assert response.status == status, name
            assert (response.headers.get("sec-websocket-version") == "13") == (status == 426)
            assert (response.headers.get("upgrade") == "websocket") == (status == 426)
            assert response.headers["connection"] == "close"
            assert "date" in response.headers
            assert client.at_end()


def test_requests_before_it_are_answered_first(serve: Serve) -> None:
    server = serve_sockets(serve)
    with Client(server.port) as client:
        client.send(b"GET /a HTTP/1.1\r\nHost: a\r\n\r\n" * 3 + UPGRADE % b"/" + masked(TEXT, b"hi"))
        assert [client.answer().body for _ in range(3)] == [b"plain"] * 3
        assert client.answer().status == 101
        assert client._exactly(4) == b"\x81\x02hi"


OTHERS = [b"Upgrade: h2c, websockets\r\nConnection: Upgrade\r\n", b"Upgrade: websocket\r\n", b"Connection: Upgrade\r\n"]


def test_other_upgrades_are_not_taken(serve: Serve) -> None:
    server = serve_sockets(serve)
    for upgrade in OTHERS:
        with Client(server.port) as client:
            for _ in range(2):
                client.send(b"GET / HTTP/1.1\r\nHost: a\r\n" + upgrade + b"\r\n")
                assert client.answer().body == b"plain"
    with Client(server.port) as client:  # RFC 9110, 7.8: a server ignores it in HTTP/1.0
        client.send((UPGRADE % b"/").replace(b"HTTP/1.1", b"HTTP/1.0"))
        assert client.answer().body == b"plain"


def test_a_line_in_the_access_log(serve: Serve, tmp_path: Path) -> None:
    log = tmp_path / "access.log"
    server = serve_sockets(serve, access_log={"format": "common", "to": str(log)})
    with open_(server, compression=None) as client:
        client.send("12345")
        client.recv(10)
    server.wait_for_log("disconnected 1000")
    said = wait_until(log.read_text, "a line")
    assert re.search(r'"GET / HTTP/1.1" 101 11\n', said), said  # a frame of 7 bytes, and the close
