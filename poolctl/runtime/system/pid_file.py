"""The PID file. Its writer holds a record lock on it (fcntl) for as long as it lives, and the kernel releases the lock
however the writer dies; so a PID that now belongs to another process is never mistaken for a server."""

from __future__ import annotations

import contextlib
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
        self._draft = self._draft_of(os.getpid())
        self.fd = -1

    def write(self, replaced: int = 0) -> None:
        """Write the file atomically. If it belongs to the process ``replaced``, only prepare it for ``place``.

        Raises PoolctlError if it belongs to another running poolctl, if another file is there, or if it cannot be
        written.
        """
        try:
            self.fd = os.open(self._draft, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)
            try:
                os.write(self.fd, f"{os.getpid()}\n".encode())
                fcntl.lockf(self.fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if not replaced or not self._names(replaced):
                    self._link()
            except BaseException:
                os.unlink(self._draft)
                self.close()
                raise
        except OSError as error:
            raise PoolctlError(f"pid_file: {self.path} cannot be written: {error.strerror}") from error

    def _names(self, pid: int) -> bool:
        """Whether the file has this PID."""
        try:
            with open(self.path, "rb") as file:
                return file.read(PID_FILE_BYTES).strip() == b"%d" % pid
        except OSError:
            return False

    def _link(self) -> None:
        try:
            os.link(self._draft, self.path)  # unlike rename, fails if the path exists
            os.unlink(self._draft)
        except FileExistsError:
            old = os.open(self.path, os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
            try:
                _refuse_living(old, self.path, fcntl.LOCK_EX)
                os.rename(self._draft, self.path)  # with the old file locked: of two concurrent starts one is refused
            finally:
                os.close(old)

    def place(self) -> None:
        """Put the file in the place of that of the replaced process, unless it is there. Raises OSError."""
        if os.path.exists(self._draft):
            os.rename(self._draft, self.path)

    def _draft_of(self, pid: int) -> str:
        return f"{self.path}.{pid}"

    def restore(self, failed: int) -> None:
        """Remove what a process has left behind that was to take the file over and is gone. Raises PoolctlError and
        OSError."""
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self._draft_of(failed))
        if not self._is_there(self.path):
            self.close()
            self.write()

    def remove(self) -> None:
        """Remove the file, unless another process has put its own there."""
        for path in (self.path, self._draft):
            if self._is_there(path):
                os.unlink(path)

    def _is_there(self, path: str) -> bool:
        """Whether this object's file has this path."""
        try:
            return self.fd >= 0 and os.path.samestat(os.lstat(path), os.fstat(self.fd))
        except FileNotFoundError:
            return False

    def close(self) -> None:
        """Close the descriptor. In a forked process the lock stays with the writer."""
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1
