"""A topology as a real `poolctl run`: real processes, sockets and signals, on any free port."""

from __future__ import annotations

import contextlib
import json
import os
import re
import select
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Self

import yaml

from harness.machine import PATIENCE
from poolctl.supervision import control_socket

ROOT = Path(__file__).parents[2]
Serve = Callable[..., "Server"]  # what the fixtures that start servers give
SERVES = re.compile(r"serves on (.*?): ")
PORT = re.compile(r"://\S*?:(\d+)")


class Server:
    """One running topology: a mapping, or the path of a file.

    ``listen`` defaults to a free port. ``path`` is a folder of apps, put on PYTHONPATH. Leaving the context kills
    whatever is left and checks the log for tracebacks, unless ``tracebacks`` says that they are expected. ``words``:
    further options of the command.
    """

    def __init__(
        self,
        topology: Mapping[str, Any] | str | Path,
        folder: Path,
        *,
        path: Path | None = None,
        sets: tuple[str, ...] = (),
        environment: Mapping[str, str] | None = None,
        tracebacks: bool = False,
        prefix: tuple[str, ...] = (),
        words: tuple[str, ...] = (),
    ) -> None:
        if isinstance(topology, Mapping):
            file = folder / f"t{id(self):x}.yaml"
            file.write_text(yaml.safe_dump(dict(topology)))
            listen = [] if "listen" in topology else ["--listen", "tcp://127.0.0.1:0"]
        else:
            file, listen = Path(topology), ["--listen", "tcp://127.0.0.1:0"]
        paths = [str(ROOT), *([str(path)] if path else []), os.environ.get("PYTHONPATH", "")]
        options = [word for each in sets for word in ("--set", each)]
        self.tracebacks = tracebacks
        self.environment = {**os.environ, **(environment or {})}
        self.log = ""
        self._changed = threading.Condition()
        self.process = self._start(
            ["run", str(file), *listen, *options, *words],
            {"PYTHONPATH": os.pathsep.join(paths), **(environment or {})},
            folder,
            prefix,
        )
        self.pid = self.process.pid
        self._seen: set[int] = {self.pid}
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _start(
        self, words: list[str], environment: Mapping[str, str], folder: Path, prefix: tuple[str, ...]
    ) -> subprocess.Popen[str]:
        """The command as people type it."""
        return subprocess.Popen(
            [*prefix, sys.executable, "-m", "poolctl", *words],
            env={**os.environ, **environment},
            stderr=subprocess.PIPE,
            stdin=subprocess.DEVNULL,
            cwd=folder,
            text=True,
            errors="replace",
        )

    def _read(self) -> None:
        assert self.process.stderr
        for line in self.process.stderr:
            with self._changed:
                self.log += line
                self._changed.notify_all()
        with self._changed:
            self._changed.notify_all()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *raised: object) -> None:
        self.kill_all()
        self._reader.join(PATIENCE)
        assert self.process.stderr
        self.process.stderr.close()
        if raised[0] is None and not self.tracebacks:
            assert "Traceback" not in self.log, self.log

    def kill_all(self) -> None:
        """End every process of the tree, by its pid. All are stopped first, so that nobody has anything to say of the
        others' end."""
        pids = list(dict.fromkeys([*self.tree(), *self._seen]))  # parents before children
        for number in (signal.SIGSTOP, signal.SIGKILL):
            for pid in filter(alive, pids):
                with contextlib.suppress(ProcessLookupError):  # it has ended meanwhile
                    os.kill(pid, number)
        self.process.wait(PATIENCE)
        for pid in pids:
            wait_until(lambda pid=pid: not alive(pid), f"the end of process {pid}")  # type: ignore[misc]

    # events

    def wait_for_log(self, pattern: str, count: int = 1) -> re.Match[str]:
        """Wait until the log has so many matches; the last of them."""
        end = time.monotonic() + PATIENCE
        with self._changed:
            while True:
                found = list(re.finditer(pattern, self.log))
                if len(found) >= count:
                    return found[count - 1]
                left = end - time.monotonic()
                if left <= 0 or (self.process.poll() is not None and not self._reader.is_alive()):
                    raise AssertionError(f"no {pattern!r} in the log:\n{self.log}")
                self._changed.wait(min(left, 0.2))

    def ready(self) -> Server:
        """Wait until the server serves."""
        self.wait_for_log(SERVES.pattern)
        self._seen.update(self.tree())
        return self

    @property
    def ports(self) -> list[int]:
        """The ports it listens on, in the order of the file."""
        return [int(port) for port in PORT.findall(self.wait_for_log(SERVES.pattern)[1])]

    @property
    def port(self) -> int:
        return self.ports[0]

    def signal(self, number: signal.Signals = signal.SIGTERM) -> None:
        self.process.send_signal(number)

    def wait(self, seconds: float = PATIENCE) -> int:
        """The exit code, when it has ended."""
        code = self.process.wait(seconds)
        self._reader.join(PATIENCE)
        return code

    def stop(self, seconds: float = PATIENCE) -> int:
        """SIGTERM; the exit code."""
        self.signal()
        return self.wait(seconds)

    # the process tree

    def tree(self) -> list[int]:
        """The pids of the server and of all that descend from it, the server first."""
        found = descendants(self.pid)
        self._seen.update(found)
        return found

    def pids(self, role: str) -> list[int]:
        """The pids whose title begins with "poolctl: ROLE", for instance "worker" or "front", by title."""
        named = [(title(pid), pid) for pid in self.tree()]
        return [pid for name, pid in sorted(named) if name.startswith(f"poolctl: {role}")]

    # what it says of itself

    def status(self) -> dict[str, Any]:
        """What its supervisor tells `poolctl status`."""
        return ask(self.control_socket(), "status")[-1]["result"]  # type: ignore[no-any-return]

    def control_socket(self) -> Path:
        """The path of its control socket."""
        folder = self.environment.get("RUNTIME_DIRECTORY") or control_socket.folders()[0]
        pids = [self.pid, *self.pids("supervisor")]  # another one after an upgrade
        paths = [path for pid in dict.fromkeys(pids) for path in Path(folder).glob(f"*.{pid}{control_socket.SUFFIX}")]
        (path,) = paths
        return path

    def busy(self) -> list[int]:
        """The pid of each process in which a worker has begun a request and not ended it."""
        return [each["pid"] for each in self.status()["workers"] if each["busy_seconds"]]

    def wait_until_busy(self, count: int = 1) -> list[int]:
        """Wait until workers of so many processes are busy; what ``busy`` answers."""
        return wait_until(lambda: len(found := self.busy()) >= count and found, f"{count} busy workers")  # type: ignore[no-any-return]


def ask(path: Path, do: str, **arguments: Any) -> list[dict[str, Any]]:
    """All lines of an answer of the control socket."""
    with socket.socket(socket.AF_UNIX) as sock:
        sock.settimeout(PATIENCE)
        sock.connect(str(path))
        sock.sendall(json.dumps({"poolctl": 1, "do": do, **arguments}).encode() + b"\n")
        answer = b"".join(iter(lambda: sock.recv(65536), b""))
    return [json.loads(line) for line in answer.splitlines()]


def descendants(pid: int) -> list[int]:
    """A process and all below it."""
    found = [pid]
    try:
        for task in os.listdir(f"/proc/{pid}/task"):
            for child in Path(f"/proc/{pid}/task/{task}/children").read_text().split():
                found += descendants(int(child))
    except (FileNotFoundError, ProcessLookupError):
        return found
    return found


def title(pid: int) -> str:
    """What ps shows; empty for one that has ended."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode().strip()
    except (FileNotFoundError, ProcessLookupError):
        return ""


def alive(pid: int) -> bool:
    """Whether the process runs; one that is dead and not reaped yet does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return False


def at_rest(pid: int) -> bool:
    """Whether every thread of the process sleeps. Threads that end meanwhile leave it to the next look."""
    try:
        stats = [file.read_text() for file in Path(f"/proc/{pid}/task").glob("*/stat")]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return all(stat.rpartition(")")[2].split()[0] == "S" for stat in stats)


def wait_until(true: Callable[[], Any], what: str, seconds: float = PATIENCE) -> Any:
    """For what gives no event (another process's state in /proc): look until it is true; what it answered."""
    end = time.monotonic() + seconds
    while not (answer := true()):
        if time.monotonic() > end:
            raise AssertionError(f"waited {seconds} s in vain for {what}")
        select.select([], [], [], 0.005)
    return answer
