"""Where control sockets are, for the supervisor that creates one and for the commands that look for it.

$RUNTIME_DIRECTORY, else $XDG_RUNTIME_DIR/poolctl, else a folder of this user in the temporary directory
    NAME.PID.sock                                   mode 0600; removed when the supervisor ends
"""

from __future__ import annotations

import contextlib
import os
import socket
import stat
import struct
import tempfile
from typing import NamedTuple

PROTOCOL_VERSION = 1
SUFFIX = ".sock"
MAX_FILES = 1000  # of the folder that are examined
BACKLOG = 16  # clients that wait to be accepted
_CREDENTIALS = struct.Struct("3i")


class Asker(NamedTuple):
    """The process at the other end of a socket, as the kernel noted it when it connected. ``pid`` is 0 for a process
    of another PID namespace."""

    pid: int
    uid: int

    def __str__(self) -> str:
        return f"uid {self.uid}, pid {self.pid}"


def peer_of(sock: socket.socket) -> Asker:
    """Return who connected, or to whom (SO_PEERCRED, unix(7)). Raises OSError."""
    pid, uid, _ = _CREDENTIALS.unpack(sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size))
    return Asker(pid, uid)


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

    They are as their servers see them, which may be in another mount namespace (`PrivateTmp=yes` of systemd).
    """
    found = set()
    with contextlib.suppress(OSError), open("/proc/net/unix", encoding="utf-8", errors="surrogateescape") as lines:
        for line in lines:
            path = line.rstrip("\n").partition(" /")[2]
            server = server_of(path)
            if server and _is_supervisor(server[1]):
                found.add(f"/{path}")
    return sorted(found)


def server_of(path: str) -> tuple[str, int] | None:
    """Return the name and pid of the server whose control socket has this path; None if it is not one."""
    name, _, pid = os.path.basename(path).removesuffix(SUFFIX).rpartition(".")
    return (name, int(pid)) if path.endswith(SUFFIX) and name and pid.isascii() and pid.isdigit() else None


def _is_supervisor(pid: int) -> bool:
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


def listening(name: str) -> tuple[socket.socket, str]:
    """Return the listening control socket of this process and its path; the name is the server's.

    Raises:
        OSError: the folder cannot be created, or is not this user's; or its path is too long for a socket.
    """
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
        sock.listen(BACKLOG)
        sock.setblocking(False)
    except BaseException:
        sock.close()
        raise
    finally:
        os.umask(before)
    return sock, path


def _remove_stale(folder: str) -> None:
    """Remove the sockets that killed servers have left behind."""
    for name in os.listdir(folder)[:MAX_FILES]:
        server = server_of(name)
        if server:
            try:
                os.kill(server[1], 0)
            except ProcessLookupError:
                with contextlib.suppress(OSError):  # another server was faster
                    os.unlink(os.path.join(folder, name))
            except (PermissionError, OverflowError):
                continue  # the process exists, or the number cannot be a pid
