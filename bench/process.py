"""Starts a server with its whole process tree, reads its CPU time and memory from /proc (Linux), and ends it."""

from __future__ import annotations

import os
import signal
import socket
import ssl
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

APPS = Path(__file__).with_name("apps")
ROOT = Path(__file__).parents[1]
HOST = "127.0.0.1"
START_TIMEOUT = 20.0  # seconds until the first response
STOP_TIMEOUT = 5.0  # seconds from SIGTERM to the end


class NotServing(Exception):
    """A server did not respond after its start; the text has its output."""


def free_port() -> int:
    """Return a port of the loopback interface that is free at the moment."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


def tree(pid: int) -> list[int]:
    """Return the process and all its descendants."""
    found = [pid]
    with suppress(FileNotFoundError, ProcessLookupError):
        for task in os.listdir(f"/proc/{pid}/task"):
            with suppress(FileNotFoundError, ProcessLookupError):
                for child in Path(f"/proc/{pid}/task/{task}/children").read_text().split():
                    found += tree(int(child))
    return found


def cpu_seconds(pids: Sequence[int]) -> float:
    """Return the user and system seconds of these processes and of the children that they reaped (proc(5), stat)."""
    ticks = 0
    for pid in pids:
        with suppress(FileNotFoundError, ProcessLookupError):
            fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
            ticks += sum(int(field) for field in fields[11:15])
    return ticks / os.sysconf("SC_CLK_TCK")


def memory_mib(pids: Sequence[int]) -> float:
    """Return the proportional set size in MiB: a page that several processes share counts once."""
    kib = 0
    for pid in pids:
        with suppress(FileNotFoundError, ProcessLookupError):
            for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
                if line.startswith("Pss:"):
                    kib += int(line.split()[1])
    return kib / 1024


def answers(port: int, *, tls: bool = False) -> bool:
    """Whether a request to / is currently answered with 200. ``tls``: sent over TLS; any certificate is trusted."""
    with suppress(OSError), socket.create_connection((HOST, port), 1) as plain, _client(plain, tls=tls) as client:
        client.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        return client.recv(12).startswith(b"HTTP/1.1 200")
    return False


def _client(sock: socket.socket, *, tls: bool) -> socket.socket:
    if not tls:
        return sock
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context.wrap_socket(sock)


@contextmanager
def running(command: Sequence[str], port: int, *, tls: bool = False) -> Iterator[subprocess.Popen[bytes]]:
    """Start a server and yield its first process once it responds; its whole process tree is ended afterwards. ``tls``:
    it speaks TLS.

    Raises NotServing if it ends, or does not respond on ``port`` in time.
    """
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(command, cwd=APPS, env=environment, stdout=log, stderr=log, start_new_session=True)
        try:
            _await_response(process, port, log, tls=tls)
            yield process
        finally:
            _end(process)


def _await_response(process: subprocess.Popen[bytes], port: int, log: IO[bytes], *, tls: bool) -> None:
    until = time.monotonic() + START_TIMEOUT
    while not answers(port, tls=tls):
        if process.poll() is not None or time.monotonic() > until:
            log.seek(0)
            output = log.read()[-2000:].decode(errors="replace")
            raise NotServing(f"no response on port {port} from {process.args!r}, which printed:\n{output}")
        time.sleep(0.02)  # between attempts to connect; there is no event to wait for


def _end(process: subprocess.Popen[bytes]) -> None:
    members = tree(process.pid)
    process.terminate()
    with suppress(subprocess.TimeoutExpired):
        process.wait(STOP_TIMEOUT)
    for pid in members:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    process.wait()
