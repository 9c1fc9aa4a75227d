"""poolctl without the start of an interpreter, for tests that start hundreds of servers and commands.

    test --- request, stderr, status ---> launcher: has everything imported, no threads;
                                             |      reports the pid and the exit code of each command
                                             +-- the command: the same words, a real process tree

A command differs from a typed one only in how its first process came to be: it has not read the variables that
Python reads when it starts. One launcher serves all tests of a process.
"""

from __future__ import annotations

import atexit
import contextlib
import functools
import importlib
import json
import os
import select
import socket
import subprocess
import sys
import tempfile
import traceback
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any, TextIO

from harness.server import PATIENCE, ROOT, Server

REQUEST = 65536  # bytes, at the most
LEFT_OUT = ("poolctl.__main__", "poolctl.testing", "poolctl.cli.plugin.templates")


class Launched:
    """The first process of a command, with the interface of a subprocess.Popen."""

    def __init__(self, status: IO[bytes], stderr: IO[str] | None = None) -> None:
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
        """A command that runs until it is stopped, with these variables alone; what it writes to stderr can be read."""
        stderr, stderr_writer = os.pipe()
        try:
            status = self._ask(words, environment, folder, stderr_writer)
        finally:
            os.close(stderr_writer)
        return Launched(status, open(stderr, errors="replace"))

    def run(self, words: list[str], environment: Mapping[str, str], folder: Path) -> subprocess.CompletedProcess[str]:
        """A command that ends by itself."""
        with tempfile.TemporaryFile("w+", errors="replace") as stdout, tempfile.TemporaryFile("w+") as stderr:
            code = Launched(self._ask(words, environment, folder, stderr.fileno(), stdout.fileno())).wait(PATIENCE)
            stdout.seek(0)
            stderr.seek(0)
            return subprocess.CompletedProcess(words, code, stdout.read(), stderr.read())

    def show(self, words: list[str], environment: Mapping[str, str], folder: Path, terminal: int) -> Launched:
        """A command that writes to this terminal."""
        return Launched(self._ask(words, environment, folder, terminal, terminal))

    def _ask(self, words: list[str], environment: Mapping[str, str], folder: Path, *outputs: int) -> IO[bytes]:
        """Send a request; where the launcher reports."""
        status, status_writer = os.pipe()
        request = {"words": words, "environment": dict(environment), "folder": str(folder)}
        try:
            socket.send_fds(self._sock, [json.dumps(request).encode()], [status_writer, *outputs])
        finally:
            os.close(status_writer)
        return open(status, "rb", buffering=0)

    def close(self) -> None:
        self._sock.close()
        self._process.wait(PATIENCE)


class LaunchedServer(Server):
    """A server that the launcher starts."""

    def _start(self, words: list[str], environment: Mapping[str, str], folder: Path, prefix: tuple[str, ...]) -> Any:
        assert not prefix  # there is no command that it could stand before
        return launcher().start(words, {**os.environ, **environment}, folder)


@functools.cache
def launcher() -> Launcher:
    """The launcher of this process, which ends with it."""
    made = Launcher()
    atexit.register(made.close)
    return made


# In the launcher's process


def launch(control: int) -> None:
    """Start what is asked for, until the other end is closed."""
    _import()
    running: dict[int, tuple[int, int]] = {}  # for each command its pidfd: its pid, and where its exit code goes
    with socket.socket(fileno=control) as sock:
        while True:
            ready = set(select.select([sock, *running], [], [])[0])
            for pidfd in ready & running.keys():
                _report(pidfd, *running.pop(pidfd))
            if sock in ready and not _start(sock, running):
                return


def _start(sock: socket.socket, running: dict[int, tuple[int, int]]) -> bool:
    """Fork the command of one request, and report its pid; whether there was a request."""
    request, fds, _, _ = socket.recv_fds(sock, REQUEST, 3)
    if not request:
        return False
    status, *outputs = fds
    pid = os.fork()
    if pid == 0:
        sock.close()
        for fd in (status, *running, *(other for _, other in running.values())):
            os.close(fd)
        _command(json.loads(request), *outputs)
    for fd in outputs:
        os.close(fd)
    os.write(status, b"%d\n" % pid)
    running[os.pidfd_open(pid)] = pid, status
    return True


def _report(pidfd: int, pid: int, status: int) -> None:
    """Report the exit code of a command that has ended; what it used becomes part of what the tests used."""
    _, ended = os.waitpid(pid, 0)
    with contextlib.suppress(BrokenPipeError):  # nobody asks any more
        os.write(status, b"%d\n" % os.waitstatus_to_exitcode(ended))
    os.close(status)
    os.close(pidfd)


def _import() -> None:
    """All modules that commands and servers use, apps and checks for authors excepted, and what one command imports
    of others when it runs."""
    import gc
    import pkgutil

    import setproctitle
    from typer.testing import CliRunner

    import poolctl
    from poolctl.cli.main import cli

    setproctitle.getproctitle()  # it looks for the memory of the title once, and in a changed environment in vain
    for found in pkgutil.walk_packages(poolctl.__path__, "poolctl."):
        if not found.name.startswith(LEFT_OUT):
            with contextlib.suppress(ImportError):  # of a package that is optional
                importlib.import_module(found.name)
    with contextlib.suppress(ImportError):
        importlib.import_module("uvloop")
    done = CliRunner().invoke(cli, ["validate", "--no-environment", str(ROOT / "topologies" / "quickstart.yaml")])
    assert done.exit_code == 0, done.output
    gc.freeze()


def _command(request: dict[str, Any], stderr: int, stdout: int = -1) -> None:
    from poolctl.cli.entry import main

    for number, given in ((2, stderr), (1, stdout)):
        if given >= 0:
            os.dup2(given, number)
            os.close(given)
    os.chdir(request["folder"])
    os.environ.clear()
    os.environ.update(request["environment"])
    sys.stdout = _stream(1, "strict")
    sys.stderr = _stream(2, "backslashreplace")
    sys.path[:0] = filter(None, request["environment"].get("PYTHONPATH", "").split(os.pathsep))
    sys.argv = ["poolctl", *request["words"]]
    sys.orig_argv = [sys.executable, "-m", *sys.argv]  # as it would be typed
    code: Any = 1
    try:
        main()
        code = 0
    except SystemExit as leaving:
        code = leaving.code
    except BaseException:  # noqa: BLE001  # printed as the interpreter would
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code if isinstance(code, int) else 1)


def _stream(fd: int, errors: str) -> TextIO:
    """A standard stream as Python makes it when it starts."""
    encoding = os.environ.get("PYTHONIOENCODING", "utf-8")
    stream = open(fd, "w", encoding=encoding, errors=errors, closefd=False)  # noqa: SIM115  # it is used to the end
    stream.reconfigure(line_buffering=fd == 2 or stream.isatty())
    return stream
