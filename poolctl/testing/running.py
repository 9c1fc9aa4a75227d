"""A real server on loopback for tests: `poolctl run` in a separate process, which is always ended.

with running({"app": {"use": "./greeter.py:Greeter"}}, folder) as server:
    assert urlopen(f"http://127.0.0.1:{server.port}/").status == 200
"""

from __future__ import annotations

import contextlib
import json
import re
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from poolctl.testing.violation import Violation

PATIENCE = 20.0  # seconds
SERVES = re.compile(r"serves on \w+://127\.0\.0\.1:(\d+)")
FAULT = re.compile(r"^.*the strategy .*$", re.MULTILINE)


@contextlib.contextmanager
def running(topology: Mapping[str, Any], folder: Path | str = ".") -> Iterator[Server]:
    """Run a server on a free port of 127.0.0.1 for the duration of a `with` block, and stop it at the end.

    Args:
        topology: the contents of its file, without ``listen``.
        folder: the folder of that file, in which paths and modules are found.

    Raises:
        Violation: the server does not serve within 20 seconds, loses a request when it stops, or logs a fault of a
            strategy.
    """
    with tempfile.NamedTemporaryFile("w", suffix=".yaml", dir=folder) as file:
        json.dump({**topology, "listen": ["tcp://127.0.0.1:0"]}, file)
        file.flush()
        server = Server(Path(file.name))
        try:
            server.port = int(server.wait_for(SERVES)[1])
            yield server
            server.stop()
        finally:
            server.end()


class Server:
    """A running `poolctl run`. ``port``: where it serves; ``log``: its log so far; ``pid``: of its supervisor."""

    def __init__(self, file: Path) -> None:
        self.port = 0
        self.log = ""
        self._changed = threading.Condition()
        self._process = subprocess.Popen(
            [sys.executable, "-m", "poolctl", "run", file.name],
            cwd=file.parent,
            stdin=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    @property
    def pid(self) -> int:
        return self._process.pid

    def _read(self) -> None:
        assert self._process.stderr is not None
        with self._process.stderr as stream:
            for line in stream:
                with self._changed:
                    self.log += line
                    self._changed.notify_all()
        with self._changed:
            self._changed.notify_all()

    def wait_for(self, pattern: re.Pattern[str] | str) -> re.Match[str]:
        """Wait until the log matches a pattern, and return the match. Raises Violation after 20 seconds."""
        pattern = re.compile(pattern)
        with self._changed:
            self._changed.wait_for(lambda: pattern.search(self.log) or self._process.poll() is not None, PATIENCE)
            found = pattern.search(self.log)
        if found is None:
            raise Violation(f"the server's log has no match for {pattern.pattern!r}:\n{self.log.strip()}")
        return found

    def stop(self) -> None:
        """Stop the server. Raises Violation if its exit code is not 0, or if it logged a fault of a strategy."""
        self._process.send_signal(signal.SIGTERM)
        code = self._process.wait(PATIENCE)
        self._reader.join(PATIENCE)
        fault = FAULT.search(self.log)
        if fault:
            raise Violation(f"the server logged a fault: {fault[0]}")
        if code:
            raise Violation(f"the server ended with code {code}:\n{self.log.strip()}")

    def end(self) -> None:
        """Kill the supervisor if it still runs; the other processes end with it."""
        if self._process.poll() is None:
            self._process.kill()
            self._process.wait()
        self._reader.join(PATIENCE)
