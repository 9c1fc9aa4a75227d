"""Start a server as a whole tree of processes, read what it costs, and end it. Linux: reads /proc."""

from __future__ import annotations

import os
import signal
import socket
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
FIRST_ANSWER = 20.0  # seconds that a server has for its first answer
FAREWELL = 5.0  # seconds that it has to end after SIGTERM


class NotServing(Exception):
    """A server that was started did not answer; the text has what it printed."""


def free_port() -> int:
    """A port of the loopback interface that nobody listens on at this moment."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


def tree(pid: int) -> list[int]:
    """The process and all that descend from it."""
    found = [pid]
    with suppress(FileNotFoundError, ProcessLookupError):
        for task in os.listdir(f"/proc/{pid}/task"):
            with suppress(FileNotFoundError, ProcessLookupError):
                for child in Path(f"/proc/{pid}/task/{task}/children").read_text().split():
                    found += tree(int(child))
    return found


def cpu_seconds(pids: Sequence[int]) -> float:
    """User and system seconds of these processes, and of the children they have waited for (proc(5), stat)."""
    ticks = 0
    for pid in pids:
        with suppress(FileNotFoundError, ProcessLookupError):
            fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
            ticks += sum(int(field) for field in fields[11:15])
    return ticks / os.sysconf("SC_CLK_TCK")


def memory_mib(pids: Sequence[int]) -> float:
    """Proportional set size: a page that several of them share counts once over all."""
    kib = 0
    for pid in pids:
        with suppress(FileNotFoundError, ProcessLookupError):
            for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
                if line.startswith("Pss:"):
                    kib += int(line.split()[1])
    return kib / 1024


def answers(port: int) -> bool:
    """Whether a request to / is answered with 200 now."""
    with suppress(OSError), socket.create_connection((HOST, port), 1) as client:
        client.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        return client.recv(12).startswith(b"HTTP/1.1 200")
    return False


@contextmanager
def running(command: Sequence[str], port: int) -> Iterator[subprocess.Popen[bytes]]:
    """A server's first process, from its first answer on; its whole tree is ended afterwards.

    Raises NotServing when it ends, or does not answer on ``port`` in time.
    """
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(command, cwd=APPS, env=environment, stdout=log, stderr=log, start_new_session=True)
        try:
            _await_answer(process, port, log)
            yield process
        finally:
            _end(process)


def _await_answer(process: subprocess.Popen[bytes], port: int, log: IO[bytes]) -> None:
    until = time.monotonic() + FIRST_ANSWER
    while not answers(port):
        if process.poll() is not None or time.monotonic() > until:
            log.seek(0)
            said = log.read()[-2000:].decode(errors="replace")
            raise NotServing(f"no answer on port {port} from {process.args!r}, which said:\n{said}")
        time.sleep(0.02)  # between two tries to connect: there is no event to wait for


def _end(process: subprocess.Popen[bytes]) -> None:
    members = tree(process.pid)
    process.terminate()
    with suppress(subprocess.TimeoutExpired):
        process.wait(FAREWELL)
    for pid in members:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    process.wait()
