"""The PID file. Its writer holds a record lock on it (fcntl) for as long as it lives, and the kernel lets go of it when
it dies however it dies; so a number that the kernel has given to another process since is never taken for a server."""

from __future__ import annotations

import fcntl
import os
import stat

from poolctl.errors import PoolctlError

LONGEST = 32  # bytes of a PID file that is one


def refuse_other(path: str) -> None:
    """Only look whether a PID file could be put there. Raises PoolctlError as ``PidFile.write`` does, and OSError."""
    old = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        _refuse_living(old, os.path.abspath(path), fcntl.LOCK_SH)
    finally:
        os.close(old)


def _refuse_living(old: int, path: str, lock: int) -> None:
    found = os.read(old, LONGEST + 1) if stat.S_ISREG(os.fstat(old).st_mode) else b"-"
    if len(found) > LONGEST or not (found.strip().isdigit() or not found):
        raise PoolctlError(f"pid_file: {path} is there and is no PID file: move it away, or name another")
    try:
        fcntl.lockf(old, lock | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError):
        told = found.decode().strip()
        raise PoolctlError(f"pid_file: {path} is that of process {told}, which runs: stop it first") from None


class PidFile:
    """The file of this process, from ``write`` to ``remove``. Forked processes have no part in the lock."""

    def __init__(self, path: str) -> None:
        self.path = os.path.abspath(path)
        self.fd = -1

    def write(self) -> None:
        """Put it in its place, whole or not at all. Raises PoolctlError when a poolctl lives that has it, when another
        file is there, or when it cannot be written."""
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
            os.link(temporary, self.path)  # which fails when something is there, unlike a rename
            os.unlink(temporary)
        except FileExistsError:
            old = os.open(self.path, os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
            try:
                _refuse_living(old, self.path, fcntl.LOCK_EX)
                os.rename(temporary, self.path)  # under the old one's lock: of two starters one is refused
            finally:
                os.close(old)

    def remove(self) -> None:
        """Take it away, unless another process has put its own there."""
        try:
            there = os.lstat(self.path)
        except FileNotFoundError:
            return  # somebody was tidy
        if os.path.samestat(there, os.fstat(self.fd)):
            os.unlink(self.path)

    def close(self) -> None:
        """In a forked process: it is not this one's. The lock stays, it is the writer's alone."""
        os.close(self.fd)
