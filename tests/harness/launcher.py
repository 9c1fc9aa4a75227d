"""`poolctl run` without the start of an interpreter, for tests that start hundreds of servers.

    test --- request, stderr, status ---> launcher: has everything imported, no threads
                                             +-- runner: waits, and tells the pid and the exit code
                                                    +-- the server: the same command line, a real process tree

The server differs from one that was typed only in how its first process came to be.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import select
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, Any

from harness.server import PATIENCE, ROOT, Server

REQUEST = 65536  # bytes, at the most


class Launched:
    """One server's first process, with the interface of a subprocess.Popen."""

    def __init__(self, stderr: IO[str], status: IO[bytes]) -> None:
        self.stderr = stderr
        self.returncode: int | None = None
        self._status = status
        self.pid = int(status.readline())

    def poll(self) -> int | None:
        """The exit code, when it has ended."""
        return self._ended(0)

    def wait(self, timeout: float) -> int:
        """The exit code; raises TimeoutExpired."""
        code = self._ended(timeout)
        if code is None:
            raise subprocess.TimeoutExpired("poolctl run", timeout)
        return code

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)

    def _ended(self, seconds: float) -> int | None:
        if self.returncode is None and select.select([self._status], [], [], seconds)[0]:
            self.returncode = int(self._status.readline())
            self._status.close()
        return self.returncode


class Launcher:
    """The test's end."""

    def __init__(self) -> None:
        self._sock, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        paths = os.pathsep.join([str(ROOT), str(ROOT / "tests"), os.environ.get("PYTHONPATH", "")])
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-c", f"from harness.launcher import launch; launch({theirs.fileno()})"],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                env={**os.environ, "PYTHONPATH": paths},
            )

    def start(self, words: list[str], environment: Mapping[str, str], folder: Path) -> Launched:
        stderr, stderr_writer = os.pipe()
        status, status_writer = os.pipe()
        request = {"words": words, "environment": dict(environment), "folder": str(folder)}
        try:
            socket.send_fds(self._sock, [json.dumps(request).encode()], [stderr_writer, status_writer])
        finally:
            os.close(stderr_writer)
            os.close(status_writer)
        return Launched(open(stderr, errors="replace"), open(status, "rb", buffering=0))

    def run(self, words: list[str], environment: Mapping[str, str], folder: Path) -> subprocess.CompletedProcess[str]:
        """A command that ends by itself."""
        with tempfile.TemporaryFile("w+", errors="replace") as stdout, tempfile.TemporaryFile("w+") as stderr:
            status, status_writer = os.pipe()
            request = {"words": words, "environment": dict(environment), "folder": str(folder)}
            try:
                fds = [stderr.fileno(), status_writer, stdout.fileno()]
                socket.send_fds(self._sock, [json.dumps(request).encode()], fds)
            finally:
                os.close(status_writer)
            with open(status, "rb", buffering=0) as told:
                told.readline()  # the pid
                assert select.select([told], [], [], PATIENCE)[0], words
                code = int(told.readline())
            stdout.seek(0)
            stderr.seek(0)
            return subprocess.CompletedProcess(words, code, stdout.read(), stderr.read())

    def close(self) -> None:
        self._sock.close()
        self._process.wait(PATIENCE)


class LaunchedServer(Server):
    """A server that a launcher starts."""

    def __init__(self, launcher: Launcher, topology: Any, folder: Path, **options: Any) -> None:
        self._launcher = launcher
        super().__init__(topology, folder, **options)

    def _start(self, words: list[str], environment: Mapping[str, str], folder: Path, prefix: tuple[str, ...]) -> Any:
        assert not prefix  # there is no command that it could stand before
        return self._launcher.start(words, environment, folder)


@contextlib.contextmanager
def launcher() -> Iterator[Launcher]:
    """A launcher, for as long as it is needed."""
    made = Launcher()
    try:
        yield made
    finally:
        made.close()


# In the launcher's process


def launch(control: int) -> None:
    """Start what is asked for, until the other end is closed."""
    _import()
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody asks how a runner ended
    with socket.socket(fileno=control) as sock:
        while True:
            request, fds, _, _ = socket.recv_fds(sock, REQUEST, 3)
            if not request:
                return
            if os.fork() == 0:
                _run(sock, json.loads(request), *fds)
            for fd in fds:
                os.close(fd)


def _import() -> None:
    """Everything that a server needs, apps excepted."""
    import gc

    import setproctitle

    setproctitle.getproctitle()  # it looks for the memory of the title once, and in a changed environment in vain

    from poolctl.assembly.registry import REGISTRY, part_class

    for axis, words in REGISTRY.items():
        for word in words:
            part_class(axis, word)

    for name in ("assembly.assemble", "cli.main", "cli.run"):
        importlib.import_module(f"poolctl.{name}")
    from poolctl.assembly.judging.judge import judge
    from poolctl.config.sources import Inputs

    assert not judge(Inputs(str(ROOT / "topologies" / "quickstart.yaml"))).errors  # and what is imported when needed
    gc.freeze()


def _run(control: socket.socket, request: dict[str, Any], stderr: int, status: int, stdout: int = -1) -> None:
    """The runner: fork the server, tell its pid, then its exit code."""
    control.close()
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    pid = os.fork()
    if pid == 0:
        os.close(status)
        _serve(request, stderr, stdout)
    os.close(stderr)
    os.write(status, b"%d\n" % pid)
    _, ended = os.waitpid(pid, 0)
    os.write(status, b"%d\n" % os.waitstatus_to_exitcode(ended))
    os._exit(0)


def _serve(request: dict[str, Any], stderr: int, stdout: int) -> None:
    from poolctl.cli.main import main

    for number, given in ((2, stderr), (1, stdout)):
        if given >= 0:
            os.dup2(given, number)
            os.close(given)
    os.chdir(request["folder"])
    os.environ.update(request["environment"])
    sys.path[:0] = filter(None, request["environment"].get("PYTHONPATH", "").split(os.pathsep))
    sys.argv = ["poolctl", *request["words"]]
    code: Any = 1
    try:
        main()
        code = 0
    except SystemExit as leaving:
        code = leaving.code
    finally:
        sys.stderr.flush()
        os._exit(code if isinstance(code, int) else 1)
