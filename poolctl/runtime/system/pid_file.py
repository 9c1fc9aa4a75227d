"""The PID file. Its writer holds a record lock on it (fcntl) for as long as it lives, and the kernel releases the lock
however the writer dies; so a PID that now belongs to another process is never mistaken for a server."""

from __future__ import annotations

import fcntl
import os
import stat

from poolctl.errors import PoolctlError

PID_FILE_BYTES = 32  # bytes of a valid PID file


class HeldPidFile(PoolctlError):
    """The file belongs to a poolctl that is running."""


def refuse_other(path: str) -> None:
    """Check whether a PID file could be written there. Raises PoolctlError as ``PidFile.write`` does, and OSError."""
    old = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        _refuse_living(old, os.path.abspath(path), fcntl.LOCK_SH)
    finally:
        os.close(old)


def _refuse_living(old: int, path: str, lock: int) -> None:
    found = os.read(old, PID_FILE_BYTES + 1) if stat.S_ISREG(os.fstat(old).st_mode) else b"-"
    if len(found) > PID_FILE_BYTES or not (found.strip().isdigit() or not found):
        raise PoolctlError(f"pid_file: {path} exists and is not a PID file: move it away, or choose another path")
    try:
        fcntl.lockf(old, lock | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError):
        told = found.decode().strip()
        raise HeldPidFile(f"pid_file: {path} belongs to process {told}, which is running: stop it first") from None


class PidFile:
    """The file of this process, from ``write`` to ``remove``. Forked processes do not inherit the lock."""

    def __init__(self, path: str) -> None:
        self.path = os.path.abspath(path)
        self.fd = -1

    def write(self) -> None:
        """Write the file atomically. Raises PoolctlError if it belongs to a running poolctl, if another file is there,
        or if it cannot be written."""
        temporary = f"{self.path}.{os.getpid()}"
        try:
            self.fd = os.open(temporary, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)
            try:
                os.write(self.fd, f"{os.getpid()}\n".encode())
                fcntl.lockf(self.fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                self._place(temporary)
            except BaseException:
                os.unlink(temporary)
                os.close(self.fd)
                raise
        except OSError as error:
            raise PoolctlError(f"pid_file: {self.path} cannot be written: {error.strerror}") from error

    def _place(self, temporary: str) -> None:
        try:
            os.link(temporary, self.path)  # unlike rename, fails if the path exists
            os.unlink(temporary)
        except FileExistsError:
            old = os.open(self.path, os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
            try:
                _refuse_living(old, self.path, fcntl.LOCK_EX)
                os.rename(temporary, self.path)  # with the old file locked: of two concurrent starts one is refused
            finally:
                os.close(old)

    def remove(self) -> None:
        """Remove the file, unless another process has put its own there."""
        try:
            there = os.lstat(self.path)
        except FileNotFoundError:
            return  # removed already
        if os.path.samestat(there, os.fstat(self.fd)):
            os.unlink(self.path)

    def close(self) -> None:
        """Close the descriptor in a forked process. The lock stays with the writer."""
        os.close(self.fd)
