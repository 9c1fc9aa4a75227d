"""The control socket: who connects is told what the server is doing, and that is all it does so far.

    $RUNTIME_DIRECTORY, else $XDG_RUNTIME_DIR/poolctl, else a folder of this user in the temporary directory
        NAME.PID.sock                                   mode 0600; gone when the supervisor is

Not being able to make it is no reason not to serve.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import socket
import stat
import tempfile
from collections.abc import Callable
from typing import Any

log = logging.getLogger("poolctl")
PATIENCE = 0.5  # seconds that a client may take to read its answer
ROOM = 1 << 20  # bytes of an answer that the kernel keeps, so that nobody waits for its reader
ENDING = ".sock"
MOST = 1000  # files that are looked at


def folders() -> list[str]:
    """Where control sockets of this user may be, the first to be used first."""
    found = [os.environ["RUNTIME_DIRECTORY"].partition(":")[0]] if os.environ.get("RUNTIME_DIRECTORY") else []
    if os.environ.get("XDG_RUNTIME_DIR"):
        found.append(os.path.join(os.environ["XDG_RUNTIME_DIR"], "poolctl"))
    try:
        public = tempfile.gettempdir()
    except OSError:  # no directory takes files
        public = "/tmp"
    return [*found, os.path.join(public, f"poolctl-{os.getuid()}")]


def elsewhere() -> list[str]:
    """The control sockets of servers that the kernel lists (/proc/net/unix): they may have been started with another
    environment. Who has a $RUNTIME_DIRECTORY asks for those in it, and gets none of them."""
    if os.environ.get("RUNTIME_DIRECTORY"):
        return []
    found = set()
    with contextlib.suppress(OSError), open("/proc/net/unix", encoding="utf-8", errors="surrogateescape") as lines:
        for line in lines:
            path = line.rstrip("\n").partition(" /")[2]
            pid = path.removesuffix(ENDING).rpartition(".")[2]
            if path.endswith(ENDING) and pid.isdigit() and _is_supervisor(pid):
                found.add(f"/{path}")
    return sorted(found)


def _is_supervisor(pid: str) -> bool:
    """Whether this process is one of this user's, or for root anybody's, by its title."""
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as file:
            mine = os.getuid() in (0, os.fstat(file.fileno()).st_uid)
            return mine and file.read(20) == b"poolctl: supervisor "
    except OSError:
        return False


def own(folder: str) -> bool:
    """Whether it is this user's. In the temporary directory anybody may have put something else there."""
    public = folder == folders()[-1]
    try:
        found = os.lstat(folder) if public else os.stat(folder)
    except OSError:
        return False
    return stat.S_ISDIR(found.st_mode) and (found.st_uid == os.getuid() or (os.getuid() == 0 and not public))


class Control:
    """The supervisor's end. ``about``: what is told."""

    def __init__(self, name: str, about: Callable[[], dict[str, Any]]) -> None:
        self.about = about
        self.sock: socket.socket | None = None
        self.path = ""
        try:
            self._open(name)
        except OSError as error:
            log.info("no control socket, so poolctl status does not see this server: %s", error)

    def _open(self, name: str) -> None:
        folder = folders()[0]
        os.makedirs(folder, mode=0o700, exist_ok=True)
        if not own(folder):
            raise PermissionError(f"{folder} belongs to somebody else, or is a link in a folder of everybody")
        _sweep(folder)
        path = os.path.join(folder, f"{name}.{os.getpid()}{ENDING}")
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        before = os.umask(0o177)  # of the whole process, which has one thread
        try:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(path)  # of a process that had this number before
            sock.bind(path)
        except BaseException:
            sock.close()
            raise
        finally:
            os.umask(before)
        sock.listen(8)
        sock.setblocking(False)
        self.sock, self.path = sock, path

    def fileno(self) -> int:
        """-1 where there is none."""
        return self.sock.fileno() if self.sock else -1

    def answer(self) -> None:
        """Tell all who have connected, a few at the most."""
        if self.sock is None:
            return
        for _ in range(8):
            try:
                client, _ = self.sock.accept()
            except BlockingIOError:
                return
            except OSError as error:
                log.error("the control socket cannot accept: %s", error)
                return
            with client:
                client.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, ROOM)
                client.settimeout(PATIENCE)
                with contextlib.suppress(OSError):  # it has left, or does not read
                    client.sendall(json.dumps(self.about()).encode())

    def let_go(self) -> None:
        """In a forked process: the socket is the supervisor's."""
        if self.sock is not None:
            self.sock.close()

    def close(self) -> None:
        """At the end."""
        if self.sock is not None:
            self.sock.close()
            with contextlib.suppress(OSError):
                os.unlink(self.path)


def _sweep(folder: str) -> None:
    """Take away what servers have left behind that were killed."""
    for name in os.listdir(folder)[:MOST]:
        pid = name.removesuffix(ENDING).rpartition(".")[2]
        if name.endswith(ENDING) and pid.isdigit():
            try:
                os.kill(int(pid), 0)
            except ProcessLookupError:
                with contextlib.suppress(OSError):  # another server was quicker
                    os.unlink(os.path.join(folder, name))
            except (PermissionError, OverflowError):
                continue  # it is there, or no process at all
