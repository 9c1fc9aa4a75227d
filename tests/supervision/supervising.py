"""Starts `program.py`, reads its events, and makes sure that none of its processes are left."""

from __future__ import annotations

import contextlib
import json
import os
import queue
import re
import select
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from harness.machine import PATIENCE

ROOT = Path(__file__).parents[2]


class SupervisedServer:
    """A running program.py."""

    def __init__(self, **options: object) -> None:
        self.groups: list[int] = []  # every mold that was started
        self.clients: list[socket.socket] = []
        self.events: list[str] = []  # that were taken so far
        self._events: queue.SimpleQueue[str] = queue.SimpleQueue()
        command = [sys.executable, str(Path(__file__).with_name("program.py")), json.dumps(options)]
        environment = os.environ | {"PYTHONPATH": str(ROOT)}
        pipe = subprocess.PIPE
        self.process = subprocess.Popen(command, stdout=pipe, stderr=pipe, env=environment, text=True)
        self.pid = self.process.pid
        self._log = ""
        self._logged = threading.Condition()
        self._threads = [threading.Thread(target=what, daemon=True) for what in (self._listen, self._read_log)]
        for thread in self._threads:
            thread.start()
        self.port, self.gate = map(int, self.event("ports").split()[1:])

    def _listen(self) -> None:
        assert self.process.stdout
        for line in self.process.stdout:
            if line.startswith("mold "):
                self.groups.append(int(line.split()[1]))
            self._events.put(line.strip())

    def _read_log(self) -> None:
        assert self.process.stderr
        for line in self.process.stderr:
            with self._logged:
                self._log += line
                self._logged.notify_all()

    def event(self, beginning: str) -> str:
        """Take events until one has this beginning, and return it."""
        end = time.monotonic() + PATIENCE
        while True:
            try:
                event = self._events.get(timeout=max(0.01, end - time.monotonic()))
            except queue.Empty:
                raise AssertionError(f"no {beginning!r} after {self.events}; {self._log}") from None
            self.events.append(event)
            if event.startswith(beginning):
                return event

    def events_to_the_end(self) -> list[str]:
        """Return all events, after the last process has ended."""
        for thread in self._threads:
            thread.join(PATIENCE)
            assert not thread.is_alive(), "stdout or stderr is still held open"
        while not self._events.empty():
            self.events.append(self._events.get())
        return self.events

    def up(self, name: str) -> int:
        """Return the pid of the next process of a role."""
        return int(self.event(f"up {name} ").split()[-1])

    def ready(self, *names: str) -> list[int]:
        """Wait until it serves. Returns the pid of the mold and those of the roles, which start in any order."""
        self.event("serving")
        pids = {
            line.rsplit(" ", 1)[0]: int(line.split()[-1]) for line in self.events if line.startswith(("up ", "mold "))
        }
        return [pids["mold"], *(pids[f"up {name}"] for name in names)]

    def ask(self, line: str, port: int | None = None) -> socket.socket:
        """Send one line on a new connection, and return the connection."""
        client = socket.create_connection(("127.0.0.1", port or self.port), timeout=PATIENCE)
        self.clients.append(client)
        client.sendall(line.encode() + b"\n")
        return client

    def log(self) -> str:
        """Return stderr, after the last process has ended."""
        self.events_to_the_end()
        return self._log

    def logged(self, pattern: str) -> list[str]:
        """Wait until stderr matches a pattern. Returns all matches."""
        with self._logged:
            found = self._logged.wait_for(lambda: re.findall(pattern, self._log), PATIENCE)
            assert found, f"no {pattern!r} in {self._log}"
            return found

    def wait(self) -> int:
        """Wait for the exit code."""
        return self.process.wait(PATIENCE)


def hear(client: socket.socket) -> list[str]:
    """Return the words of the response, up to the end of the connection."""
    with client:
        return b"".join(iter(lambda: client.recv(4096), b"")).decode().split()


@contextlib.contextmanager
def watched(*pids: int) -> Iterator[Callable[[], None]]:
    """Yield a function that waits until these processes have ended; they need not be children of this one."""
    handles = [os.pidfd_open(pid) for pid in pids]

    def gone() -> None:
        end = time.monotonic() + PATIENCE
        for pid, handle in zip(pids, handles, strict=True):
            assert select.select([handle], [], [], max(0, end - time.monotonic()))[0], f"{pid} is still there"

    try:
        yield gone
    finally:
        for handle in handles:
            os.close(handle)
