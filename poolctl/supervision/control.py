"""The control socket: each client that connects receives the server's status as JSON, and nothing else so far.

    $RUNTIME_DIRECTORY, else $XDG_RUNTIME_DIR/poolctl, else a folder of this user in the temporary directory
        NAME.PID.sock                                   mode 0600; removed when the supervisor ends

A server that cannot create its control socket serves without one.
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
PATIENCE_SECONDS = 0.5  # seconds that a client may take to read its answer
# bytes of an answer that the kernel buffers, so that a slow client does not block the supervisor
SEND_BUFFER_BYTES = 1 << 20
SUFFIX = ".sock"
MAX_FILES = 1000  # of the folder that are examined


def folders() -> list[str]:
    """Return the folders where control sockets of this user may be; new ones are created in the first."""
    found = [os.environ["RUNTIME_DIRECTORY"].partition(":")[0]] if os.environ.get("RUNTIME_DIRECTORY") else []
    if os.environ.get("XDG_RUNTIME_DIR"):
        found.append(os.path.join(os.environ["XDG_RUNTIME_DIR"], "poolctl"))
    try:
        public = tempfile.gettempdir()
    except OSError:  # no directory takes files
        public = "/tmp"
    return [*found, os.path.join(public, f"poolctl-{os.getuid()}")]


def listed_by_kernel() -> list[str]:
    """Return the paths of the control sockets in /proc/net/unix: of servers started with another environment, too.

    With $RUNTIME_DIRECTORY set only the sockets in that folder count, so the list is empty.
    """
    if os.environ.get("RUNTIME_DIRECTORY"):
        return []
    found = set()
    with contextlib.suppress(OSError), open("/proc/net/unix", encoding="utf-8", errors="surrogateescape") as lines:
        for line in lines:
            path = line.rstrip("\n").partition(" /")[2]
            pid = path.removesuffix(SUFFIX).rpartition(".")[2]
            if path.endswith(SUFFIX) and pid.isdigit() and _is_supervisor(pid):
                found.add(f"/{path}")
    return sorted(found)


def _is_supervisor(pid: str) -> bool:
    """Whether this is a supervisor, by its process title, and belongs to this user; root sees those of all users."""
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as file:
            visible = os.getuid() in (0, os.fstat(file.fileno()).st_uid)
            return visible and file.read(20) == b"poolctl: supervisor "
    except OSError:
        return False


def is_own_folder(folder: str) -> bool:
    """Whether the folder belongs to this user: in the temporary directory anyone could have created it."""
    public = folder == folders()[-1]
    try:
        found = os.lstat(folder) if public else os.stat(folder)
    except OSError:
        return False
    return stat.S_ISDIR(found.st_mode) and (found.st_uid == os.getuid() or (os.getuid() == 0 and not public))


class Control:
    """The supervisor's end of the control socket. ``status`` returns what clients receive."""

    def __init__(self, name: str, status: Callable[[], dict[str, Any]]) -> None:
        self.status = status
        self.sock: socket.socket | None = None
        self.path = ""
        try:
            self._open(name)
        except OSError as error:
            log.info("no control socket, so poolctl status cannot see this server: %s", error)

    def _open(self, name: str) -> None:
        folder = folders()[0]
        os.makedirs(folder, mode=0o700, exist_ok=True)
        if not is_own_folder(folder):
            raise PermissionError(f"{folder} belongs to another user, or is a symbolic link in a shared folder")
        _remove_stale(folder)
        path = os.path.join(folder, f"{name}.{os.getpid()}{SUFFIX}")
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        before = os.umask(0o177)  # of the whole process, which has one thread
        try:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(path)  # left behind by a process that had the same pid
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
        """Return the descriptor of the listening socket; -1 without one."""
        return self.sock.fileno() if self.sock else -1

    def answer(self) -> None:
        """Send the status to the clients that have connected, at most eight per call."""
        if self.sock is None:
            return
        for _ in range(8):
            try:
                client, _ = self.sock.accept()
            except BlockingIOError:
                return
            except OSError as error:
                log.error("cannot accept on the control socket: %s", error)
                return
            with client:
                client.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER_BYTES)
                client.settimeout(PATIENCE_SECONDS)
                with contextlib.suppress(OSError):  # the client has disconnected, or does not read
                    client.sendall(json.dumps(self.status()).encode())

    def close_inherited(self) -> None:
        """In a forked process: close the copy of the socket, which belongs to the supervisor."""
        if self.sock is not None:
            self.sock.close()

    def close(self) -> None:
        """Close the socket and remove its file."""
        if self.sock is not None:
            self.sock.close()
            with contextlib.suppress(OSError):
                os.unlink(self.path)


def _remove_stale(folder: str) -> None:
    """Remove the sockets that killed servers have left behind."""
    for name in os.listdir(folder)[:MAX_FILES]:
        pid = name.removesuffix(SUFFIX).rpartition(".")[2]
        if name.endswith(SUFFIX) and pid.isdigit():
            try:
                os.kill(int(pid), 0)
            except ProcessLookupError:
                with contextlib.suppress(OSError):  # another server was faster
                    os.unlink(os.path.join(folder, name))
            except (PermissionError, OverflowError):
                continue  # the process exists, or the number cannot be a pid
