"""TLS over real sockets: what is behind it, under every ownership, does not notice."""

from __future__ import annotations

import hashlib
import json
import os
import re
import socket
import ssl
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import httpx
import pytest
import trustme
import websockets.sync.client
from harness.client import Client, get
from harness.forms import half, short
from harness.launcher import LaunchedServer
from harness.machine import within
from harness.memory import peak
from harness.server import Serve, Server, wait_until

SECONDS = 10.0
WSGI: dict[str, Any] = {"wsgi": "secure:wsgi"}
MODELS: dict[str, dict[str, Any]] = {
    "half-sync/half-reactive": {"app": WSGI, "pool": {"size": 2}},
    "half-sync/half-reactive threads": {"app": WSGI, "pool": {"kind": "thread", "size": 2}},
    "half-sync/half-async": {"app": WSGI, "pool": {"size": 2}, "ownership": "half-sync/half-async"},
    "accept worker": {
        "app": WSGI,
        "pool": {"size": 2},
        "ownership": {"use": "half-sync/half-async", "accept": "worker"},
    },
    "half-sync/half-async threads": {
        "app": WSGI,
        "pool": {"kind": "thread", "size": 2},
        "ownership": "half-sync/half-async",
    },
    "leader/followers": {"app": WSGI, "pool": {"size": 2}, "ownership": "leader/followers"},
    "leader/followers threads": {"app": WSGI, "pool": {"kind": "thread", "size": 2}, "ownership": "leader/followers"},
    "reuse-port": {"app": WSGI, "pool": {"size": 2}, "ownership": "reuse-port"},
    "asgi": {"app": {"asgi": "secure:asgi"}, "pool": {"size": 1}, "ownership": "reuse-port"},
    "process-per-connection": {"app": WSGI, "pool": "process-per-connection"},
    "thread-per-connection": {"app": WSGI, "pool": "thread-per-connection"},
    "iterative": {"app": WSGI, "pool": "iterative"},
}
OWNING = {"ownership": "leader/followers"}


@dataclass
class Papers:
    """An authority, what it has signed, and the files."""

    folder: Path

    def __post_init__(self) -> None:
        self.authority = trustme.CA()
        self.ca = self.folder / "ca.pem"
        self.authority.cert_pem.write_to_path(str(self.ca))
        self.server = self.issue("server", "localhost", "127.0.0.1")

    def issue(self, name: str, *names: str) -> dict[str, Any]:
        """The key ``tls`` for a certificate of these names."""
        made = self.authority.issue_cert(*names, common_name=name, organization_name="Shop, Ltd.")
        chain, key = self.folder / f"{name}.pem", self.folder / f"{name}.key"
        made.private_key_pem.write_to_path(str(key))
        chain.write_bytes(b"".join(each.bytes() for each in made.cert_chain_pems))
        return {"certificate": str(chain), "key": str(key)}

    def trusting(self, client: dict[str, Any] | None = None) -> ssl.SSLContext:
        """A client's context, with its own certificate if it has one."""
        context = ssl.create_default_context(cafile=str(self.ca))
        if client:
            context.load_cert_chain(client["certificate"], client["key"])
        return context


@pytest.fixture(scope="module")
def papers(tmp_path_factory: pytest.TempPathFactory) -> Papers:
    return Papers(tmp_path_factory.mktemp("papers"))


def listen(papers: Papers, **more: Any) -> list[dict[str, Any]]:
    return [{"at": "tcp://127.0.0.1:0", "tls": papers.server | more}]


def browser(server: Server, context: ssl.SSLContext, **more: Any) -> httpx.Client:
    return httpx.Client(
        verify=context, base_url=f"https://localhost:{server.port}", timeout=SECONDS, trust_env=False, **more
    )


def shake(server: Server, context: ssl.SSLContext, name: str = "localhost") -> ssl.SSLSocket:
    sock = socket.create_connection(("127.0.0.1", server.port), timeout=SECONDS)
    try:
        return context.wrap_socket(sock, server_hostname=name)
    except BaseException:
        sock.close()
        raise


@pytest.mark.parametrize("model", short(MODELS, half(MODELS, 1)))
def test_every_model_serves_over_tls(model: str, papers: Papers, serve: Serve) -> None:
    server = serve({"name": "tls", "listen": listen(papers), **MODELS[model]})
    assert re.search(r"serves on https://127\.0\.0\.1:", server.log)
    sent = os.urandom(3_000_000)
    with browser(server, papers.trusting()) as client:
        told = client.get("/").json()
        assert told["wsgi.url_scheme"] == "https"
        assert told["REMOTE_ADDR"] == "127.0.0.1"
        assert "SSL_CLIENT_S_DN" not in told
        if "asgi" not in model:
            assert told["HTTPS"] == "on"
            assert told["SERVER_PORT"] == str(server.port)
        assert client.post("/digest", content=sent).text == hashlib.sha256(sent).hexdigest()
        large = client.get("/large?4").content
        assert large == b"0123456789abcdef" * 65536 * 4
    assert server.stop() == 0


def test_requests_that_follow_without_waiting_are_all_answered(papers: Papers, serve: Serve) -> None:
    server = serve({"listen": listen(papers), **MODELS["half-sync/half-reactive"]})
    with shake(server, papers.trusting()) as sock:
        sock.sendall(
            b"GET / HTTP/1.1\r\nHost: a\r\n\r\n" * 20 + b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
        )
        answer = b"".join(iter(lambda: sock.recv(65536), b""))
    assert answer.count(b"HTTP/1.1 200 OK") == 21


def test_a_stream_over_tls(papers: Papers, serve: Serve) -> None:
    server = serve({"listen": listen(papers), "app": {"stream": "secure:talk"}, "pool": {"size": 1}})
    with shake(server, papers.trusting()) as sock:
        for _ in range(3):
            sock.sendall(b"hello\n")
            assert sock.recv(100) == b"HELLO\n"


@pytest.mark.parametrize("model", ["half-sync/half-reactive", "half-sync/half-async", "asgi"])
def test_the_subject_of_a_clients_certificate_reaches_the_app(model: str, papers: Papers, serve: Serve) -> None:
    server = serve({"listen": listen(papers, clients={"authority": str(papers.ca)}), **MODELS[model]})
    with browser(server, papers.trusting(papers.issue("carol", "carol@example.org"))) as client:
        told = client.get("/", headers={"SSL-Client-S-DN": "CN=mallory"}).json()
    assert told["SSL_CLIENT_S_DN"].startswith("CN=carol,")
    assert "O=Shop\\, Ltd." in told["SSL_CLIENT_S_DN"]
    with shake(server, papers.trusting()) as sock, pytest.raises(ssl.SSLError):
        sock.recv(1)  # TLS 1.3 tells at the first read


def test_clients_may_come_without_a_certificate_where_it_is_not_required(papers: Papers, serve: Serve) -> None:
    asked = {"authority": str(papers.ca), "required": False}
    server = serve({"listen": listen(papers, clients=asked), **MODELS["reuse-port"]})
    with browser(server, papers.trusting()) as client:
        assert "SSL_CLIENT_S_DN" not in client.get("/").json()
    other = trustme.CA().issue_cert("mallory@example.org")
    stranger = papers.trusting()
    other.configure_cert(stranger)
    with shake(server, stranger) as sock, pytest.raises(ssl.SSLError):
        sock.recv(1)


def test_the_certificate_is_chosen_by_the_name_that_the_client_asks_for(papers: Papers, serve: Serve) -> None:
    names = {"shop.test": papers.issue("shop", "shop.test"), "*.wild.test": papers.issue("wild", "*.wild.test")}
    server = serve({"listen": listen(papers, names=names), **MODELS["reuse-port"]})
    for name, shown in (("shop.test", "shop"), ("a.wild.test", "wild"), ("localhost", "server"), ("SHOP.test", "shop")):
        with shake(server, papers.trusting(), name) as sock:
            subject = dict(pair for (pair,) in sock.getpeercert()["subject"])  # type: ignore[index, misc]
            assert subject["commonName"] == shown
    with pytest.raises(ssl.SSLCertVerificationError):
        shake(server, papers.trusting(), "a.b.wild.test")


@pytest.mark.parametrize("model", ["half-sync/half-async", "leader/followers threads", "reuse-port"])
def test_http2_is_agreed_on_by_alpn(model: str, papers: Papers, serve: Serve) -> None:
    server = serve({"listen": listen(papers), "protocol": {"use": "http", "http2": True}, **MODELS[model]})
    with browser(server, papers.trusting(), http2=True) as client:
        response = client.get("/")
        assert response.http_version == "HTTP/2"
        assert response.json()["wsgi.url_scheme"] == "https"
        assert client.get("/large?2").content == b"0123456789abcdef" * 65536 * 2
    with browser(server, papers.trusting(), http2=False) as client:
        assert client.get("/").http_version == "HTTP/1.1"
    found = subprocess.run(
        ["curl", "-sS", "--http2", "--cacert", str(papers.ca), f"https://localhost:{server.port}/"],
        capture_output=True,
        timeout=SECONDS,
        check=True,
    )
    assert json.loads(found.stdout)["SERVER_PROTOCOL"] == "HTTP/2"


def test_only_http_1_is_offered_where_the_file_does_not_ask_for_more(papers: Papers, serve: Serve) -> None:
    server = serve({"listen": listen(papers), **MODELS["reuse-port"]})
    context = papers.trusting()
    context.set_alpn_protocols(["h2", "http/1.1"])
    with shake(server, context) as sock:
        assert sock.selected_alpn_protocol() == "http/1.1"


def test_an_old_version_is_refused(papers: Papers, serve: Serve) -> None:
    server = serve({"listen": listen(papers, minimum="1.3"), **MODELS["reuse-port"]})
    old = papers.trusting()
    old.maximum_version = ssl.TLSVersion.TLSv1_2
    with pytest.raises(ssl.SSLError):
        shake(server, old)
    with shake(server, papers.trusting()) as sock:
        assert sock.version() == "TLSv1.3"


@pytest.mark.parametrize("model", ["half-sync/half-reactive", "reuse-port", "leader/followers threads", "asgi"])
def test_a_client_that_does_not_shake_hands_makes_nobody_wait(model: str, papers: Papers, serve: Serve) -> None:
    server = serve({"listen": listen(papers), "timeouts": {"head": "1s"}, **MODELS[model]})
    silent = [socket.create_connection(("127.0.0.1", server.port), timeout=SECONDS) for _ in range(8)]
    for sock in silent[4:]:
        sock.sendall(b"\x16\x03\x01\x02\x00\x01")  # the beginning of a hello
    with browser(server, papers.trusting()) as client:
        assert client.get("/").status_code == 200
    for sock in silent:
        assert sock.recv(100) == b""  # after a second
        sock.close()
    assert server.stop() == 0


def test_plain_http_on_a_port_of_tls_is_told_so(papers: Papers, serve: Serve) -> None:
    server = serve({"listen": listen(papers), **MODELS["reuse-port"]})
    assert get(server.port).status == 400
    server.wait_for_log("no TLS handshake with 127.0.0.1")


def test_a_slow_reader_over_tls_keeps_nobody_waiting(papers: Papers, serve: Serve) -> None:
    server = serve({"listen": listen(papers), **MODELS["half-sync/half-reactive"], "pool": {"size": 1}})
    with shake(server, papers.trusting()) as slow:
        slow.sendall(b"GET /large?48 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        with browser(server, papers.trusting()) as client:
            assert client.get("/").status_code == 200  # the one worker is free again
        assert peak(server.pids("front")[0]) < 120 * 1024
        received = sum(map(len, iter(lambda: slow.recv(1 << 20), b"")))
    assert received > 48 << 20


@pytest.mark.parametrize("model", short(MODELS, half(MODELS, 0)))
def test_a_slow_reader_gets_every_byte(model: str, papers: Papers, serve: Serve) -> None:
    server = serve({"listen": listen(papers), **MODELS[model]})
    with socket.socket() as sock:
        sock.settimeout(SECONDS)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8192)
        sock.connect(("127.0.0.1", server.port))
        with papers.trusting().wrap_socket(sock, server_hostname="localhost") as slow:
            slow.sendall(b"GET /large?3 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
            received = b"".join(iter(lambda: slow.recv(5000), b""))
    assert received.partition(b"\r\n\r\n")[2] == b"0123456789abcdef" * 65536 * 3


@pytest.mark.parametrize("model", short(MODELS, half(MODELS, 1)))
def test_a_client_may_end_its_side_with_its_request(model: str, papers: Papers, serve: Serve) -> None:
    """Its close_notify comes in one read with the request, and its socket stays open."""
    server = serve({"listen": listen(papers), **MODELS[model]})
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = papers.trusting().wrap_bio(incoming, outgoing, server_hostname="localhost")
    with Client(server.port) as client:

        def pump(step: Callable[[], Any]) -> Any:
            while True:
                try:
                    return step()
                except ssl.SSLWantReadError:
                    client.sock.sendall(outgoing.read())
                    data = client.sock.recv(65536)
                    assert data, "the server closed the connection without close_notify"
                    incoming.write(data)

        pump(tls.do_handshake)
        tls.write(b"GET /large?1 HTTP/1.1\r\nHost: a\r\n\r\n")
        with pytest.raises(ssl.SSLWantReadError):
            tls.unwrap()

        def read() -> bytes:
            try:
                return tls.read(65536)
            except ssl.SSLZeroReturnError:  # close_notify, after the client's own
                return b""

        received = b"".join(iter(lambda: pump(read), b""))
    assert received.partition(b"\r\n\r\n")[2] == b"0123456789abcdef" * 65536


class Records:
    """A client whose encrypted bytes the test sends itself."""

    def __init__(self, server: Server, papers: Papers) -> None:
        self.sock = socket.create_connection(("127.0.0.1", server.port), timeout=SECONDS)
        self._in, self._out = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = papers.trusting().wrap_bio(self._in, self._out, server_hostname="localhost")
        self._pump(self._tls.do_handshake)
        self.sock.sendall(self._out.read())

    def _pump(self, step: Callable[[], Any]) -> Any:
        while True:
            try:
                return step()
            except ssl.SSLWantReadError:
                self.sock.sendall(self._out.read())
                self._in.write(self.sock.recv(65536))

    def encrypted(self, data: bytes) -> bytes:
        self._tls.write(data)
        return self._out.read()

    def read(self) -> bytes:
        """The next bytes; empty after close_notify."""
        return bytes(self._pump(lambda: self._tls.read(65536)))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.sock.close()


UPLOAD = b"POST /digest HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n"


@pytest.mark.parametrize("model", ["half-sync/half-reactive", "leader/followers threads", "reuse-port", "asgi"])
def test_a_client_that_stops_in_the_middle_of_a_record_gets_a_408(model: str, papers: Papers, serve: Serve) -> None:
    """Also where its bytes are exactly as many as are read at once."""
    server = serve({"listen": listen(papers), "timeouts": {"idle": "0.5s", "head": "0.5s"}, **MODELS[model]})
    with Records(server, papers) as client:
        data = client.encrypted(UPLOAD % 1_000_000)
        while len(data) < 65536:
            data += client.encrypted(b"x" * 16000)
        client.sock.sendall(data[:65536])
        assert client.read().startswith(b"HTTP/1.1 408")
    assert server.stop() == 0


@pytest.mark.parametrize("model", ["leader/followers threads", "reuse-port", "asgi"])
def test_a_stop_waits_for_a_request_of_which_a_part_of_a_record_has_come(
    model: str, papers: Papers, serve: Serve
) -> None:
    server = serve({"listen": listen(papers), **MODELS[model]})
    with Records(server, papers) as client:
        client.sock.sendall(client.encrypted(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"))
        while not client.read().endswith(b"}"):
            pass
        data = client.encrypted(UPLOAD % 100 + b"x" * 100)
        client.sock.sendall(data[:50])
        wait_until(lambda: received(server.port) == 0, "the server to have read it")
        server.signal()
        server.wait_for_log("draining for up to")
        client.sock.sendall(data[50:])
        assert client.read().startswith(b"HTTP/1.1 200")
    assert server.wait() == 0


def received(port: int) -> int:
    """Bytes that have come to this port and were not read."""
    lines = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    return sum(int(each[4].partition(":")[2], 16) for each in lines if each[1].endswith(f":{port:04X}"))


def test_a_client_that_keeps_its_socket_after_the_end_keeps_nobody_waiting(papers: Papers, serve: Serve) -> None:
    server = serve({"listen": listen(papers), **MODELS["iterative"]})
    asks = b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
    with Records(server, papers) as first:
        first.sock.sendall(first.encrypted(asks))
        assert b"".join(iter(first.read, b"")).startswith(b"HTTP/1.1 200")
        wait_until(lambda: not lingers(server.port), "the server to have closed it", within(1))
        with Records(server, papers) as second:
            second.sock.sendall(second.encrypted(asks))
            assert second.read().startswith(b"HTTP/1.1 200")


def lingers(port: int) -> bool:
    """Whether the server has shut down its direction of a connection, and keeps it."""
    lines = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    return any(each[1].endswith(f":{port:04X}") and each[3] == "05" and each[9] != "0" for each in lines)


@pytest.mark.parametrize("model", ["half-sync/half-reactive", "leader/followers threads", "reuse-port", "asgi"])
def test_keys_may_be_renewed_at_any_time(model: str, papers: Papers, serve: Serve) -> None:
    """RFC 8446, 4.6.3: with a request for new keys of the server before each HTTP request."""
    server = serve({"listen": listen(papers), **MODELS[model]})
    command = ["openssl", "s_client", "-connect", f"127.0.0.1:{server.port}", "-tls1_3", "-CAfile", str(papers.ca)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as client:
        assert client.stdin is not None
        assert client.stdout is not None
        found = b""
        try:
            for number in range(1, 4):
                for said, expected in (
                    (b"K\n", b"KEYUPDATE"),
                    (b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", b"wsgi.url_scheme"),
                ):
                    client.stdin.write(said)  # s_client takes a command only where a read begins with it
                    client.stdin.flush()
                    while found.count(expected) < number:
                        data = client.stdout.read1(65536)  # type: ignore[attr-defined]
                        assert data, found
                        found += data
        finally:
            client.kill()
    assert found.count(b"HTTP/1.1 200") == 3


@pytest.mark.parametrize("app", ["async-stream", "async-lines", "async-frames", "lines", "frames"])
def test_other_apps_over_tls(app: str, papers: Papers, serve: Serve) -> None:
    target = {"async-stream": "talk_async", "async-lines": "say_async", "lines": "say"}.get(app, f"frame_{app[:5]}")
    server = serve({"listen": listen(papers), "app": {app: f"secure:{target}"}, "pool": {"size": 1}, **OWNING})
    framed = "frames" in app
    with shake(server, papers.trusting()) as sock:
        for size in (5, 60_000):
            said = b"a" * size
            sock.sendall(len(said).to_bytes(4) + said if framed else said + b"\n")
            found = b""
            while len(found) < size + (4 if framed else 1):
                found += sock.recv(65536)
            assert found == (len(said).to_bytes(4) + said.upper() if framed else said.upper() + b"\n")


@pytest.mark.parametrize("ownership", ["reuse-port", "half-sync/half-reactive"])
def test_a_file_over_tls(ownership: str, papers: Papers, serve: Serve, tmp_path: Path) -> None:
    content = os.urandom(5_000_001)
    (tmp_path / "file.bin").write_bytes(content)
    app = {"static": str(tmp_path)}
    server = serve({"listen": listen(papers), "app": app, "ownership": ownership, "pool": {"size": 1}})
    with browser(server, papers.trusting()) as client:
        assert client.get("/file.bin").content == content
        assert client.get("/file.bin", headers={"Range": "bytes=1000-4000000"}).content == content[1000:4000001]
    with shake(server, papers.trusting()) as slow:
        slow.sendall(b"GET /file.bin HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        received = b"".join(iter(lambda: slow.recv(3000), b""))
    assert received.partition(b"\r\n\r\n")[2] == content


@pytest.mark.parametrize("version", ["TLSv1_2", "TLSv1_3"])
def test_a_websocket_over_tls(version: str, papers: Papers, serve: Serve) -> None:
    topology = {"app": {"asgi": "secure:echo"}, "pool": {"size": 1}, "ownership": "reuse-port"}
    server = serve({"listen": listen(papers), **topology})
    context = papers.trusting()
    context.maximum_version = ssl.TLSVersion[version]
    with websockets.sync.client.connect(f"wss://localhost:{server.port}/", ssl=context, max_size=None) as socket_:
        for size in (1, 1000, 300_000):
            socket_.send("a" * size)
            assert socket_.recv(timeout=SECONDS) == "a" * size
    assert server.stop() == 0


def test_a_client_that_breaks_off_leaves_nothing_behind(papers: Papers, serve: Serve) -> None:
    server = serve({"listen": listen(papers), **MODELS["reuse-port"], "pool": {"size": 1}})
    (worker,) = server.pids("worker")
    with browser(server, papers.trusting()) as client:
        client.get("/")
    before = wait_until(lambda: descriptors(worker), "the descriptors")
    for number in range(20):
        sock = shake(server, papers.trusting())
        if number % 2:
            sock.sendall(b"GET /large?4 HTTP/1.1\r\nHost: a\r\n\r\n")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")  # a reset, not a farewell
        sock.close()
    wait_until(lambda: descriptors(worker) <= before, "the descriptors of those that left")


def descriptors(pid: int) -> int:
    return len(os.listdir(f"/proc/{pid}/fd"))


def test_what_is_in_flight_is_finished_before_the_end(papers: Papers, serve: Serve) -> None:
    server = serve({"listen": listen(papers), **MODELS["half-sync/half-async"]})
    with shake(server, papers.trusting()) as busy, shake(server, papers.trusting()) as idle:
        idle.sendall(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        assert idle.recv(65536).startswith(b"HTTP/1.1 200")
        busy.sendall(b"GET /sleep?0.5 HTTP/1.1\r\nHost: a\r\n\r\n")
        began = time.monotonic()
        server.signal()
        assert idle.recv(100) == b""
        answer = b"".join(iter(lambda: busy.recv(65536), b""))
        assert answer.startswith(b"HTTP/1.1 200")
    assert server.wait() == 0
    assert time.monotonic() - began < within(5)


def test_several_listeners_each_with_its_own_protocol(papers: Papers, serve: Serve) -> None:
    addresses = [
        {"at": "tcp://127.0.0.1:0", "tls": papers.server, "protocol": {"use": "http", "http2": True}},
        {"at": "tcp://127.0.0.1:0", "protocol": {"use": "http", "head": 300}},
        {"at": "tcp://127.0.0.1:0", "proxy_protocol": "127.0.0.1"},
    ]
    server = serve({"listen": addresses, **MODELS["half-sync/half-async"]})
    first, second, third = server.ports
    with browser(server, papers.trusting(), http2=True) as client:
        assert client.get("/", headers={"Long": "x" * 400}).http_version == "HTTP/2"
    with Client(second) as plain:
        plain.send(b"GET / HTTP/1.1\r\nHost: a\r\nLong: " + b"x" * 400 + b"\r\n\r\n")
        assert plain.answer().status == 431
    assert first != third
    with Client(third) as proxied:
        proxied.send(b"PROXY TCP4 192.0.2.7 198.51.100.1 4711 443\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n")
        told = json.loads(proxied.answer().body)
    assert (told["REMOTE_ADDR"], told["REMOTE_PORT"], told["SERVER_PORT"]) == ("192.0.2.7", "4711", "443")


REFUSED: list[tuple[str, Callable[[Papers], dict[str, Any]], str]] = [
    ("no file", lambda papers: {"certificate": "/nowhere.pem"}, "tls: cannot read /nowhere.pem: No such file"),
    ("no pem", lambda papers: {"certificate": str(papers.folder / "empty")}, "empty has no certificate"),
    ("other key", lambda papers: papers.server | {"key": papers.issue("x", "x.test")["key"]}, "does not belong to the"),
    ("ciphers", lambda papers: papers.server | {"ciphers": "SECRET"}, 'no cipher is called "SECRET"'),
    (
        "authority",
        lambda papers: papers.server | {"clients": {"authority": "/no.pem"}},
        "tls: cannot read /no.pem: No such file",
    ),
    (
        "password",
        lambda papers: papers.server | {"key": locked(papers), "password": "wrong"},
        "the password does not open the key in ",
    ),
    ("password file", lambda papers: papers.server | {"password_file": "/no.txt"}, "tls: cannot read /no.txt"),
]


def locked(papers: Papers) -> str:
    file = papers.folder / "locked.key"
    if not file.exists():
        command = [
            "openssl",
            "pkey",
            "-aes128",
            "-passout",
            "pass:open",
            "-in",
            papers.server["key"],
            "-out",
            str(file),
        ]
        subprocess.run(command, check=True, capture_output=True, timeout=SECONDS)
    return str(file)


@pytest.fixture
def refuse(tmp_path: Path) -> Callable[[dict[str, Any]], str]:
    def run(topology: dict[str, Any]) -> str:
        with LaunchedServer(topology, tmp_path) as server:
            assert server.wait() != 0
            return server.log

    return run


@pytest.mark.parametrize(("_", "tls", "said"), REFUSED, ids=[each[0] for each in REFUSED])
def test_what_cannot_be_used_is_said(
    _: str, tls: Callable[[Papers], dict[str, Any]], said: str, papers: Papers, refuse: Callable[..., str]
) -> None:
    (papers.folder / "empty").write_text("nothing")
    log = refuse({"app": "demo", "listen": [{"at": "tcp://127.0.0.1:0", "tls": tls(papers)}]})
    assert said in log, log
    assert "Traceback" not in log


def test_a_key_with_a_password(papers: Papers, serve: Serve, tmp_path: Path) -> None:
    (tmp_path / "password").write_text("open\n")
    for way in ({"password": "open"}, {"password_file": str(tmp_path / "password")}):
        tls = papers.server | {"key": locked(papers)} | way
        server = serve({"app": "demo", "listen": [{"at": "tcp://127.0.0.1:0", "tls": tls}], "pool": {"size": 1}})
        with browser(server, papers.trusting()) as client:
            assert client.get("/").status_code == 200
