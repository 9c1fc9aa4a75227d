"""Files on their way through other layers than a plain connection: HTTP/2, ASGI, the access log."""

from __future__ import annotations

import socket
from collections.abc import Callable
from pathlib import Path
from random import Random

import httpx
import pytest
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import DataReceived, StreamEnded, WindowUpdated
from h2.settings import SettingCodes
from harness.client import Client, get
from harness.machine import PATIENCE
from harness.memory import peak
from harness.server import Serve, Server

BIG = Random(6).randbytes(3_000_000)
SPARSE = 100_000_000
MOST = 6_000  # KiB by which a process may grow
HTTP2 = {"use": "http", "http2": True}
ONE = {"kind": "process", "size": 1}


@pytest.fixture(scope="module")
def files_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("files")
    (made / "big.bin").write_bytes(BIG)
    with (made / "sparse").open("wb") as file:
        file.truncate(SPARSE)
    return made


@pytest.fixture(scope="module", params=["static", "asgi"])
def file_server(serve_once: Serve, files_folder: Path, request: pytest.FixtureRequest) -> Server:
    """Each with a log of its requests."""
    app = {"static": {"static": str(files_folder)}, "asgi": {"asgi": "paths:application"}}[request.param]
    log = files_folder / f"{request.param}.log"
    topology = {
        "app": app, "pool": ONE, "ownership": "reuse-port", "protocol": HTTP2,
        "access_log": {"format": "%H %s %b", "to": str(log)},
    }  # fmt: skip
    made = serve_once(topology, tracebacks=True)
    made.access_log = log  # type: ignore[attr-defined]
    made.target = (lambda name: f"/?{files_folder}/{name}") if request.param == "asgi" else (lambda name: f"/{name}")  # type: ignore[attr-defined]
    return made


def test_a_file_over_both_protocols_and_in_the_log(file_server: Server, target: Callable[[str], str]) -> None:
    with Client(file_server.port) as client:
        assert client.get(target("big.bin")).body == BIG
        assert client.get(target("big.bin")).body == BIG
    with httpx.Client(http1=False, http2=True, timeout=PATIENCE, trust_env=False) as browser:
        for _ in range(2):
            answer = browser.get(f"http://127.0.0.1:{file_server.port}{target('big.bin')}")
            assert (answer.http_version, answer.content == BIG) == ("HTTP/2", True)
            assert answer.headers["content-length"] == str(len(BIG))
    lines = file_server.access_log.read_text().splitlines()  # type: ignore[attr-defined]
    assert lines == [f"HTTP/1.1 200 {len(BIG)}"] * 2 + [f"HTTP/2 200 {len(BIG)}"] * 2


@pytest.fixture
def target(file_server: Server) -> Callable[[str], str]:
    """The path of a file of the folder."""
    return file_server.target  # type: ignore[attr-defined, no-any-return]


def test_a_window_as_large_as_the_file_fills_no_memory(file_server: Server, target: Callable[[str], str]) -> None:
    """The client allows all of it at once, and does not read; then it does."""
    (worker,) = file_server.pids("worker")
    assert get(file_server.port, target("big.bin")).status == 200
    before = peak(worker)
    h2 = H2Connection(H2Configuration(header_encoding="ascii"))
    h2.initiate_connection()
    h2.update_settings({SettingCodes.INITIAL_WINDOW_SIZE: 2**31 - 1})
    h2.increment_flow_control_window(2**31 - 1 - 65535)
    headers = [(":method", "GET"), (":path", target("sparse")), (":scheme", "http"), (":authority", "shop.test")]
    h2.send_headers(1, headers, end_stream=True)
    with socket.create_connection(("127.0.0.1", file_server.port), PATIENCE) as sock:
        sock.sendall(h2.data_to_send())
        assert sock.recv(1, socket.MSG_PEEK)
        for _ in range(3):
            assert get(file_server.port, target("big.bin")).body == BIG
        count = 0
        ended = False
        while not ended:
            for event in h2.receive_data(sock.recv(1 << 20)):
                count += len(event.data) if isinstance(event, DataReceived) else 0
                ended = ended or isinstance(event, StreamEnded)
                assert not isinstance(event, WindowUpdated)
            sock.sendall(h2.data_to_send())
    assert count == SPARSE
    assert peak(worker) - before < MOST


@pytest.mark.parametrize("kind", ["process", "thread"])
def test_an_awaited_worker_gives_what_is_left_of_a_file_back(serve: Serve, files_folder: Path, kind: str) -> None:
    """Under half-sync/half-reactive, with one request in hand at a time: the slow reader is the front's."""
    topology = {
        "app": {"asgi": "paths:application", "concurrency": 1}, "pool": {"kind": kind, "size": 1},
        "ownership": "half-sync/half-reactive", "access_log": {"format": "%s %b", "to": f"{files_folder}/{kind}.log"},
    }  # fmt: skip
    server = serve(topology)
    with Client(server.port) as slow, Client(server.port) as client:
        slow.ask(f"/?{files_folder}/sparse")
        assert slow.sock.recv(1, socket.MSG_PEEK)
        for _ in range(2):
            assert client.get(f"/?{files_folder}/big.bin").body == BIG
        assert len(slow.answer().body) == SPARSE
        assert slow.get(f"/?{files_folder}/big.bin").body == BIG
    lines = Path(f"{files_folder}/{kind}.log").read_text().splitlines()
    assert sorted(lines) == [f"200 {SPARSE}"] + [f"200 {len(BIG)}"] * 3
    assert server.stop() == 0


@pytest.mark.parametrize("file_server", ["asgi"], indirect=True)
def test_what_cannot_be_sent_is_an_error(file_server: Server, files_folder: Path) -> None:
    assert get(file_server.port, f"/?{files_folder}/nowhere").status == 500
    assert get(file_server.port, f"/?{files_folder}").status == 500
    with Client(file_server.port) as client, pytest.raises(EOFError):
        client.get(f"/late?{files_folder}/big.bin")
    file_server.wait_for_log("as the whole body")
