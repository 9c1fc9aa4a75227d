"""A real server on loopback for tests: `poolctl run` in a process of its own, ended by its pid whatever happens.

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
    """A server that serves, on a port of 127.0.0.1 that the kernel chose; told to stop at the end.

    Args:
        topology: what its file would say, without ``listen``.
        folder: where that file would be: paths and modules are looked for there.

    Raises Violation when it does not serve within 20 seconds, loses something when it stops, or logs a fault of a
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
    """A `poolctl run`. ``port``: where it serves; ``log``: what it has said so far; ``pid``: of its supervisor."""

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
        """What the log has of this pattern, as soon as it does. Raises Violation when that is not within 20 seconds."""
        pattern = re.compile(pattern)
        with self._changed:
            self._changed.wait_for(lambda: pattern.search(self.log) or self._process.poll() is not None, PATIENCE)
            found = pattern.search(self.log)
        if found is None:
            raise Violation(f"the server said no {pattern.pattern!r}:\n{self.log.strip()}")
        return found

    def stop(self) -> None:
        """It has to end well, and to have said nothing of a fault."""
        self._process.send_signal(signal.SIGTERM)
        code = self._process.wait(PATIENCE)
        self._reader.join(PATIENCE)
        fault = FAULT.search(self.log)
        if fault:
            raise Violation(f"the server logged a fault: {fault[0]}")
        if code:
            raise Violation(f"the server ended with code {code}:\n{self.log.strip()}")

    def end(self) -> None:
        """At once, if it is still there; its processes leave with it."""
        if self._process.poll() is None:
            self._process.kill()
            self._process.wait()
        self._reader.join(PATIENCE)
