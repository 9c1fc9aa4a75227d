"""Clients that ask for much and read little, and what that costs the server's processes."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterator
from pathlib import Path

from harness.memory import peaks
from harness.server import Server

SECONDS = 20.0


@contextlib.contextmanager
def slow_readers(server: Server, targets: list[str]) -> Iterator[list[socket.socket]]:
    """A client for each target, which has read the first line of the answer and no more."""
    request = f"GET %s HTTP/1.1\r\nHost: 127.0.0.1:{server.port}\r\nConnection: close\r\n\r\n"
    with contextlib.ExitStack() as stack:
        readers = []
        for target in targets:
            sock = stack.enter_context(socket.socket())
            sock.settimeout(SECONDS)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16384)  # or the kernel would take megabytes for it
            sock.connect(("127.0.0.1", server.port))
            sock.sendall((request % target).encode())
            readers.append(sock)
        for sock in readers:
            assert sock.recv(17, socket.MSG_WAITALL) == b"HTTP/1.1 200 OK\r\n"
        yield readers


def rest(reader: socket.socket) -> int:
    """Read all that is left, which has to end as a chunked body does; how many bytes that was."""
    size, end = 0, b""
    while data := reader.recv(1 << 18):
        size += len(data)
        end = (end + data)[-7:]
    assert end == b"\r\n0\r\n\r\n"
    return size


def forget_peaks(server: Server) -> dict[int, int]:
    """From here on ``peaks`` is about what comes; KiB that each process has now."""
    for pid in server.tree():
        Path(f"/proc/{pid}/clear_refs").write_text("5")
    return peaks(server)
