"""Clients that do not read what they asked for: in each ownership they cost neither memory nor a worker."""

from __future__ import annotations

import os
import socket
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from harness.client import Client, get
from harness.forms import half, short
from harness.memory import peaks
from harness.served import MODELS
from harness.server import Serve, Server, wait_until

SIZE = 200_000_000
MADE = 64 << 20
MOST = 6_000  # KiB by which a process may grow


@pytest.fixture(scope="module")
def sparse_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Zeros that take no room, and an end."""
    path = tmp_path_factory.mktemp("files") / "huge"
    with path.open("wb") as made:
        made.truncate(SIZE - 3)
        made.seek(SIZE - 3)
        made.write(b"end")
    return path


@contextmanager
def slow(server: Server, target: str) -> Iterator[Client]:
    """A client that has taken no more of an answer than the kernel takes for it."""
    with Client(server.port) as client:
        client.ask(target)
        assert client.sock.recv(1, socket.MSG_PEEK)
        yield client


def read_body(client: Client) -> int:
    """Read an answer to its end; the bytes of its body."""
    data = client.sock.recv(65536)
    count = len(data) - len(data.partition(b"\r\n\r\n")[0]) - 4
    end = data[-4:]
    while end != b"\0end":
        data = client.sock.recv(1 << 20)
        assert data, f"the connection ended after {count} bytes"
        count += len(data)
        end = (end + data[-4:])[-4:]
    return count


def spooled(server: Server) -> int:
    """Bytes in temporary files of all processes."""
    total = 0
    for pid in server.tree():
        for fd in Path(f"/proc/{pid}/fd").iterdir():
            with suppress(FileNotFoundError):  # it was closed meanwhile
                link = os.readlink(fd)
                if link.startswith(tempfile.gettempdir()) and link.endswith("(deleted)"):
                    total += fd.stat().st_size
    return total


@pytest.mark.parametrize("model", short(MODELS, half(MODELS)))
def test_slow_readers_cost_neither_memory_nor_a_worker(serve: Serve, sparse_file: Path, model: str) -> None:
    pool = {**MODELS[model]["pool"], "size": 1}
    topology = {"name": "slow", "app": {"wsgi": "whole:application"}, **MODELS[model], "pool": pool}
    server = serve(topology)
    assert get(server.port, "/worker").status == 200
    before = peaks(server)
    with slow(server, f"/bare/file?{sparse_file}") as one, slow(server, f"/bare/file?{sparse_file}") as two:
        assert get(server.port, "/worker").status == 200
        assert spooled(server) == 0
        with slow(server, "/huge") as three:
            assert get(server.port, "/worker").status == 200
            # between two processes nobody has the file for a moment
            wait_until(lambda: spooled(server) > MADE // 2, "what was made to lie on disk")
            assert len(three.answer().body) == MADE
            assert three.get("/worker").body == b"hello"
        assert read_body(one) == SIZE
        assert get(server.port, "/worker").status == 200
        assert two.sock.recv(1000, socket.MSG_PEEK)
    assert get(server.port, "/worker").status == 200
    grown = {pid: peak - before[pid] for pid, peak in peaks(server).items()}
    assert max(grown.values()) < MOST, grown
    assert server.stop() == 0
