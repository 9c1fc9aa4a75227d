"""One real server on loopback, with the strategy in its front: processes, connections, a worker that is killed."""

from __future__ import annotations

import contextlib
import http.client
import inspect
import json
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from dataclasses import Field, fields, is_dataclass
from pathlib import Path
from typing import Any, Self

from poolctl.runtime.dispatch import Dispatch
from poolctl.testing.checks import Make
from poolctl.testing.violation import Violation

SIZE = 3
PATIENCE = 20.0  # seconds
SERVES = re.compile(r"serves on http://127\.0\.0\.1:(\d+)")
FAULT = re.compile(r"^.*the strategy .*$", re.MULTILINE)


def live(make: Make, use: str = "") -> None:
    """Raises Violation when a request is lost, or a fault is logged. ``use``: how topologies name the strategy; empty:
    by its file."""
    strategy = make()
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "contract.yaml"
        file.write_text(json.dumps(topology(strategy, use)))
        with _Server(file) as server:
            server.exercise()
            server.stop()


def topology(strategy: Dispatch, use: str = "") -> dict[str, Any]:
    """One with this strategy. Raises Violation where its class cannot be found again by other processes."""
    kind = type(strategy)
    if not use:
        source = inspect.getsourcefile(kind)
        if source is None or "<locals>" in kind.__qualname__:
            raise Violation(
                f"{kind.__qualname__} is defined inside a function, where no server finds it", "move it out"
            )
        use = f"{Path(source).resolve()}:{kind.__qualname__}"
    named: tuple[Field[Any], ...] = fields(strategy) if is_dataclass(strategy) else ()
    options = {each.name: getattr(strategy, each.name) for each in named if each.init}
    return {
        "name": "contract",
        "app": "demo",
        "listen": ["tcp://127.0.0.1:0"],
        "pool": {"kind": "process", "size": SIZE},
        "ownership": "half-sync/half-reactive",
        "dispatch": {"use": use, **options},
        "affinity": "request",
    }


class _Server:
    """`poolctl run`, ended by its pid whatever happens."""

    def __init__(self, file: Path) -> None:
        self.log = ""
        self.changed = threading.Condition()
        self.process = subprocess.Popen(
            [sys.executable, "-m", "poolctl", "run", str(file)],
            stdin=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
        )
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.reader.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *raised: object) -> None:
        if self.process.poll() is None:
            self.process.kill()  # its processes leave with it
            self.process.wait()
        self.reader.join(PATIENCE)

    def _read(self) -> None:
        assert self.process.stderr is not None
        with self.process.stderr as stream:
            for line in stream:
                with self.changed:
                    self.log += line
                    self.changed.notify_all()
        with self.changed:
            self.changed.notify_all()

    def wait_for(self, pattern: re.Pattern[str]) -> re.Match[str]:
        """A line of the log. Raises Violation when it does not come."""
        with self.changed:
            self.changed.wait_for(lambda: pattern.search(self.log) or self.process.poll() is not None, PATIENCE)
            found = pattern.search(self.log)
        if found is None:
            raise Violation(f"the server said no {pattern.pattern!r}:\n{self.log.strip()}")
        return found

    def exercise(self) -> None:
        """Requests on several connections, before and after the death of a worker."""
        port = int(self.wait_for(SERVES)[1])
        with contextlib.ExitStack() as stack:
            connections = [stack.enter_context(_connection(port)) for _ in range(6)]
            processes = {self._asked(each) for _ in range(6) for each in connections}
            victim = min(processes)
            os.kill(victim, signal.SIGKILL)
            self.wait_for(re.compile("it is started again"))
            # The worker may have been killed between its last answer and its word that it is done: then the front
            # cannot know that the answer was whole, and closes that one connection.
            closed = [each for each in connections if not self._kept(each)]
            if len(closed) > 1:
                raise Violation(f"{len(closed)} connections were closed when one worker died\n{self.log.strip()}")
            for _ in range(6):
                for each in connections:
                    self._asked(each)

    def _kept(self, connection: http.client.HTTPConnection) -> bool:
        """Whether a connection is still there; one that is not is opened again."""
        sock = connection.sock
        try:
            sock.setblocking(False)
            kept = sock.recv(1, socket.MSG_PEEK) != b""
        except BlockingIOError:
            kept = True
        except OSError:
            kept = False
        if kept:
            sock.settimeout(PATIENCE)
        else:
            connection.close()
        return kept

    def _asked(self, connection: http.client.HTTPConnection) -> int:
        """The process that answered."""
        try:
            connection.request("GET", "/pid")
            response = connection.getresponse()
            response.read()
        except OSError as error:
            raise Violation(f"a request was not answered: {error!r}\n{self.log.strip()}") from error
        if response.status != 200:
            raise Violation(f"a request was answered with {response.status}\n{self.log.strip()}")
        return int(response.headers["X-Process"])

    def stop(self) -> None:
        """It has to end well, and to have said nothing of a fault."""
        self.process.send_signal(signal.SIGTERM)
        code = self.process.wait(PATIENCE)
        self.reader.join(PATIENCE)
        fault = FAULT.search(self.log)
        if fault:
            raise Violation(f"the server logged a fault: {fault[0]}")
        if code:
            raise Violation(f"the server ended with code {code}:\n{self.log.strip()}")


@contextlib.contextmanager
def _connection(port: int) -> Iterator[http.client.HTTPConnection]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE)
    try:
        yield connection
    finally:
        connection.close()
